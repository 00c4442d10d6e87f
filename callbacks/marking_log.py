"""The marking log of the 2020 assignment, ``gravitar-log.txt``.

Every 100th game a line that starts with ``marking`` gives the mean and the population standard deviation of the scores
since the last such line. The first covers one game, later ones 100. Every fifth game there is a line for human readers.

    model.learn(1_000_000, callback=MarkingLogCallback("gravitar-log.txt"))

Credits: the assignment's starter code for both formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from callbacks.episodes import LogCallback

MARKING_LINE = "marking, episode: {}, score: {:.1f}, mean_score: {:.2f}, std_score: {:.2f}"
PROGRESS_LINE = "episode: {}, score: {:.1f}, epsilon: {:.2f}"
PROGRESS_LINE_WITHOUT_EPSILON = "episode: {}, score: {:.1f}"


class MarkingLogCallback(LogCallback):
    """Writes the marking log.

    :param path: the log, which must not exist
    :param every: games between marking lines
    :param progress_every: games between the lines for human readers; 0 for none
    """

    def __init__(self, path: Path | str, every: int = 100, progress_every: int = 5) -> None:
        super().__init__(path)
        self.every = every
        self.progress_every = progress_every
        self.window: list[float] = []  # scores since the last marking line

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the lines that are due after this game."""
        self.window.append(score)
        if episode % self.every == 0:
            mean, std = float(np.mean(self.window)), float(np.std(self.window))
            self.write(MARKING_LINE.format(episode, score, mean, std) + "\n")
            self.window.clear()
        if self.progress_every and episode % self.progress_every == 0:
            self.write(self._progress_line(episode, score) + "\n")
        return True

    def state(self) -> dict[str, Any]:
        """Also the scores since the last marking line."""
        return {**super().state(), "window": self.window}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the scores since the last marking line."""
        super().load_state(state)
        self.window = list(state["window"])

    def _progress_line(self, episode: int, score: float) -> str:
        epsilon = getattr(self.model, "exploration_rate", None)  # DQN and QR-DQN explore by epsilon, PPO does not
        if epsilon is None:
            return PROGRESS_LINE_WITHOUT_EPSILON.format(episode, score)
        return PROGRESS_LINE.format(episode, score, epsilon)
