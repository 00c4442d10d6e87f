"""Checkpoints of a model during training: the last ones and the best.

By default a checkpoint holds the weights, which is enough to play. With ``capture`` and ``watched`` it holds everything
that is needed to resume the training exactly.

Credits: Stable-Baselines3's ``CheckpointCallback`` and ``EvalCallback`` for keeping the latest and the best.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from callbacks.episodes import EpisodeCallback
from callbacks.scores import ScoreCallback, ScoreHistory
from common.checkpoints import CheckpointClock, prune, write_checkpoint
from common.errors import UserError
from common.weights import weights

WEIGHTS = "policy.safetensors"
STATE = "state.json"


class CheckpointCallback(ScoreCallback):
    """Writes ``step-NNNNNNNNN`` between two updates and ``best-NNNNNNNNN`` by the mean score, N the agent steps.

    ``state.json`` holds the numbers of steps and games, the mean score, and the states of the watched callbacks.

    :param folder: folder of the checkpoints
    :param every: agent steps between checkpoints; there is also one before the first step and one at the end
    :param keep: number of ``step-`` checkpoints kept, the latest ones
    :param window: games in the mean score that decides which checkpoint is the best; none is before that many games
    :param capture: from the model to a checkpoint's files, content by file name; by default the weights alone
    :param shared: from the model to the makers of its large parts, by names that contain a version
    :param watched: callbacks whose state goes into the checkpoint
    :param minutes: a checkpoint is due after this time as well, 0 for never. Such checkpoints are not candidates for
        the best, which therefore does not depend on the machine's speed
    :param history: see ``ScoreCallback``; belongs into ``watched`` as well
    :raises UserError: when two watched callbacks have the same key
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
        history: ScoreHistory | None = None,
    ) -> None:
        super().__init__(history)
        self.folder = Path(folder)
        self.every = every
        self.keep = keep
        self.capture = capture or (lambda model: {WEIGHTS: weights(model.policy)})
        self.shared = shared or (lambda model: {})
        self.watched = [*watched, self]
        self.window = window
        self.best = -np.inf
        self._last = 0
        self._clock = CheckpointClock(minutes)
        _refuse_same_keys(self.watched)

    def state(self) -> dict[str, Any]:
        """Also the best mean score."""
        return {**super().state(), "best": self.best}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the best mean score."""
        super().load_state(state)
        self.best = float(state["best"])

    def load_states(self, checkpoint: Path) -> None:
        """Let all watched callbacks go on from their states in a checkpoint."""
        states = json.loads((checkpoint / STATE).read_text())["callbacks"]
        for callback in self.watched:
            callback.load_state(callback.state_in(states))

    def _on_training_start(self) -> None:
        self._last = self.model.num_timesteps
        self._clock.restart()
        if self._last == 0:
            self.save()

    def _on_rollout_start(self) -> None:
        # Between two updates the buffers are consistent with the weights.
        if self.model.num_timesteps - self._last >= self.every:
            self.save()
        elif self._clock.due:
            self._write_last()

    def _on_training_end(self) -> None:
        self.save()

    def save(self) -> Path:
        """Write a checkpoint now, and also as the best if its mean score is the highest yet.

        :return: the checkpoint's folder
        :raises UserError: when the disk is full (status 1); the last good checkpoint stays
        """
        self._last = self.model.num_timesteps
        about = self._about()
        mean = about["mean_score"]
        if mean is not None and about["games_in_mean"] == self.window and mean > self.best:
            self.best = mean
            files = {WEIGHTS: weights(self.model.policy), STATE: json.dumps(about, indent=1).encode()}
            write_checkpoint(self.folder, f"best-{self._last:09d}", files)
            prune(self.folder, 1, "best-")
        return self._write_last()

    def _write_last(self) -> Path:
        states = {callback.key: callback.state() for callback in self.watched}
        about = json.dumps({**self._about(), "callbacks": states}, indent=1).encode()
        files = {**self.capture(self.model), STATE: about}
        name = f"step-{self.model.num_timesteps:09d}"
        path = write_checkpoint(self.folder, name, files, self.shared(self.model))
        prune(self.folder, self.keep)
        self._clock.restart()
        return path

    def _about(self) -> dict[str, Any]:
        scores = self.history.last(self.window)
        return {
            "timesteps": self.model.num_timesteps,
            "episodes": self.n_episodes,
            "mean_score": float(np.mean(scores)) if scores else None,
            "games_in_mean": len(scores),
        }


def _refuse_same_keys(callbacks: Sequence[EpisodeCallback]) -> None:
    """:raises UserError: when two callbacks have the same key"""
    key, count = Counter(callback.key for callback in callbacks).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{count} watched callbacks have the key '{key}', under which a checkpoint keeps their states; "
            f"give one of them a key of its own, as in callback.key = '{key}-2'"
        )
