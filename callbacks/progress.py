"""Progress of a training on the terminal: steps, rate, time left, games and their scores.

Credits: rich; Stable-Baselines3's ``ProgressBarCallback`` for the idea.
"""

from __future__ import annotations

import numpy as np

from callbacks.scores import RecentScores
from common.progress import ProgressLine


class ProgressCallback(RecentScores):
    """A live bar on a terminal; elsewhere (a SLURM log, a file) one plain line every ``seconds``.

    :param total: budget in agent steps, or in games when ``episodes`` is true
    :param seconds: time between plain lines
    :param quiet: show nothing
    """

    def __init__(self, total: int, episodes: bool = False, seconds: float = 30.0, quiet: bool = False) -> None:
        super().__init__()
        self.quiet = quiet
        self.total = total
        self.counts_episodes = episodes
        self.seconds = seconds
        self._line: ProgressLine | None = None

    def _on_training_start(self) -> None:
        self._steps_before = self.model.num_timesteps
        if not self.quiet:
            self._line = ProgressLine(self.total, self.done, self.describe, self.seconds)

    def _on_step(self) -> bool:
        go_on = super()._on_step()
        if self._line is not None:
            self._line.update(self.done)
        return go_on

    @property
    def done(self) -> int:
        """How much of the budget is used."""
        return self.n_episodes if self.counts_episodes else self.model.num_timesteps

    def describe(self, elapsed: float) -> str:
        """One line: steps, rate, games, scores.

        :param elapsed: seconds since the training's start
        """
        steps = self.model.num_timesteps
        text = f"{steps:,} steps, {(steps - self._steps_before) / elapsed:,.0f}/s, {self.n_episodes:,} games"
        if self.last_100:
            text += f", score {np.mean(self.last_100):.0f} (last {len(self.last_100)}), best {self.best:.0f}"
        return text

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Show the last state and leave the terminal as it was. May be called again."""
        if self._line:
            self._line.close()
