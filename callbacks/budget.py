"""A training budget counted in whole games.

Credits: Stable-Baselines3's ``StopTrainingOnMaxEpisodes``, which counts lives under ``AtariWrapper``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callbacks.episodes import EpisodeCallback

# What the models keep their schedules in; each is a function of the share of the budget that is left.
SCHEDULES = ("lr_schedule", "clip_range", "clip_range_vf", "exploration_schedule")


@dataclass
class GamesLeft:
    """The share of a budget in games that is left, 0 to 1."""

    episodes: int
    finished: int = 0

    @property
    def share(self) -> float:
        """1 at the beginning, 0 at the end."""
        return max(0.0, 1.0 - self.finished / self.episodes)


@dataclass
class GamesSchedule:
    """A schedule that follows the games, whatever share of the steps it is told."""

    schedule: Callable[[float], float]
    left: GamesLeft

    def __call__(self, progress_remaining: float) -> float:
        """The schedule's value now."""
        return self.schedule(self.left.share)


class StopAtEpisodes(EpisodeCallback):
    """Ends the training when so many games have finished. Games that finish in the same step are logged as well.

    During the training learning rate, clip range and exploration follow the share of games instead of that of steps.

    :param episodes: games to finish
    """

    def __init__(self, episodes: int) -> None:
        super().__init__()
        self.left = GamesLeft(episodes)
        self._schedules: dict[str, Callable[[float], float]] = {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the share of games that is left."""
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
        """Say whether games are left."""
        self.left.finished = episode + 1
        return self.left.finished < self.left.episodes
