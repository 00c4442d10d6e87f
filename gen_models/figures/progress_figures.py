"""Figures of a training run: its loss, and the same samples at several moments.

Both are made from the run folder's ``loss.csv`` and ``samples/``; nothing is sampled again.

Credits: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError, first_line
from common.files import read_bounded
from gen_models.diffusion.conditions import Vocabulary
from gen_models.figures.paper_figures import STYLE, new_figure
from gen_models.images.grids import FULL_WIDTH, HALF_WIDTH, beside, captioned, grid, letters, stacked, text
from gen_models.images.pictures import BAD_PICTURE, MOST_BYTES, opened_picture, reason
from gen_models.training.loss_log import WINDOW
from gen_models.training.preview import COLUMNS, preview_rows, samples_of

SMOOTH = 25  # windows of the log, at most
MOMENTS = 8  # columns of the figure of samples, at most
SHOWN = 2  # samples of each condition at each moment; more where the moments are few
TILE = 96  # pixels


def read_losses(path: Path, names: Sequence[str] = ("loss",)) -> tuple[NDArray[np.float64], ...]:
    """Read ``loss.csv``: images trained on so far, and the means of each window of steps.

    :param names: of the columns with the means
    :return: float (L,) each, the images first; L is 0 where nothing is logged yet
    :raises UserError: when the file is missing or of another format
    """
    wanted = ["images", *names]
    try:
        lines = path.read_text().splitlines()
        columns = lines[0].split(",") if lines else []
        if not set(wanted) <= set(columns):
            raise ValueError("its first line is not that of a loss.csv")
        cells = [line.split(",") for line in lines[1:]]
        if any(len(row) != len(columns) for row in cells):
            raise ValueError("its lines differ in length")
        rows = [[float(row[columns.index(name)]) for name in wanted] for row in cells]
        return tuple(np.array(rows, np.float64).reshape(len(rows), len(wanted)).T)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} does not hold a run's losses ({first_line(error)})") from error


def smoothed(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The moving average; near an end, over a smaller symmetric window.

    :param values: (L,)
    :param window: number of values, odd
    :return: (L,)
    """
    half = np.minimum(np.minimum(np.arange(len(values)), np.arange(len(values))[::-1]), window // 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    means: NDArray[np.float64] = (sums[places + half + 1] - sums[places - half]) / (2 * half + 1)
    return means


def loss_figure(images: NDArray[np.float64], losses: NDArray[np.float64], batch_size: int, name: str) -> Figure:
    """The loss over the images trained on, raw and smoothed, for one column of a paper.

    :param images: (L,), L at least 1
    :param losses: (L,)
    :param name: of the run
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(HALF_WIDTH, 2.1)
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot()
        raw = f"mean of {WINDOW} steps of {batch_size} images"
        axes.plot(images, losses, color="#9ecae1", lw=0.6, label=raw, marker="." if len(images) == 1 else None)
        window = min(SMOOTH, len(losses) // 40 * 2 + 1)  # a twentieth of the curve, so that its bends stay
        axes.plot(images, smoothed(losses, window), color="#08519c", lw=1.2, label=f"mean of {window} of these")
        axes.set_yscale("log")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("images seen in training")
        axes.set_ylabel("loss (weighted squared error)")
        axes.grid(color="#dddddd", lw=0.4)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=6.5)
        axes.set_title(f"Run {name}".replace("$", r"\$"), fontsize=7.5, loc="left")
    return figure


def sample_pictures(folder: Path) -> list[tuple[int, Path]]:
    """The pictures of samples in a folder, each with the number of images trained on, in this order."""
    found = sorted(folder.glob("samples-?????????.png"))
    return [(int(path.stem.rpartition("-")[2]), path) for path in found if path.stem[-9:].isdecimal()]


def chosen(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers from 0 to count - 1, evenly spaced, including the first and the last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most)).tolist()})


def sample_progress_figure(
    pictures: Sequence[tuple[int, Path]], vocabulary: Vocabulary, size: int, caption: str
) -> Image.Image:
    """The first samples of each condition, with one row per condition and one column per moment of the training.

    A short run, with few moments, shows more samples at each, so that the figure is as wide and as legible.

    :param pictures: from ``sample_pictures``, at least one
    :param size: of the images in pixels
    :raises UserError: for a picture that cannot be read or does not show samples of this run
    """
    kept = [pictures[k] for k in chosen(len(pictures), MOMENTS)]
    shown = max(SHOWN, COLUMNS // len(kept))
    moments = [_samples(path, vocabulary, size)[:, :shown] for _, path in kept]
    scale, names = max(1, TILE // size), list(preview_rows(vocabulary))
    side, gap = shown * (size * scale + 2) + 2, 6
    inches = sample_progress_width(len(pictures))
    letter = letters((side + gap) * len(kept), inches)
    margin = round(0.62 * letter * max(map(len, ["images seen", *names])))
    heads = [text(EngFormatter(places=0, sep="")(images), side, letter, centred=True) for images, _ in kept]
    lines = [beside([text("images seen", margin, letter), *heads], gap)]
    for row, name in enumerate(names):
        strips = [grid(moment[row], shown, scale) for moment in moments]
        lines.append(beside([text(name, margin, letter, strips[0].height), *strips], gap))
    return captioned(stacked(lines, gap), caption, inches)


def sample_progress_width(count: int) -> float:
    """The width in inches of the figure of this many moments."""
    return HALF_WIDTH if count <= MOMENTS // 2 else FULL_WIDTH


def _samples(path: Path, vocabulary: Vocabulary, size: int) -> NDArray[np.uint8]:
    try:
        with opened_picture(read_bounded(path, MOST_BYTES)) as picture:
            return samples_of(picture, vocabulary, size)
    except BAD_PICTURE as error:
        raise UserError(f"{path} is not a picture of this run's samples ({reason(error)})") from error
