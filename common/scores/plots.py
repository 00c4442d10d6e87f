"""Learning curves of one or several runs as a figure: score against the number of finished games.

Credits: M. Okabe, K. Ito 2008 (colours that colour-blind readers can tell apart); matplotlib; the random and
the human score of Gravitar, 173.0 and 3,351.4 points, are those of dqn_zoo (J. Quan, G. Ostrovski 2020).
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from common.errors import UserError, nearest
from common.files import write_atomic
from common.scores.curves import Curve, FloatArray, IntArray, interval_curve, learning_curve, quartiles
from common.scores.logs import ScoreLog

SCORE_AXIS = "score (points, raw, whole games)"
EPISODE_AXIS = "episode (games finished)"
GRAVITAR_REFERENCES = {"random play": 173.0, "human": 3351.0}
FIGURE_FORMATS = (".png", ".pdf", ".svg")

# Okabe and Ito's colours without the yellow, which is too pale for a thin line on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINE_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "d", "*")
_WIDER_MARKERS = "PX*"  # drawn larger, as their arms are thin
_MARKS_PER_LINE = 8
_USUAL = 0.98  # share of a single run's games for which its axis has room in any case
_SETTLED = 10  # games in a mean of all so far, from which on the axis has room for it
_LEAST_RANGE = 10.0  # points
_MOST_BANDS = 3  # more would hide each other
_WIDTH, _HEIGHT, _DPI = 9.0, 5.4, 150  # inches, inches, dots per inch
_LEGEND_ROW = 0.19  # inches
_LEGEND_CHARACTERS, _LEGEND_SAMPLE = 135, 9  # characters in a row of the legend, and the width of a line sample
_CAPTION_CHARACTERS, _NAME_CHARACTERS = 125, 32


def plot_learning_curves(
    logs: Sequence[ScoreLog],
    path: Path,
    window: int = 100,
    title: str | None = None,
    references: bool | None = None,
    interval: int | None = None,
) -> Path:
    """Write the figure of :func:`learning_curve_figure` to a file atomically.

    :param path: .png, .pdf or .svg
    :return: the path
    :raises UserError: for another suffix (status 2) or a folder that cannot be written (status 1)
    """
    check_figure_path(path)
    figure = learning_curve_figure(logs, window, title, references, interval)
    written = io.BytesIO()
    # Without a date equal runs give equal bytes.
    undated = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}[path.suffix.lower()]
    figure.savefig(written, format=path.suffix[1:].lower(), dpi=_DPI, metadata=undated)
    write_atomic(path, written.getvalue())
    return path


def check_figure_path(path: Path) -> None:
    """Validate the path of a figure.

    :raises UserError: for a suffix other than .png, .pdf and .svg, or a folder (status 2)
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the figure a file name that ends in .png or .pdf")
    if path.suffix.lower() not in FIGURE_FORMATS:
        hint = nearest(path.suffix, FIGURE_FORMATS) if path.suffix else ""
        raise UserError(f"{path.name}: a figure's name must end in {', '.join(FIGURE_FORMATS)}{hint}")


def learning_curve_figure(
    logs: Sequence[ScoreLog],
    window: int = 100,
    title: str | None = None,
    references: bool | None = None,
    interval: int | None = None,
) -> Figure:
    """Mean score of the last ``window`` games against the episode number, one line per run.

    For logs with marking lines only, their means are drawn as steps. For up to three runs the range between the
    quartiles of each window is shaded; the figure of a single run has its games as dots as well, and its axis has no
    room for few games far above all others.

    :param logs: one to about twelve runs
    :param references: thin lines at Gravitar's random and human scores, if they are within the range of the data;
        default: if every log may be of Gravitar
    :param interval: instead of the last ``window`` games, mean and standard deviation of each so many games
    :raises ValueError: without a log
    """
    if not logs:
        raise ValueError("no log to draw")
    curves = [interval_curve(log, interval) if interval else learning_curve(log, window) for log in logs]
    banded = [len(logs) <= _MOST_BANDS and curve.source != "marking" for curve in curves]
    dots = len(logs) == 1 and logs[0].every_score_known

    labels = [_label(log, curve) for log, curve in zip(logs, curves, strict=True)]
    columns = max(1, min(3, _LEGEND_CHARACTERS // (max(map(len, labels)) + _LEGEND_SAMPLE)))
    rows = -(-len(logs) // columns)
    figure = Figure(figsize=(_WIDTH, _HEIGHT + _LEGEND_ROW * (rows - 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if dots:
        _plot_games(axes, logs[0])
    width = 1.8 if len(logs) <= _MOST_BANDS else 1.2
    for index, (log, curve) in enumerate(zip(logs, curves, strict=True)):
        if banded[index]:
            axes.fill_between(*_band(log, curve), color=_colour(index), alpha=0.15, lw=0)
        _plot_curve(axes, index, curve, labels[index], width, marked=len(logs) > 1 or curve.source == "marking")
    above = _limit_scores(axes, logs[0], curves[0]) if dots else 0
    axes.margins(x=0.01)
    axes.set_xlim(left=0, right=None if any(log.episodes[-1] > 0 for log in logs) else 1)
    if all(map(_may_be_gravitar, logs)) if references is None else references:
        _plot_references(axes)
    axes.set_xlabel(EPISODE_AXIS)
    axes.set_ylabel(SCORE_AXIS)
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.8g}"))

    caption = textwrap.wrap(_caption(logs, curves, banded, dots, window, above), _CAPTION_CHARACTERS)
    axes.text(0, 1.015, "\n".join(caption), transform=axes.transAxes, va="bottom", fontsize=8.5, color="#444444")
    axes.set_title(_plain(title or _title(logs)), loc="left", fontsize=13, pad=9 + 13 * len(caption))
    figure.legend(loc="outside lower left", ncols=columns, fontsize=8.5, frameon=False, handlelength=3.2)
    return figure


def _band(log: ScoreLog, curve: Curve) -> tuple[IntArray, FloatArray, FloatArray]:
    """Episodes, and the lower and the upper end of what is shaded there: shape (m,) each."""
    if curve.deviations is None:
        return quartiles(log, curve)
    return curve.episodes, curve.means - curve.deviations, curve.means + curve.deviations


def _plot_games(axes: Axes, log: ScoreLog) -> None:
    size = 2.5 if log.games > 1000 else 4.0
    axes.plot(log.episodes, log.scores, ".", ms=size, color="#666666", alpha=0.45, mew=0, rasterized=True)


def _limit_scores(axes: Axes, log: ScoreLog, curve: Curve) -> int:
    """Set the range of scores to that of the line and of most games, so that single games do not squash the line.

    Games above it are shown as triangles at its upper end.

    :return: their number
    """
    settled = curve.means[_SETTLED:] if not curve.complete and curve.means.size > 2 * _SETTLED else curve.means
    usual = float(np.quantile(log.scores, _USUAL, method="higher"))
    low, high = float(log.scores.min()), max(float(settled.max()), usual)
    high = max(low + _LEAST_RANGE, high)
    margin = 0.05 * (high - low)
    if log.scores.max() <= high + 4 * margin:
        high = max(high, float(log.scores.max()))
    axes.set_ylim(low - margin, high + margin)
    above = log.scores > high + margin
    axes.plot(log.episodes[above], np.full(above.sum(), high + margin), "^", ms=4, color="#666666", clip_on=False)
    return int(above.sum())


def _plot_curve(axes: Axes, index: int, curve: Curve, label: str, width: float, marked: bool) -> None:
    every = max(1, curve.episodes.size // _MARKS_PER_LINE)
    axes.plot(
        curve.episodes,
        curve.means,
        color=_colour(index),
        lw=width,
        ls=_LINE_STYLES[index // len(_COLOURS) % len(_LINE_STYLES)],
        marker=_MARKERS[index % len(_MARKERS)] if marked else None,
        ms=9 if _MARKERS[index % len(_MARKERS)] in _WIDER_MARKERS else 6,
        mec="white",
        mew=0.7,
        # The offsets separate the markers of overlapping lines.
        markevery=1 if curve.source == "marking" else (every * (index % 4 + 1) // 5, every),
        drawstyle="steps-pre" if curve.source == "marking" else "default",
        label=label,
    )


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _label(log: ScoreLog, curve: Curve) -> str:
    notes = [f"seed {log.seed}"] if log.seed is not None else []
    notes.append(f"{log.games:,} games")
    if curve.source == "marking":
        notes.append("marking lines")
    name = log.name if len(log.name) <= _NAME_CHARACTERS else f"{log.name[: _NAME_CHARACTERS - 1]}…"
    # matplotlib omits labels that begin with an underscore from the legend.
    return _plain(f"{name} ({', '.join(notes)})".replace("_", "\N{ZERO WIDTH SPACE}_", name.startswith("_")))


def _plain(text: str) -> str:
    """Text in which matplotlib finds no formula."""
    return text.replace("$", r"\$")


def _title(logs: Sequence[ScoreLog]) -> str:
    return f"Learning curve of {logs[0].name}" if len(logs) == 1 else f"Learning curves of {len(logs)} runs"


def _caption(
    logs: Sequence[ScoreLog], curves: Sequence[Curve], banded: Sequence[bool], dots: bool, window: int, above: int
) -> str:
    parts = []
    if any(curve.source == "trailing" for curve in curves):
        short = any(not curve.complete for curve in curves)
        line = f"Line: mean of the last {window} games{' (of all so far, where fewer)' if short else ''}"
        line += "; shaded: between the quartiles of their scores" if any(banded) else ""
        parts.append(line + ("; dots: single games." if dots else "."))
    if any(curve.source == "intervals" for curve in curves):
        line = f"Line: mean of each {curves[0].window} games"
        line += "; shaded: one standard deviation above and below" if any(banded) else ""
        parts.append(line + ("; dots: single games." if dots else "."))
    if above:
        games = "1 game" if above == 1 else f"{above:,} games"
        parts.append(f"Triangles: {games} above the axis, the best {logs[0].scores.max():,.8g}.")
    sizes = sorted({curve.window for curve in curves if curve.source == "marking"})
    if sizes:
        parts.append(f"Steps: mean_score of the marking lines ({', '.join(map(str, sizes))} games each).")
    if len(logs) > _MOST_BANDS:
        parts.append(f"No spread is drawn for more than {_MOST_BANDS} runs.")
    if len(logs) == 1 and logs[0].seed is None:
        parts.append("The log does not give the seed.")
    elif any(log.seed is None for log in logs):
        parts.append("Where no seed is given, the log does not say it.")
    return " ".join(parts)


def _may_be_gravitar(log: ScoreLog) -> bool:
    return log.kind == "marking-2020" if log.environment is None else "gravitar" in log.environment.lower()


def _plot_references(axes: Axes) -> None:
    low, high = axes.get_ylim()
    for name, score in GRAVITAR_REFERENCES.items():
        if low < score < high:
            axes.axhline(score, color="#555555", lw=0.8, ls=(0, (6, 3)), zorder=1.5)
            axes.annotate(
                f"{name}\n{score:,.0f}",
                (1.0, score),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color="#555555",
            )
