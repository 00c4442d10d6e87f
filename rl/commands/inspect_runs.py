"""Comparison of runs and of other people's logs: tables in the terminal and one figure with all of them.

Credits: rich (tables); tyro for command lines out of dataclasses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.errors import UserError
from common.scores.curves import best_mean, blocks, learning_curve, mean_at
from common.scores.logs import ScoreLog, read_log
from common.scores.plots import check_figure_path, plot_learning_curves
from common.scores.statistics import interquartile_mean
from rl.options import InspectSettings

MILESTONES = (100, 500, 1000, 1500, 2000, 3000, 5000, 10000)
_MOST_BLOCKS = 50  # rows of the table of a single run


def inspect(user: InspectSettings) -> None:
    """Run the command ``inspect``, see :func:`inspect_runs`."""
    inspect_runs(user.logs, user.output, user.window, user.title, user.references)


def inspect_runs(
    paths: Sequence[Path],
    output: Path | None = None,
    window: int = 100,
    title: str | None = None,
    references: bool | None = None,
    console: Console | None = None,
) -> Path:
    """Print tables of the runs' scores and plot their learning curves.

    All logs are read before anything is printed or written.

    :param paths: run folders or log files of any kind that :func:`common.scores.logs.read_log` reads
    :param output: the figure; default: learning-curve.png in the folder of a single run, else inspect.png in
        the current folder
    :param window: episodes that the means cover, at least 1; marking lines have their own
    :param references: lines at Gravitar's random and human scores; default: where all logs may be Gravitar's
    :return: path of the figure
    :raises UserError: for a log that cannot be read, a bad window or a bad name of the figure (status 2), or
        a folder that cannot be written (status 1)
    """
    if not paths:
        raise UserError("no run to inspect; give run folders or log files")
    if window < 1:
        raise UserError(f"--window is {window}; it must be at least 1")
    if output is None:
        output = paths[0] / "learning-curve.png" if len(paths) == 1 and paths[0].is_dir() else Path("inspect.png")
    check_figure_path(output)
    logs = with_distinct_names([read_log(path) for path in paths])
    console = console or Console()
    console.print(milestone_table(logs, window))
    console.print(best_table(logs, window))
    console.print(last_table(logs, window))
    if len(logs) == 1:
        console.print(block_table(logs[0], window))
    for note in _notes(logs):
        console.print(Text(note), soft_wrap=True)
    plot_learning_curves(logs, output, window, title, references)
    console.print(Text(f"figure: {output}"), soft_wrap=True)
    return output


def with_distinct_names(logs: Sequence[ScoreLog]) -> list[ScoreLog]:
    """The logs with distinct names: equal names get the name of a folder in front, and a number if necessary."""
    shared = Counter(log.name for log in logs)
    names = []
    for log in logs:
        folder = log.path.resolve().parent
        # Where the name is that of the folder, the folder above it is used.
        above = folder.parent.name if folder.name == log.name else folder.name
        names.append(f"{above}/{log.name}" if shared[log.name] > 1 else log.name)
    shared, seen = Counter(names), Counter[str]()
    distinct = []
    for log, name in zip(logs, names, strict=True):
        seen[name] += 1
        distinct.append(replace(log, name=f"{name} ({seen[name]})" if shared[name] > 1 else name))
    return distinct


def milestone_table(logs: Sequence[ScoreLog], window: int = 100) -> Table:
    """Mean score of the last ``window`` games at the episodes in ``MILESTONES``."""
    longest = max(int(log.episodes[-1]) + log.stride for log in logs)
    milestones = [each for each in MILESTONES if each <= longest] or [MILESTONES[0]]
    table = _table(f"Mean score of the last {window} games, at episode")
    for milestone in milestones:
        table.add_column(f"{milestone:,}", justify="right")
    for log in logs:
        curve = learning_curve(log, window)
        # Episodes are numbered from 0, so the last one before a milestone is one less; marking lines are exactly at it.
        tolerance = 0 if curve.source == "marking" else log.stride
        table.add_row(Text(log.name), *(_points(mean_at(curve, each, tolerance)) for each in milestones))
    return table


def best_table(logs: Sequence[ScoreLog], window: int = 100) -> Table:
    """Number of games, best mean of ``window`` games and best game of each run, the last two with their episodes."""
    table = _table(f"Best {window} games and best single game, score @ episode")
    for head in ("seed", "games", "best mean", "best game"):
        table.add_column(head, justify="right", no_wrap=True)
    for log in logs:
        best, game = best_mean(learning_curve(log, window)), int(np.argmax(log.scores))
        mark = "" if log.every_score_known else "*"
        table.add_row(
            Text(log.name),
            "-" if log.seed is None else str(log.seed),
            f"{log.games:,}",
            "-" if best is None else f"{_points(best[0])} @ {best[1]:,}",
            f"{_points(float(log.scores[game]))}{mark} @ {log.episodes[game]:,}",
        )
    return table


def last_table(logs: Sequence[ScoreLog], window: int = 100) -> Table:
    """Statistics of the last ``window`` games of each run, or its last marking line where single scores are unknown."""
    table = _table(f"Last {window} games, score in points")
    for head in ("games", "mean", "std (population)", "median", "IQM", "best"):
        table.add_column(head, justify="right", no_wrap=True)
    for log in logs:
        if learning_curve(log, window).source == "marking":
            last = log.windows[-1]
            table.add_row(Text(log.name), str(last.size), _points(last.mean), _points(last.std), "-", "-", "-")
            continue
        scores = log.scores[log.episodes > log.episodes[-1] - window]
        columns = (scores.mean(), scores.std(), np.median(scores), interquartile_mean(scores), scores.max())
        table.add_row(Text(log.name), str(scores.size), *(_points(float(value)) for value in columns))
    return table


def block_table(log: ScoreLog, size: int = 100) -> Table:
    """One run in blocks of ``size`` episodes; of a long run every n-th block, as the title says."""
    rows = blocks(log, size)
    every = -(-len(rows) // _MOST_BLOCKS)
    shown = rows[::every] if (len(rows) - 1) % every == 0 else [*rows[::every], rows[-1]]
    title = f"{log.name} by {size} episodes, score in points" + (f" (one row in {every})" if every > 1 else "")
    table = _table(title, first="episodes")
    for head in ("games", "mean", "std (population)", "median", "best"):
        table.add_column(head, justify="right")
    for row in shown:
        span = f"{row.first:,}" if row.first == row.last else f"{row.first:,}-{row.last:,}"
        table.add_row(span, str(row.games), *map(_points, (row.mean, row.std, row.median, row.best)))
    return table


def _notes(logs: Sequence[ScoreLog]) -> list[str]:
    notes = []
    for log in logs:
        if not log.every_score_known:
            share = f"{log.episodes.size:,} of {log.games:,}"
            means = "; means are those of its marking lines" if log.windows else ""
            notes.append(f"* {log.name}: best of the scores that the log gives, {share}{means}")
    return notes + [f"{log.name}: {warning}" for log in logs for warning in log.warnings]


def _table(title: str, first: str = "run") -> Table:
    # A title wider than its table must not be broken.
    whole = Text(title, no_wrap=True, overflow="ignore")
    table = Table(title=whole, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold", min_width=8)
    return table


def _points(score: float | None) -> str:
    if score is None or np.isnan(score):
        return "-"
    return f"{score:,.0f}" if abs(score) >= 1000 else f"{score:,.1f}"
