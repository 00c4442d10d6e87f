"""A training budget counted in whole games, and a training that ends when its scores are good enough.

Credits: Stable-Baselines3's ``StopTrainingOnMaxEpisodes``, which counts lives under ``AtariWrapper``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from callbacks.episodes import EpisodeCallback
from callbacks.scores import ScoreCallback, ScoreHistory

# The models' schedules, as attributes; each is a function of the share of the budget that is left, from 1 to 0.
SCHEDULES = ("lr_schedule", "clip_range", "clip_range_vf", "exploration_schedule", "beta_schedule")


@dataclass
class GamesLeft:
    """A budget in games.

    :param episodes: games in all
    :param finished: games finished so far
    """

    episodes: int
    finished: int = 0

    @property
    def share(self) -> float:
        """The share of the budget that is left: 1 at the start of the training, 0 at its end."""
        return max(0.0, 1.0 - self.finished / self.episodes)


@dataclass
class GamesSchedule:
    """A schedule of the share of games that is left, in place of the share of steps."""

    schedule: Callable[[float], float]
    left: GamesLeft

    def __call__(self, progress_remaining: float) -> float:
        """The current value; ``progress_remaining``, which is about steps, is not used."""
        return self.schedule(self.left.share)


class StopAtEpisodes(EpisodeCallback):
    """Stops the training after a number of games. Further games that finish in the same step are logged as well.

    During the training the schedules of learning rate, clip range, exploration and importance weights are functions of
    the share of games that is left, not of the share of steps.

    :param episodes: number of games
    """

    def __init__(self, episodes: int) -> None:
        super().__init__()
        self.left = GamesLeft(episodes)
        self._schedules: dict[str, Callable[[float], float]] = {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the games that are left."""
        super().load_state(state)
        self.left.finished = self.n_episodes

    def _on_training_start(self) -> None:
        for name in SCHEDULES:
            schedule = getattr(self.model, name, None)
            if callable(schedule):
                self._schedules[name] = schedule
                setattr(self.model, name, GamesSchedule(schedule, self.left))

    def _on_training_end(self) -> None:
        for name, schedule in self._schedules.items():
            setattr(self.model, name, schedule)
        self._schedules.clear()

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Count the game; False when it was the last of the budget."""
        self.left.finished = episode + 1
        return self.left.finished < self.left.episodes


class StopAtMean(ScoreCallback):
    """Stops the training when the mean score of the last games reaches a value.

    :param mean: points
    :param window: games in the mean; before that many have finished, the training goes on
    :param history: see ``ScoreCallback``
    """

    def __init__(self, mean: float, window: int = 100, history: ScoreHistory | None = None) -> None:
        super().__init__(history)
        self.mean = mean
        self.window = window

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """False when the mean is reached."""
        super().on_episode(episode, score, info)
        scores = self.history.last(self.window)
        return len(scores) < self.window or float(np.mean(scores)) < self.mean
