"""The figures of a study's report: history, importances, parallel coordinates, cost, and the Pareto front.

Credits: matplotlib; M. Okabe, K. Ito 2008 (colours that colour-blind readers can tell apart); A. Inselberg 1985
(parallel coordinates).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

COMPLETE, PRUNED, FAILED, DEFAULT = "#0072B2", "#E69F00", "#D55E00", "#009E73"
STYLES = {TrialState.COMPLETE: ("finished", COMPLETE, "o"), TrialState.PRUNED: ("pruned", PRUNED, "x")}
DPI = 130


def png(figure: Figure) -> bytes:
    """A figure as PNG; equal figures give equal bytes."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=DPI)
    return written.getvalue()


def history(trials: Mapping[int, FrozenTrial], objective: int, metric: str, sign: float) -> Figure:
    """The value of each trial, and the best so far.

    :param trials: the last attempt of each trial, by its place in the plan
    :param objective: index of the objective
    :param metric: the objective's name, for the axis
    :param sign: 1 for an objective that is maximised, -1 for one that is minimised
    """
    figure, axes = _axes(8.0, 4.2)
    for state, (name, colour, marker) in STYLES.items():
        chosen = [(k, one.values[objective]) for k, one in trials.items() if one.state == state and one.values]
        if chosen:
            label = name if state == TrialState.COMPLETE else f"{name} (last value before)"
            numbers, values = zip(*chosen, strict=True)
            axes.scatter(numbers, values, c=colour, marker=marker, s=28, label=label, zorder=3)
    done = {k: one.values[objective] for k, one in trials.items() if one.state == TrialState.COMPLETE}
    if done:
        order = sorted(done)
        best = sign * np.maximum.accumulate([sign * done[k] for k in order])
        axes.step(order, best, where="post", color=COMPLETE, linewidth=1.4, label="best so far")
    if 0 in done:
        axes.axhline(done[0], color=DEFAULT, linewidth=1.2, linestyle=(0, (5, 2)), label="default values (trial 0)")
    failed = [k for k, one in trials.items() if one.state == TrialState.FAIL]
    for index, k in enumerate(failed):
        axes.axvline(k, color=FAILED, linewidth=1.0, alpha=0.6, label=None if index else "failed")
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def importances(shares: Mapping[str, float], metric: str) -> Figure:
    """A bar for each parameter.

    :param shares: importance by parameter; they sum to 1
    """
    figure, axes = _axes(8.0, 0.9 + 0.34 * len(shares))
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=COMPLETE, height=0.65)
    for row, name in enumerate(names):
        axes.text(shares[name] + 0.01, row, f"{shares[name]:.2f}", va="center", fontsize=8)
    axes.set_xlim(0, max(shares.values()) * 1.15)
    axes.set_xlabel(f"share of the importance for: {metric} (PED-ANOVA)")
    axes.grid(axis="y", visible=False)
    return figure


def parallel(
    trials: Sequence[FrozenTrial], kinds: Mapping[str, BaseDistribution], objective: int, metric: str, sign: float
) -> Figure:
    """A line for each finished trial through the values of its parameters; better trials are darker, the best on top.

    :param kinds: the distribution of each parameter
    """
    figure, axes = _axes(max(8.0, 1.15 * len(kinds) + 1.5), 4.6)
    values = [one.values[objective] for one in trials]
    low, high = min(values), max(values)
    scale = Normalize(low, high if high > low else low + 1)
    colours = "viridis_r" if sign > 0 else "viridis"
    shades = ScalarMappable(scale, colours)
    for one in sorted(trials, key=lambda one: sign * one.values[objective]):
        points = [(k, height(one.params[name], kind)) for k, (name, kind) in enumerate(kinds.items())
                  if name in one.params]  # fmt: skip
        shade = shades.to_rgba(one.values[objective])
        axes.plot(*zip(*points, strict=True), color=shade, linewidth=1.6, alpha=0.85, marker="o", markersize=3)
    for k, kind in enumerate(kinds.values()):
        axes.axvline(k, color="#444444", linewidth=0.8, zorder=0)
        for share, word in ends(kind):
            place = -0.03 if share == 0 else 1.03 if share == 1 else share
            align = "top" if share == 0 else "bottom" if share == 1 else "center"
            axes.text(k, place, word, ha="center", va=align, fontsize=8,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8})  # fmt: skip
    axes.set_xticks(range(len(kinds)), list(kinds), rotation=20, ha="right")
    axes.tick_params(axis="x", pad=14, length=0)
    axes.set_ylim(-0.04, 1.12)
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    figure.colorbar(shades, ax=axes, label=metric, pad=0.02)
    return figure


def cost(parts: Mapping[str, int], unit: str) -> Figure:
    """One bar with the steps of finished, pruned, failed and lost trials.

    :param parts: numbers of steps in this order, by the name in the legend
    """
    figure, axes = _axes(8.0, 1.7)
    total = max(1, sum(parts.values()))
    left = 0
    for (name, steps), colour in zip(parts.items(), (COMPLETE, PRUNED, FAILED, "#999999"), strict=True):
        if steps:
            axes.barh(
                [0], [steps], left=left, color=colour, height=0.6, label=f"{name}: {steps:,} ({steps / total:.0%})"
            )
        left += steps
    axes.set_yticks([])
    axes.set_xlim(0, total)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(visible=False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, frameon=False, fontsize=8)
    return figure


def front(trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial], metrics: Sequence[str], numbers: Any) -> Figure:
    """Two objectives of each finished trial; the trials of the Pareto front have their numbers.

    :param best: the Pareto front
    :param numbers: function from a trial to its place in the plan
    """
    figure, axes = _axes(7.0, 5.0)
    first = [one for one in trials if numbers(one) == 0]
    others = [one for one in trials if numbers(one) != 0]
    axes.scatter(*_columns(others), c="#999999", s=24, label="finished")
    axes.scatter(*_columns(first), c=DEFAULT, s=60, marker="D", label="default values (trial 0)", zorder=4)
    ordered = sorted(best, key=lambda one: one.values[0])
    axes.plot(
        *_columns(ordered), color=COMPLETE, marker="o", markersize=6, linewidth=1.2, label="no other is better in both"
    )
    for one in ordered:
        axes.annotate(str(numbers(one)), one.values, xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.set_xlabel(metrics[0])
    axes.set_ylabel(metrics[1])
    _legend(axes)
    return figure


def height(value: Any, kind: BaseDistribution) -> float:
    """The position of a value in its range, 0 to 1."""
    if isinstance(kind, CategoricalDistribution):
        return kind.choices.index(value) / max(1, len(kind.choices) - 1)
    assert isinstance(kind, FloatDistribution | IntDistribution)
    low, high = (math.log(kind.low), math.log(kind.high)) if kind.log else (kind.low, kind.high)
    share = ((math.log(value) if kind.log else value) - low) / (high - low)
    return min(1.0, max(0.0, share))


def ends(kind: BaseDistribution) -> list[tuple[float, str]]:
    """Positions and labels on an axis: the ends of a range, or every choice."""
    if isinstance(kind, CategoricalDistribution):
        return [(height(word, kind), str(word)) for word in kind.choices]
    assert isinstance(kind, FloatDistribution | IntDistribution)
    return [(0.0, f"{kind.low:g}"), (1.0, f"{kind.high:g}{' (log)' if kind.log else ''}")]


def _columns(trials: Sequence[FrozenTrial]) -> tuple[list[float], list[float]]:
    return [one.values[0] for one in trials], [one.values[1] for one in trials]


def _axes(width: float, tall: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, tall), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, frameon=False, fontsize=8)
