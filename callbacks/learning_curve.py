"""The learning curve as a figure, plotted during the training and at its end.

Credits: matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from callbacks.scores import ScoreCallback, ScoreHistory
from common.errors import UserError
from common.scores.logs import ScoreLog
from common.scores.plots import check_figure_path, plot_learning_curves


class LearningCurveCallback(ScoreCallback):
    """Plots the mean score of the last games, or of each few games, against the number of games.

    :param path: the figure, .png, .pdf or .svg; replaced each time
    :param every: games between figures
    :param window: games in a mean
    :param name: the run's name in the legend; default: the name of the figure's folder
    :param environment: the environment's id; for Gravitar the scores of random play and of a human are plotted as well
    :param history: see ``ScoreCallback``
    :param interval: instead of a window, mean and standard deviation of each so many games
    """

    def __init__(
        self,
        path: Path | str,
        every: int = 500,
        window: int = 100,
        name: str | None = None,
        environment: str | None = None,
        history: ScoreHistory | None = None,
        interval: int | None = None,
    ) -> None:
        super().__init__(history)
        self.path = Path(path)
        self.every = every
        self.window = window
        self.interval = interval
        self.name = name or self.path.resolve().parent.name
        self.environment = environment or "unknown"
        check_figure_path(self.path)

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Plot after every ``every``-th game."""
        super().on_episode(episode, score, info)
        if (episode + 1) % self.every == 0:
            self.plot()
        return True

    def _on_training_end(self) -> None:
        self.plot()

    def plot(self) -> None:
        """Plot the curve now, unless no game has finished yet. Prints a warning when the file cannot be written."""
        scores = self.history.scores
        if not scores:
            return
        log = ScoreLog(
            path=self.path,
            name=self.name,
            kind="monitor",
            episodes=np.arange(len(scores)),
            scores=np.array(scores),
            seed=self.model.seed,
            environment=self.environment,
        )
        try:
            plot_learning_curves([log], self.path, self.window, interval=self.interval)
        except UserError as error:
            print(f"warning: no learning curve: {error}")
