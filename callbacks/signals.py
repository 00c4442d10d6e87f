"""Stops training between two updates after a signal, with a checkpoint written."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from callbacks.checkpoint import CheckpointCallback
from common.signals import StopSignals


class SignalCallback(BaseCallback):
    """Raises ``Interrupted`` between two updates after one of the signals, with a checkpoint written.

    A second Ctrl-C stops at once; then only what came after the last checkpoint has to be played again.

    :param checkpoint: writes the checkpoint
    :param resume: the command that goes on, for the message
    """

    def __init__(self, checkpoint: CheckpointCallback, resume: str) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.signals = StopSignals(resume)

    def _on_training_start(self) -> None:
        self.signals.open()

    def _on_rollout_start(self) -> None:
        if self.signals.received is not None:
            raise self.signals.interrupted(self.checkpoint.save())

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the signals back. May be called again."""
        self.signals.close()
