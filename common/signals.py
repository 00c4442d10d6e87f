"""Signals during training: finish what is under way, save, and say how to go on.

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
    """Notes one of the signals for the training loop to ask for. A second Ctrl-C stops at once.

    :param resume: the command that goes on, for the message
    """

    def __init__(self, resume: str) -> None:
        self.resume = resume
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def open(self) -> None:
        """Take the signals."""
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def close(self) -> None:
        """Give the signals back. May be called again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def interrupted(self, checkpoint: Path) -> Interrupted:
        """What to raise once the checkpoint is written."""
        assert self.received is not None
        return Interrupted(f"saved {checkpoint}; go on with: {self.resume}", self.received)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        print(f"{signal.Signals(number).name}: finishing this update, then saving", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.default_int_handler)
