"""Progress of a training in the terminal: steps, rate, time left, games and their scores.

Credits: rich; Stable-Baselines3's ``ProgressBarCallback`` for the idea.
"""

from __future__ import annotations

import numpy as np

from callbacks.scores import ScoreCallback, ScoreHistory
from common.progress import ProgressLine


class ProgressCallback(ScoreCallback):
    """Shows a progress bar in a terminal; elsewhere (a SLURM log, a file) prints a line every ``seconds``.

    :param total: budget in agent steps, or in games when ``episodes`` is true
    :param seconds: time between the lines
    :param quiet: show nothing
    :param history: see ``ScoreCallback``
    """

    def __init__(
        self,
        total: int,
        episodes: bool = False,
        seconds: float = 30.0,
        quiet: bool = False,
        history: ScoreHistory | None = None,
    ) -> None:
        super().__init__(history)
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
        """The part of the budget that is used, in the unit of ``total``."""
        return self.n_episodes if self.counts_episodes else self.model.num_timesteps

    def describe(self, elapsed: float) -> str:
        """One line of text: steps, rate, games, scores.

        :param elapsed: seconds since the start of the training
        """
        steps = self.model.num_timesteps
        text = f"{steps:,} steps, {(steps - self._steps_before) / elapsed:,.0f}/s, {self.n_episodes:,} games"
        scores = self.history.last(100)
        if scores:
            text += f", score {np.mean(scores):.0f} (last {len(scores)}), best {self.history.best:.0f}"
        return text

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Show the last numbers and restore the terminal."""
        if self._line:
            self._line.close()
