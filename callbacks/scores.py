"""Raw scores of whole games: the last ones and the best, and the same as TensorBoard scalars.

Credits: Stable-Baselines3's logger.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from callbacks.episodes import EpisodeCallback


class RecentScores(EpisodeCallback):
    """Keeps the scores of the last 100 games and the best of all, in points."""

    def __init__(self) -> None:
        super().__init__()
        self.last_100: deque[float] = deque(maxlen=100)
        self.best = -np.inf

    def state(self) -> dict[str, Any]:
        """Also the scores."""
        return {**super().state(), "last_100": list(self.last_100), "best": self.best}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the scores."""
        super().load_state(state)
        self.last_100.extend(state["last_100"])
        self.best = float(state["best"])

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Keep the score."""
        self.last_100.append(score)
        self.best = max(self.best, score)
        return True


class ScoreScalarsCallback(RecentScores):
    """Hands the scalars to the model's logger, which writes them with its own.

    ``games/finished``, ``games/score`` (the last game), ``games/score_mean_100``, ``games/score_best``, in points.
    """

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Record this game."""
        super().on_episode(episode, score, info)
        self.logger.record("games/finished", episode + 1)
        self.logger.record("games/score", score)
        self.logger.record("games/score_mean_100", float(np.mean(self.last_100)))
        self.logger.record("games/score_best", self.best)
        return True
