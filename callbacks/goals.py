"""Which goals the games of an agent with goals reach, as a log and a figure.

Credits: T. D. Kulkarni et al. 2016 (arXiv 1604.06057), figure 4, for success by goal over the training; matplotlib.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from callbacks.episodes import LogCallback
from common.errors import UserError
from common.files import write_atomic

COLUMNS = ("visited", "chosen", "reached")
WINDOW = 100  # games
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


class GoalsCallback(LogCallback):
    """Writes a line for each game, and now and then a figure beside it: the share of the last 100 games that were at
    each goal, and how often each was chosen.

    The columns of a goal are ``NAME visited`` (1 where the agent was there, whatever its goal), ``NAME chosen`` and
    ``NAME reached`` (how often).

    :param path: the log, which must not exist; its name ends in ``.csv``
    :param names: of the goals
    :param every: games between figures
    """

    def __init__(self, path: Path | str, names: Sequence[str], every: int = 500) -> None:
        super().__init__(path)
        self.names = list(names)
        self.every = every

    def first_lines(self) -> str:
        """The names of the columns."""
        columns = (f"{name} {column}" for name in self.names for column in COLUMNS)
        return ",".join(["episode", "score", *columns]) + "\n"

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the line of this game."""
        counts = info["goals"]
        values = (counts[column][goal] for goal in range(len(self.names)) for column in COLUMNS)
        self.write(",".join([str(episode), f"{score:g}", *map(str, values)]) + "\n")
        if (episode + 1) % self.every == 0:
            self.plot()
        return True

    def _on_training_end(self) -> None:
        if self.n_episodes:
            self.plot()

    def plot(self) -> None:
        """Draw the log. Prints a warning when the figure cannot be written."""
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}
        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        visits, choices = figure.subplots(1, 2)
        for index, name in enumerate(self.names):
            colour = _COLOURS[index % len(_COLOURS)]
            visits.plot(_trailing(table[f"{name} visited"]), color=colour, label=name)
            choices.plot(_trailing(table[f"{name} chosen"]), color=colour, label=name)
        visits.set(ylabel=f"share of the last {WINDOW} games that were there", ylim=(-0.02, 1.02))
        choices.set(ylabel=f"times chosen in a game (mean of {WINDOW})")
        for axes in (visits, choices):
            axes.set_xlabel("episode (games finished)")
            axes.grid(alpha=0.3)
        visits.legend(fontsize="small")
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=150, metadata={})
        try:
            write_atomic(self.path.with_suffix(".png"), written.getvalue())
        except UserError as error:
            print(f"warning: no figure of the goals: {error}")


def _trailing(values: Any) -> Any:
    """The mean of each value and up to 99 before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - WINDOW, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)
