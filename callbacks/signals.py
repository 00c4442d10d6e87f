"""Signals during training: finish the update that is under way, save, and say how to go on.

SIGINT (Ctrl-C), SIGTERM (a batch system, ``kill``) and SIGUSR1 (SLURM's warning before the time limit, ``--signal``).

Credits: SLURM's documentation of ``sbatch --signal``.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from callbacks.checkpoint import CheckpointCallback
from common.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class SignalCallback(BaseCallback):
    """Raises ``Interrupted`` between two updates after one of the signals, with a checkpoint written.

    A second Ctrl-C stops at once; then only what came after the last checkpoint has to be played again.

    :param checkpoint: writes the checkpoint
    :param resume: the command that goes on, for the message
    """

    def __init__(self, checkpoint: CheckpointCallback, resume: str) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.resume = resume
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def _on_training_start(self) -> None:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        print(f"{signal.Signals(number).name}: finishing this update, then saving", file=sys.stderr)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_rollout_start(self) -> None:
        if self.received is not None:
            path = self.checkpoint.save()
            raise Interrupted(f"saved {path}; go on with: {self.resume}", self.received)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the signals back. May be called again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
