"""The figure of an audit: scores and means with what was seen in them, and the curve beside other trainings.

Credits: M. Okabe, K. Ito 2008 (colours that colour-blind readers can tell apart); matplotlib.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.files import write_atomic
from common.scores.log_text import printable
from common.scores.logs import ScoreLog
from submission.audit.convergence import Comparison
from submission.audit.evidence import ODD, Audit

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#999999"
_WIDTH, _HEIGHT, _DPI = 9.0, 3.6, 120  # inches, inches for each panel, dots per inch


def save_audit_figure(log: ScoreLog, audit: Audit, comparison: Comparison | None, path: Path) -> None:
    """Write the figure as PNG.

    :param comparison: with other trainings, a panel of its own; None without
    :raises UserError: when the folder cannot be written (status 1)
    """
    panels = 1 if comparison is None else 2
    figure = Figure(figsize=(_WIDTH, _HEIGHT * panels), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    _draw_log(axes[0], log, audit)
    if comparison is not None:
        _draw_comparison(axes[1], log, comparison)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=_DPI, metadata={})
    write_atomic(path, written.getvalue())


def _draw_log(axes: Axes, log: ScoreLog, audit: Audit) -> None:
    axes.plot(log.episodes, log.scores, ".", color=_GREY, ms=2, label="scores of single episodes")
    if log.windows:
        episodes = [window.episode for window in log.windows]
        means = np.array([window.mean for window in log.windows])
        stds = np.nan_to_num(np.array([window.std for window in log.windows]))
        axes.errorbar(episodes, means, stds, color=_BLUE, lw=1, elinewidth=0.5, label="mean and deviation of the lines")
    odd = sorted({episode for one in audit.evidence if one.chance <= ODD for episode in one.episodes})
    for number, episode in enumerate(odd):
        axes.axvline(episode, color=_ORANGE, lw=0.8, alpha=0.6, label="evidence" if number == 0 else None)
    axes.set(title=f"{printable(audit.name)}: {audit.likelihood}", xlabel="episode", ylabel="score (points)")
    axes.title.set_fontsize(9)
    axes.legend(fontsize=7, loc="upper left")


def _draw_comparison(axes: Axes, log: ScoreLog, comparison: Comparison) -> None:
    low, high = comparison.others.min(axis=0), comparison.others.max(axis=0)
    band = f"from the least to the highest of {len(comparison.others)} other trainings"
    axes.fill_between(comparison.episodes, low, high, color=_GREY, alpha=0.3, lw=0, label=band)
    axes.plot(comparison.episodes, comparison.others.T, color=_GREY, lw=0.6)
    axes.plot(comparison.episodes, comparison.submitted, color=_BLUE, lw=1.5, label=printable(log.name))
    count = len(comparison.others)
    title = f"conformal p = {comparison.p:.3g}; {count} trainings allow no less than {comparison.smallest:.3g}"
    axes.set(title=title, xlabel="episode", ylabel="mean of the last 100 (points)")
    axes.title.set_fontsize(9)
    axes.legend(fontsize=7, loc="upper left")
