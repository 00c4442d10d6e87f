"""Measure several ways of doing the same in turn, so that a machine that drifts or is shared disturbs all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from rich.console import Console
from rich.table import Table


def alternate(
    title: str, ways: Mapping[str, Callable[[], float]], rounds: int, unit: str, warm_up: bool = True
) -> dict[str, list[float]]:
    """Call every way once a round, in turn, and print rates and ratios to the first.

    :param ways: for each name a function that does the work and returns its rate, more is better; the first is ours
    :param rounds: counted rounds
    :param unit: of the rates, for the table
    :param warm_up: whether one round that is not counted comes before
    :return: the rates of each way, one a round
    """
    for work in ways.values() if warm_up else ():
        work()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            rates[name].append(work())
    ours = np.array(next(iter(rates.values())))
    table = Table(title=f"{title} ({rounds} rounds in turn)")
    for column in ("", f"{unit}, median (min - max)", "ratio of the first to it, median (min - max)"):
        table.add_column(column)
    for name, values in rates.items():
        ratio = ours / np.array(values)
        table.add_row(name, _spread(values, ",.0f"), _spread(ratio, ".2f"))
    Console(width=120).print(table)
    return rates


def _spread(values: object, format_spec: str) -> str:
    array = np.asarray(values, np.float64)
    low, middle, high = (format(value, format_spec) for value in (array.min(), np.median(array), array.max()))
    return f"{middle} ({low} - {high})"
