"""Pauses a training between two updates at a number of steps. Resumed, it is as if it had not been paused."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from callbacks.checkpoint import CheckpointCallback


class Paused(Exception):
    """Raised when the training has reached the step and its checkpoint is written."""


class PauseCallback(BaseCallback):
    """Raises ``Paused`` before the first rollout that begins at a number of steps or later.

    :param checkpoint: the callback that writes the checkpoint
    :param at: agent steps
    """

    def __init__(self, checkpoint: CheckpointCallback, at: int) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.at = at

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self.at:
            self.checkpoint.save()
            raise Paused

    def _on_step(self) -> bool:
        return True
