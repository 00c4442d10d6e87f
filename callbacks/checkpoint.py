"""Checkpoints of a model during training: the last ones and the best.

By itself a checkpoint holds weights, which is enough to play. With ``capture`` and ``watched`` it holds everything that
the training's future depends on.

Credits: Stable-Baselines3's ``CheckpointCallback`` and ``EvalCallback`` for keeping the latest and the best.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from callbacks.episodes import EpisodeCallback
from common.checkpoints import CheckpointClock, prune, write_checkpoint
from common.weights import weights

WEIGHTS = "policy.safetensors"
STATE = "state.json"


class CheckpointCallback(EpisodeCallback):
    """Writes ``step-NNNNNNNNN`` between two updates and ``best-NNNNNNNNN`` by the mean score, N the agent steps.

    ``state.json`` says after how many steps and games, the mean score then, and what the watched callbacks remember.

    :param folder: folder of the checkpoints
    :param every: agent steps from one to the next; there is one before the first step, too
    :param keep: how many of the last ones are kept
    :param window: the best is the one with the highest mean score of so many last games, once there are so many
    :param capture: from the model to content by file name, in place of the weights alone
    :param shared: from the model to what makes its large parts, by names that say their version
    :param watched: callbacks whose ``state`` goes into the checkpoint
    :param minutes: after so many there is one in any case; 0 for none by time. Which weights count as the best is
        decided at the others alone, so that it does not depend on the machine's speed
    """

    def __init__(
        self,
        folder: Path | str,
        every: int,
        keep: int = 3,
        window: int = 100,
        capture: Callable[[BaseAlgorithm], Mapping[str, bytes]] | None = None,
        shared: Callable[[BaseAlgorithm], Mapping[str, Callable[[], bytes]]] | None = None,
        watched: Sequence[EpisodeCallback] = (),
        minutes: float = 0.0,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.every = every
        self.keep = keep
        self.capture = capture or (lambda model: {WEIGHTS: weights(model.policy)})
        self.shared = shared or (lambda model: {})
        self.watched = [*watched, self]
        self.scores: deque[float] = deque(maxlen=window)
        self.best = -np.inf
        self._last = 0
        self._clock = CheckpointClock(minutes)

    def state(self) -> dict[str, Any]:
        """Also the scores."""
        return {**super().state(), "scores": list(self.scores), "best": self.best}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the scores."""
        super().load_state(state)
        self.scores.extend(state["scores"])
        self.best = float(state["best"])

    def load_states(self, checkpoint: Path) -> None:
        """Let all watched callbacks remember what they did when a checkpoint was written."""
        states = json.loads((checkpoint / STATE).read_text())["callbacks"]
        for callback in self.watched:
            callback.load_state(states[type(callback).__name__])

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Keep the score."""
        self.scores.append(score)
        return True

    def _on_training_start(self) -> None:
        self._last = self.model.num_timesteps
        self._clock.restart()
        if self._last == 0:
            self.save()

    def _on_rollout_start(self) -> None:
        # Between two updates nothing is under way: the buffers are consistent with the weights.
        if self.model.num_timesteps - self._last >= self.every:
            self.save()
        elif self._clock.due:
            self._write_last()

    def _on_training_end(self) -> None:
        self.save()

    def save(self) -> Path:
        """Write a checkpoint now, and the weights of the best if they are.

        :return: its folder
        :raises UserError: when the disk is full (status 1); the last good checkpoint stays
        """
        self._last = self.model.num_timesteps
        about = self._about()
        mean = about["mean_score"]
        if mean is not None and len(self.scores) == self.scores.maxlen and mean > self.best:
            self.best = mean
            files = {WEIGHTS: weights(self.model.policy), STATE: json.dumps(about, indent=1).encode()}
            write_checkpoint(self.folder, f"best-{self._last:09d}", files)
            prune(self.folder, 1, "best-")
        return self._write_last()

    def _write_last(self) -> Path:
        states = {type(callback).__name__: callback.state() for callback in self.watched}
        about = json.dumps({**self._about(), "callbacks": states}, indent=1).encode()
        files = {**self.capture(self.model), STATE: about}
        name = f"step-{self.model.num_timesteps:09d}"
        path = write_checkpoint(self.folder, name, files, self.shared(self.model))
        prune(self.folder, self.keep)
        self._clock.restart()
        return path

    def _about(self) -> dict[str, Any]:
        return {
            "timesteps": self.model.num_timesteps,
            "episodes": self.n_episodes,
            "mean_score": float(np.mean(self.scores)) if self.scores else None,
            "games_in_mean": len(self.scores),
        }
