"""The learning curve as a picture, drawn during training and at its end.

Credits: matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from callbacks.episodes import EpisodeCallback
from common.errors import UserError
from common.scores.logs import ScoreLog
from common.scores.plots import check_figure_path, plot_learning_curves


class LearningCurveCallback(EpisodeCallback):
    """Draws the mean score of the last games against the number of games.

    :param path: the picture, .png, .pdf or .svg; drawn anew each time
    :param every: games from one drawing to the next
    :param window: games that a mean covers
    :param name: the run's name in the legend; default: the picture's folder
    :param environment: the environment's id; for Gravitar the scores of random play and of a human are drawn as well
    """

    def __init__(
        self,
        path: Path | str,
        every: int = 500,
        window: int = 100,
        name: str | None = None,
        environment: str | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.every = every
        self.window = window
        self.name = name or self.path.resolve().parent.name
        self.environment = environment or "unknown"
        self.scores: list[float] = []
        check_figure_path(self.path)

    def state(self) -> dict[str, Any]:
        """Also the scores."""
        return {**super().state(), "scores": self.scores}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the scores."""
        super().load_state(state)
        self.scores = list(state["scores"])

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Keep the score, and draw when it is time."""
        self.scores.append(score)
        if len(self.scores) % self.every == 0:
            self.draw()
        return True

    def _on_training_end(self) -> None:
        self.draw()

    def draw(self) -> None:
        """Draw the curve now; nothing before the first game has finished, a warning where the disk is full."""
        if not self.scores:
            return
        log = ScoreLog(
            path=self.path,
            name=self.name,
            kind="monitor",
            episodes=np.arange(len(self.scores)),
            scores=np.array(self.scores),
            seed=self.model.seed,
            environment=self.environment,
        )
        try:
            plot_learning_curves([log], self.path, self.window)
        except UserError as error:
            print(f"warning: no learning curve: {error}")
