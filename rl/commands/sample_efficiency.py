"""The command ``run_walker.py table``: how soon runs are good, in environment steps and episodes.

run_walker.py table runs/walker/*
run_walker.py table runs/walker/crossq-42 runs/walker/crossq-43 somebody/agent-log.txt

A run is good from the first episode on at which the mean of the last 100 episodes reaches a value. Runs whose names
differ only in the seed at their end are one method: their median and range are shown, and how many get there.

Credits: the assignment of 2021, which values few environment steps; rich for tables.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from common.errors import UserError, check_at_least
from common.scores.curves import learning_curve
from common.scores.logs import ScoreLog, read_log
from common.tables import print_table
from rl.commands.walker_options import TableSettings


@dataclass(frozen=True)
class Passed:
    """When a run's mean first reached a value; None where it never did, or the log does not say.

    :param episodes: finished by then
    :param steps: of the environment by then
    """

    episodes: int | None
    steps: int | None


@dataclass(frozen=True)
class Method:
    """Runs that differ in their seed alone.

    :param passed: of each run, for each value
    """

    name: str
    seeds: tuple[int | None, ...]
    passed: tuple[tuple[Passed, ...], ...]


def table(user: TableSettings) -> None:
    """Print the table.

    :raises UserError: for a log that cannot be read, or a window below 1
    """
    check_at_least(1, {"--window": user.window})
    if not user.runs:
        raise UserError("no run to compare; give run folders, or agent logs")
    if not user.means:
        raise UserError("--means: give at least one mean score, such as 300")
    methods = compare([read_log(path) for path in user.runs], user.means, user.window)
    console = Console()
    if user.format == "table":
        print_table(console, _table(methods, user))
    else:
        console.file.write(_as_text(methods, user))


def passed(log: ScoreLog, mean: float, window: int = 100) -> Passed:
    """When the mean of the last ``window`` episodes first reached a value.

    :param mean: points
    """
    curve = learning_curve(log, window)
    reached = np.flatnonzero(curve.means >= mean) if curve.complete else np.zeros(0, np.int64)
    if not reached.size:
        return Passed(None, None)
    episode = int(curve.episodes[reached[0]])
    place = int(np.searchsorted(log.episodes, episode))
    steps = None if log.lengths is None else int(log.lengths[: place + 1].sum())
    return Passed(episode - int(log.episodes[0]) + 1, steps)


def compare(logs: Sequence[ScoreLog], means: Sequence[float], window: int = 100) -> list[Method]:
    """The methods in the order in which their first runs come."""
    runs: dict[str, list[ScoreLog]] = {}
    for log in logs:
        runs.setdefault(log.name.removesuffix(f"-{log.seed}"), []).append(log)
    return [
        Method(
            name,
            tuple(log.seed for log in group),
            tuple(tuple(passed(log, mean, window) for mean in means) for log in group),
        )
        for name, group in runs.items()
    ]


def spread(values: Sequence[int | None]) -> str:
    """Median and range over runs, ``84,000 [71,000, 90,000]``; the number that got there where not all did.

    A run that never got there counts as later than all others, so that a median of such is ``-``.
    """
    there = sorted(value for value in values if value is not None)
    if not there:
        return "-"
    padded = sorted(np.inf if value is None else float(value) for value in values)
    median = float(np.median(padded)) if padded[len(padded) // 2] < np.inf else np.inf
    text = f"{median:,.0f}" if median < np.inf else "-"
    if len(values) > 1:
        text += f" [{there[0]:,}, {there[-1]:,}]"
    return text if len(there) == len(values) else f"{text} ({len(there)} of {len(values)})"


def _table(methods: Sequence[Method], user: TableSettings) -> Table:
    title = f"When the mean of the last {user.window} episodes first reached a value: median [range] over seeds"
    made = Table(title=title)
    made.add_column("method")
    made.add_column("seeds")
    for mean in user.means:
        made.add_column(f"steps to {mean:g}", justify="right")
        made.add_column(f"episodes to {mean:g}", justify="right")
    for method in methods:
        cells = []
        for place in range(len(user.means)):
            found = [run[place] for run in method.passed]
            cells += [spread([one.steps for one in found]), spread([one.episodes for one in found])]
        seeds = ", ".join("-" if seed is None else str(seed) for seed in method.seeds)
        made.add_row(method.name, seeds, *cells)
    return made


def _as_text(methods: Sequence[Method], user: TableSettings) -> str:
    """One record for each run."""
    rows = [
        {
            "method": method.name,
            "seed": seed,
            **{f"steps_to_{mean:g}": one.steps for mean, one in zip(user.means, run, strict=True)},
            **{f"episodes_to_{mean:g}": one.episodes for mean, one in zip(user.means, run, strict=True)},
        }
        for method in methods
        for seed, run in zip(method.seeds, method.passed, strict=True)
    ]
    if user.format == "json":
        return json.dumps(rows, indent=1) + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
