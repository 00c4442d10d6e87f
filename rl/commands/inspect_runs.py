"""Comparison of runs and of other people's logs: tables in the terminal and one figure with all of them.

Credits: rich (tables); tyro for command lines out of dataclasses.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

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
from common.tables import print_table
from rl.options import InspectSettings

MILESTONES = (100, 500, 1000, 1500, 2000, 3000, 5000, 10000)
_MOST_BLOCKS = 50  # rows of the table of a single run


def inspect(user: InspectSettings) -> None:
    """Run the command ``inspect``, see :func:`inspect_runs`."""
    inspect_runs(user.logs, user.output, user.window, user.title, user.references, user.format)


def inspect_runs(
    paths: Sequence[Path],
    output: Path | None = None,
    window: int = 100,
    title: str | None = None,
    references: bool | None = None,
    form: Literal["table", "csv", "json"] = "table",
    console: Console | None = None,
) -> Path | None:
    """Print tables of the runs' scores and plot their learning curves.

    All logs are read before anything is printed or written. Logs that cannot be read are left out, as long as others
    can. Nothing is written into a run's folder, unless ``output`` lies there.

    :param paths: run folders or log files of any kind that :func:`common.scores.logs.read_log` reads
    :param output: the figure; default: inspect.png in the current folder, none where that is a run's or the form is not
        a table
    :param window: episodes that the means cover, at least 1; marking lines have their own
    :param references: lines at Gravitar's random and human scores; default: where all logs may be Gravitar's
    :param form: what is printed: tables, or one record for each log, see ``records``
    :return: path of the figure; None where there is none
    :raises UserError: when no log can be read, for a bad window or a bad name of the figure (status 2); at the end when
        some logs cannot be read, or for a folder that cannot be written (status 1)
    """
    if not paths:
        raise UserError("no run to inspect; give run folders or log files")
    if window < 1:
        raise UserError(f"--window is {window}; it must be at least 1")
    here = any(path.resolve() == Path.cwd() for path in paths)
    if output is None and form == "table" and not here:
        output = Path("inspect.png")
    if output is not None:
        check_figure_path(output)
    logs, problems = _read(paths)
    console = console or Console()
    if form == "table":
        _print_tables(console, logs, window)
    else:
        console.file.write(_as_csv(records(logs, window)) if form == "csv" else _as_json(records(logs, window)))
    if output is not None:
        plot_learning_curves(logs, output, window, title, references)
    if form == "table":
        console.print(Text(f"figure: {output}" if output else "no figure; --output FILE makes one"), soft_wrap=True)
    if problems:
        said = "; ".join(str(problem) for problem in problems)
        verb = "is" if len(problems) == 1 else "are"
        raise UserError(f"{len(problems)} of {len(paths)} logs {verb} left out: {said}", status=1)
    return output


def _read(paths: Sequence[Path]) -> tuple[list[ScoreLog], list[UserError]]:
    """The logs, and what is wrong with those that cannot be read.

    :raises UserError: when none can be read
    """
    logs, problems = [], []
    for path in paths:
        try:
            logs.append(read_log(path))
        except UserError as error:
            problems.append(error)
    if not logs:
        raise problems[0]
    return with_distinct_names(logs), problems


def _print_tables(console: Console, logs: Sequence[ScoreLog], window: int) -> None:
    print_table(console, milestone_table(logs, window))
    print_table(console, best_table(logs, window))
    print_table(console, last_table(logs, window))
    if len(logs) == 1:
        print_table(console, block_table(logs[0], window))
    for note in _notes(logs):
        console.print(Text(note), soft_wrap=True)


def records(logs: Sequence[ScoreLog], window: int = 100) -> list[dict[str, Any]]:
    """What the tables say of each log, for programs; None where something is not known."""
    found = []
    for log in logs:
        curve = learning_curve(log, window)
        best, game = best_mean(curve), int(np.argmax(log.scores))
        tolerance = 0 if curve.source == "marking" else log.stride
        last = _last(log, window)
        found.append(
            {
                "name": log.name,
                "path": str(log.path),
                "kind": log.kind,
                "environment": log.environment,
                "seed": log.seed,
                "games": log.games,
                "window": curve.window,
                **{f"mean_at_{each}": mean_at(curve, each, tolerance) for each in MILESTONES},
                "best_mean": None if best is None else best[0],
                "best_mean_episode": None if best is None else best[1],
                "best_score": float(log.scores[game]),
                "best_score_episode": int(log.episodes[game]),
                "every_score_known": log.every_score_known,
                "last_first_episode": last.first,
                "last_episode": last.last,
                "last_games": last.games,
                "last_mean": last.mean,
                "last_std": None if np.isnan(last.std) else last.std,
                "last_median": last.median,
                "last_iqm": last.iqm,
                "last_best": last.best,
                "warnings": list(log.warnings),
            }
        )
    return found


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "warnings": "; ".join(row["warnings"])} for row in rows)
    return text.getvalue()


def _as_json(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps(rows, indent=1) + "\n"


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


@dataclass(frozen=True)
class Last:
    """Statistics of the last games of a log, in points; None where single scores are unknown.

    :param first: number of the first of these episodes
    :param last: of the last
    :param games: how many of their scores are known
    """

    first: int
    last: int
    games: int
    mean: float
    std: float
    median: float | None
    iqm: float | None
    best: float | None


def _last(log: ScoreLog, window: int) -> Last:
    """Of the last ``window`` episodes, or of the last marking line where single scores are unknown."""
    if learning_curve(log, window).source == "marking":
        line = log.windows[-1]
        return Last(line.episode - line.size + 1, line.episode, line.size, line.mean, line.std, None, None, None)
    chosen = log.episodes > log.episodes[-1] - window
    scores = log.scores[chosen]
    ends = int(log.episodes[chosen][0]), int(log.episodes[-1])
    middle = float(np.median(scores)), float(interquartile_mean(scores))
    return Last(*ends, scores.size, float(scores.mean()), float(scores.std()), *middle, float(scores.max()))


def last_table(logs: Sequence[ScoreLog], window: int = 100) -> Table:
    """Statistics of the last ``window`` games of each run, or its last marking line where single scores are unknown."""
    table = _table(f"Last {window} games, score in points")
    for head in ("episodes", "games", "mean", "std (population)", "median", "IQM", "best"):
        table.add_column(head, justify="right", no_wrap=True)
    for log in logs:
        last = _last(log, window)
        columns = (last.mean, last.std, last.median, last.iqm, last.best)
        table.add_row(Text(log.name), _span(last.first, last.last), str(last.games), *map(_points, columns))
    return table


def _span(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,}-{last:,}"


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
        table.add_row(
            _span(row.first, row.last), str(row.games), *map(_points, (row.mean, row.std, row.median, row.best))
        )
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
    # Where it is printed alone, a title wider than its table must not be broken.
    whole = Text(title, no_wrap=True, overflow="ignore")
    table = Table(title=whole, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    return table


def _points(score: float | None) -> str:
    if score is None or np.isnan(score):
        return "-"
    return f"{score:,.0f}" if abs(score) >= 1000 else f"{score:,.1f}"
