"""Progress of a training on the terminal: steps, rate, time left, games and their scores.

Credits: rich; Stable-Baselines3's ``ProgressBarCallback`` for the idea.
"""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from callbacks.scores import RecentScores


class ProgressCallback(RecentScores):
    """A live bar on a terminal; elsewhere (a SLURM log, a file) one plain line every ``seconds``.

    :param total: budget in agent steps, or in games when ``episodes`` is true
    :param seconds: time between plain lines
    """

    def __init__(self, total: int, episodes: bool = False, seconds: float = 30.0) -> None:
        super().__init__()
        self.total = total
        self.counts_episodes = episodes
        self.seconds = seconds
        self.console = Console(stderr=True)
        self._bar: Progress | None = None

    def _on_training_start(self) -> None:
        self._began = self._shown = time.monotonic()
        self._steps_before = self.model.num_timesteps
        self._done_before = self.done
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:.0f}%"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                refresh_per_second=2,
            )
            self._task = self._bar.add_task(self.describe(), total=self.total)
            self._bar.start()

    def _on_step(self) -> bool:
        go_on = super()._on_step()
        now = time.monotonic()
        if now - self._shown >= (0.5 if self._bar else self.seconds):
            self._shown = now
            self._show()
        return go_on

    def _show(self) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self.done, description=self.describe())
        else:
            elapsed = time.monotonic() - self._began
            left = elapsed * max(0, self.total - self.done) / max(1, self.done - self._done_before)
            self.console.print(f"{self.describe()} | {elapsed / 60:.1f} min, {left / 60:.1f} min left", soft_wrap=True)

    @property
    def done(self) -> int:
        """How much of the budget is used."""
        return self.n_episodes if self.counts_episodes else self.model.num_timesteps

    def describe(self) -> str:
        """One line: steps, rate, games, scores."""
        steps = self.model.num_timesteps
        elapsed = max(time.monotonic() - self._began, 1e-9)
        text = f"{steps:,} steps, {(steps - self._steps_before) / elapsed:,.0f}/s, {self.n_episodes:,} games"
        if self.last_100:
            text += f", score {np.mean(self.last_100):.0f} (last {len(self.last_100)}), best {self.best:.0f}"
        return text

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Show the last state and leave the terminal as it was. May be called again."""
        if self._bar:
            self._show()
            self._bar.stop()
            self._bar = None
