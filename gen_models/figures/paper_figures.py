"""Matplotlib figures for a paper: in their printed size, letters of 6 points and more, fonts embedded.

Credits: matplotlib.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from common.files import write_atomic

DPI = 300
SMALLEST = 6.0  # points
STYLE: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType; conferences refuse type 3
    "font.family": "DejaVu Sans",
    "font.size": 7.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches; use it within ``rc_context(STYLE)``."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PDF and as PNG; the same figure gives the same bytes.

    :param path: without suffix
    :raises UserError: when the folder cannot be written (status 1)
    """
    with matplotlib.rc_context(STYLE):
        for kind, undated in (("pdf", {"CreationDate": None}), ("png", {})):
            written = io.BytesIO()
            figure.savefig(written, format=kind, dpi=DPI, metadata=undated)
            write_atomic(path.with_name(f"{path.name}.{kind}"), written.getvalue())
