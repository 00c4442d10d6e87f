"""Raw scores of whole games: all of a training's, the callbacks that show them, and the same as TensorBoard scalars.

One callback keeps the scores, and the others read them from it:

    history = ScoreHistory()
    model.learn(1_000_000, callback=[
        history,  # before those that read it
        ScoreScalarsCallback(history),
        LearningCurveCallback("learning-curve.png", history=history),
    ])

Without a history each keeps its own.

Credits: Stable-Baselines3's logger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from callbacks.episodes import EpisodeCallback


class ScoreHistory(EpisodeCallback):
    """Keeps the score of every game of the training, in points, and the best of them."""

    def __init__(self) -> None:
        super().__init__()
        self.scores: list[float] = []
        self.best = -np.inf

    def last(self, count: int) -> list[float]:
        """The scores of the last games, the newest last; fewer than ``count`` where fewer have finished."""
        return self.scores[-count:]

    def state(self) -> dict[str, Any]:
        """Also the scores."""
        return {**super().state(), "scores": list(self.scores), "best_score": self.best}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the scores.

        Some callbacks that now read a history used to keep the last hundred, as ``last_100`` and ``best``.
        """
        super().load_state(state)
        self.scores = list(state["scores"] if "scores" in state else state["last_100"])
        self.best = max([float(state.get("best_score", state.get("best", -np.inf))), *self.scores])

    def state_in(self, states: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """In checkpoints that have no history, the learning curve has all scores."""
        return states.get(self.key) or states["LearningCurveCallback"]

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Keep the score."""
        self.scores.append(score)
        self.best = max(self.best, score)
        return True


class ScoreCallback(EpisodeCallback):
    """Base of the callbacks that need the scores of earlier games.

    :param history: keeps the scores, and their state; it goes before this callback. None for a history of its own
    """

    def __init__(self, history: ScoreHistory | None = None) -> None:
        super().__init__()
        self.history = history or ScoreHistory()
        self._has_own_history = history is None

    def state(self) -> dict[str, Any]:
        """Also the scores, unless the history that was given has them."""
        return {**self.history.state(), **super().state()} if self._has_own_history else super().state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the scores, unless the history that was given has them."""
        super().load_state(state)
        if self._has_own_history:
            self.history.load_state(state)

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Keep the score, unless the history that was given has done it."""
        return self.history.on_episode(episode, score, info) if self._has_own_history else True


class ScoreScalarsCallback(ScoreCallback):
    """Records the scores with the model's logger, which writes them to TensorBoard together with its own scalars.

    ``games/finished``, ``games/score`` (the last game), ``games/score_mean_100``, ``games/score_best``, in points.

    :param history: see ``ScoreCallback``
    """

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Record this game."""
        super().on_episode(episode, score, info)
        self.logger.record("games/finished", episode + 1)
        self.logger.record("games/score", score)
        self.logger.record("games/score_mean_100", float(np.mean(self.history.last(100))))
        self.logger.record("games/score_best", self.history.best)
        return True
