"""Checkpoints of an agent during training.

Credits: Stable-Baselines3's ``CheckpointCallback`` and ``EvalCallback`` for keeping the latest and the best.
"""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import nn

from callbacks.episodes import EpisodeCallback
from common.checkpoints import prune, write_checkpoint

WEIGHTS = "policy.safetensors"
STATE = "state.json"


class CheckpointCallback(EpisodeCallback):
    """Writes ``step-NNNNNNNNN`` between two updates, keeps the last ones, and ``best`` by the mean score.

    The weights are in safetensors; ``state.json`` says after how many steps and games, and the mean score then.

    :param folder: folder of the checkpoints
    :param every: agent steps from one to the next
    :param keep: how many of the last ones are kept
    :param window: ``best`` is the highest mean score of so many last games, once there are so many
    """

    def __init__(self, folder: Path | str, every: int, keep: int = 3, window: int = 100) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.every = every
        self.keep = keep
        self.scores: deque[float] = deque(maxlen=window)
        self.best = -np.inf
        self._last = 0

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Keep the score."""
        self.scores.append(score)
        return True

    def _on_training_start(self) -> None:
        self._last = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        # Between two updates nothing is under way: the buffers are consistent with the weights.
        if self.model.num_timesteps - self._last >= self.every:
            self.save()

    def _on_training_end(self) -> None:
        self.save()

    def save(self) -> Path:
        """Write a checkpoint now.

        :return: its folder
        """
        self._last = self.model.num_timesteps
        mean = float(np.mean(self.scores)) if self.scores else None
        state = {
            "timesteps": self.model.num_timesteps,
            "episodes": self.n_episodes,
            "mean_score": mean,
            "games_in_mean": len(self.scores),
        }
        files = {
            WEIGHTS: safetensors.torch.save(_tensors(self.model.policy)),
            STATE: json.dumps(state, indent=1).encode(),
        }
        path = write_checkpoint(self.folder, f"step-{self.model.num_timesteps:09d}", files)
        if mean is not None and len(self.scores) == self.scores.maxlen and mean > self.best:
            self.best = mean
            write_checkpoint(self.folder, "best", files)
        prune(self.folder, self.keep)
        return path


def _tensors(module: nn.Module) -> dict[str, Any]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def load_weights(module: nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into a policy of the same shape.

    :raises safetensors.SafetensorError, RuntimeError: when file or shapes do not fit
    """
    module.load_state_dict(safetensors.torch.load_file(checkpoint / WEIGHTS))
