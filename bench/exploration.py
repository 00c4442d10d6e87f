"""Seconds and agent steps that a search takes to each score, over several seeds.

    python -m bench.exploration --minutes 10 --seeds 3

The searches run one after the other, each with a process for each core, and are kept in RUNS/gravitar under names of
game, minutes and seed. One that is there is not run again; one that was cut short has to be removed.

Credits: A. Ecoffet et al. 2021 (arXiv 2004.12919), Go-Explore.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from rl.explore import explore
from rl.options import DEFAULT_ENV, ExploreSettings

Row = dict[str, str]
DONE = "measured"


@dataclass(frozen=True)
class Settings:
    """Measure how fast a search finds scores."""

    env: str = DEFAULT_ENV
    """Atari environment id."""
    minutes: float = 10.0
    """Of each search."""
    timesteps: int = 1_000_000_000
    """Agent steps after which a search ends earlier."""
    seeds: int = 3
    """Searches, with the seeds 0, 1, ..."""
    scores: tuple[int, ...] = (1_000, 5_000, 10_000)
    """Scores whose time is measured, points."""
    processes: int | None = None
    """Processes of a search. Default: one for each core."""
    runs: Path = Path("runs/bench")
    """Folder of the searches."""


def main() -> None:
    """Run the benchmark."""
    settings = tyro.cli(Settings)
    logs = [_log(settings, seed) for seed in range(settings.seeds)]
    title = f"{settings.env}, {settings.minutes:g} minutes, {settings.seeds} seeds: median (range)"
    table = Table(title=title, caption="seeds: those that reached the score; seconds and steps are over these")
    for column in ("score", "seeds", "seconds", "steps"):
        table.add_column(column, justify="right")
    for score in settings.scores:
        reached = [row for log in logs if (row := _first(log, score)) is not None]
        columns = [[float(row[name]) for row in reached] for name in ("seconds", "steps")]
        table.add_row(f"{score:,}", f"{len(reached)} of {len(logs)}", *(_spread(column) for column in columns))
    best = [float(log[-1]["score"]) if log else 0.0 for log in logs]
    table.add_row("best", "", "", f"{_spread(best)} points")
    Console(width=120).print(table)


def _log(settings: Settings, seed: int) -> list[Row]:
    name = f"{settings.env.split('/')[-1]}-{settings.minutes:g}-minutes-{seed}"
    folder = settings.runs / "gravitar" / name
    if not (folder / DONE).exists():
        explore(
            ExploreSettings(
                env=settings.env,
                timesteps=settings.timesteps,
                minutes=settings.minutes,
                seed=seed,
                processes=settings.processes,
                video=False,
                name=name,
                runs=settings.runs,
            )
        )
        (folder / DONE).touch()
    with (folder / "exploration.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _first(log: list[Row], score: int) -> Row | None:
    return next((row for row in log if int(row["score"]) >= score), None)


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{np.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


if __name__ == "__main__":
    main()
