"""Stops a training between two updates after a signal, and writes a checkpoint first."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from callbacks.checkpoint import CheckpointCallback
from common.signals import StopSignals


class SignalCallback(BaseCallback):
    """Writes a checkpoint and raises ``Interrupted`` between two updates after SIGINT, SIGTERM or SIGUSR1.

    A second Ctrl-C stops at once; a resumed run then repeats the steps since the last checkpoint.

    :param checkpoint: the callback that writes the checkpoint
    :param resume: the command that resumes the run, for the message
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
        """Restore the former signal handlers. May be called again."""
        self.signals.close()
