"""The chain of six states: hierarchical Q-learning against Q-learning, as a table and a figure.

    python -m bench.chain --output docs/papers/chain.png        # the figure of docs/papers/h-dqn.md

Credits: T. D. Kulkarni et al. 2016 (arXiv 1604.06057), figures 3 and 4; matplotlib.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from common.errors import UserError
from common.files import write_atomic
from common.scores.plots import check_figure_path
from common.tables import print_table
from rl.algorithms.hierarchical_q import FlatQ, HierarchicalQ, TableSettings, learn
from rl.envs.chain import START, STATES, ChainEnv, optimal_values

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True)
class Settings:
    """Compare hierarchical Q-learning with Q-learning."""

    episodes: int = 12_000
    """Episodes of each training, a multiple of the window."""
    window: int = 1_000
    """Episodes in a mean."""
    seeds: int = 10
    """Trainings of each."""
    output: Path = Path("chain.png")
    """The figure."""


def main() -> None:
    """Learn, print the table and draw the figure."""
    settings = tyro.cli(Settings)
    try:
        if settings.window < 1 or settings.seeds < 1 or settings.episodes % settings.window or settings.episodes < 1:
            raise UserError("--episodes must be a multiple of --window, and all of them at least 1")
        check_figure_path(settings.output)
        flat, deep, goals = measure(settings)
        write_atomic(settings.output, draw(settings, flat, deep, goals))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    table = Table(
        title=f"mean reward of the last {settings.window:,} of {settings.episodes:,} episodes, {settings.seeds} seeds",
        caption=f"the most that any policy gets: {optimal_values(1.0)[0, START]:.3f}",
    )
    table.add_column("method")
    for column in ("mean", "lowest", "highest"):
        table.add_column(column, justify="right")
    for name, rewards in (("Q-learning", flat), ("hierarchical", deep)):
        last = rewards[:, -1]
        table.add_row(name, f"{last.mean():.4f}", f"{last.min():.4f}", f"{last.max():.4f}")
    print_table(Console(), table)
    print(f"the figure is in {settings.output}")


def measure(settings: Settings) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean rewards of both, (seeds, windows), and the share of choices of each goal, (seeds, windows, goals)."""
    windows = settings.episodes // settings.window
    flat, deep = np.zeros((2, settings.seeds, windows))
    goals = np.zeros((settings.seeds, windows, STATES))
    for seed in range(settings.seeds):
        baseline = FlatQ(STATES, 2, TableSettings(), seed)
        agent = HierarchicalQ(STATES, STATES, 2, TableSettings(), seed)
        ours, theirs = ChainEnv(), ChainEnv()
        for window in range(windows):
            begin = seed if window == 0 else None
            flat[seed, window] = learn(baseline, theirs, settings.window, begin).mean()
            before = agent.chosen.copy()
            deep[seed, window] = learn(agent, ours, settings.window, begin).mean()
            goals[seed, window] = (agent.chosen - before) / (agent.chosen - before).sum()
    return flat, deep, goals


def draw(settings: Settings, flat: NDArray[Any], deep: NDArray[Any], goals: NDArray[Any]) -> bytes:
    """Average reward, and how often each goal is chosen, as a .png, .pdf or .svg."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    rewards, choices = figure.subplots(1, 2)
    episodes = settings.window * (1 + np.arange(flat.shape[1]))
    for values, name, colour in ((deep, "hierarchical", COLOURS[0]), (flat, "Q-learning", COLOURS[1])):
        rewards.plot(episodes, values.mean(axis=0), color=colour, label=name)
        rewards.fill_between(episodes, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    best = optimal_values(1.0)[0, START]
    rewards.axhline(best, color="#000000", lw=0.8, ls="--", label="best policy")
    rewards.set(ylabel="reward an episode, mean and range over the seeds", title=f"{settings.seeds} seeds")
    for goal in range(STATES):
        choices.plot(episodes, goals[:, :, goal].mean(axis=0), color=COLOURS[goal], label=f"state {goal + 1}")
    choices.set(ylabel="share of the chosen goals", title="goals of the meta-controller")
    for axes in (rewards, choices):
        axes.set_xlabel(f"episodes (windows of {settings.window:,})")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    written = io.BytesIO()
    figure.savefig(written, format=settings.output.suffix[1:].lower(), dpi=150, metadata={})
    return written.getvalue()


if __name__ == "__main__":
    main()
