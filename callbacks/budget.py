"""A training budget counted in whole games.

Credits: Stable-Baselines3's ``StopTrainingOnMaxEpisodes``, which counts lives under ``AtariWrapper``.
"""

from __future__ import annotations

from typing import Any

from callbacks.episodes import EpisodeCallback


class StopAtEpisodes(EpisodeCallback):
    """Ends the training when so many games have finished. Games that finish in the same step are logged as well.

    Learning rates and exploration then follow the share of games instead of the share of steps.

    :param episodes: games to finish
    """

    def __init__(self, episodes: int) -> None:
        super().__init__()
        self.episodes = episodes

    def _init_callback(self) -> None:
        # Stable-Baselines3 asks this method of its model for the share of the budget that is left; schedules use it.
        self.model._update_current_progress_remaining = self._update_progress  # type: ignore[method-assign]

    def _update_progress(self, num_timesteps: int, total_timesteps: int) -> None:
        self.model._current_progress_remaining = max(0.0, 1.0 - self.n_episodes / self.episodes)

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Say whether games are left."""
        return episode + 1 < self.episodes
