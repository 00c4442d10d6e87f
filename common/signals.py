"""Signals during a training: the current update is finished, the state is saved, and the training stops.

SIGINT (Ctrl-C), SIGTERM (a batch system, ``kill``) and SIGUSR1 (SLURM's warning before the time limit, ``--signal``).

Credits: SLURM's documentation of ``sbatch --signal``.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from common.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopSignals:
    """Records a signal in ``received``, which the training loop checks. A second Ctrl-C stops at once.

    :param resume: the command that resumes the work, for the message
    """

    def __init__(self, resume: str) -> None:
        self.resume = resume
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def open(self) -> None:
        """Install the signal handlers."""
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def close(self) -> None:
        """Restore the former signal handlers. May be called again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def interrupted(self, checkpoint: Path) -> Interrupted:
        """The exception to raise after the checkpoint is written."""
        assert self.received is not None
        return Interrupted(f"saved {checkpoint}; go on with: {self.resume}", self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        print(f"{signal.Signals(number).name}: finishing this update, then saving", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.default_int_handler)
