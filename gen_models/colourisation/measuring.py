"""How far coloured pictures are from the true ones: PSNR and chroma error, and a contact sheet from best to worst.

Credits: PSNR as usual for 8 bits; Euclidean distance of a* and b* (CIE 1976, without the lightness, which is given).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gen_models.colourisation.colouring import to_lab
from gen_models.images.grids import grid

PART = 256  # images at once
LEAST = 1 / 12  # squared error of rounding to 8 bits: pictures that are the same have a PSNR of 58.9 dB


def psnr(images: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The peak signal-to-noise ratio of each picture in dB, float64 (N,): 10 log10(255^2 / mean squared error).

    :param images: uint8 (N, H, W, 3)
    :param truth: of the same shape
    """
    parts = []
    for start in range(0, len(images), PART):
        part = slice(start, start + PART)
        squares = (images[part].astype(np.float64) - truth[part]) ** 2
        parts.append(squares.mean(axis=(1, 2, 3)))
    return np.asarray(10 * np.log10(255**2 / np.maximum(np.concatenate(parts), LEAST)))


def chroma_error(images: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean distance of a* and b* from the true ones, for each picture, float64 (N,).

    :param images: uint8 (N, H, W, 3)
    :param truth: of the same shape
    """
    parts = []
    for start in range(0, len(images), PART):
        part = slice(start, start + PART)
        distances = (to_lab(images[part])[:, 1:] - to_lab(truth[part])[:, 1:]).norm(dim=1)
        parts.append(distances.mean(dim=(1, 2)).double().numpy())
    return np.concatenate(parts)


def mean_chroma(images: NDArray[np.uint8]) -> tuple[float, float]:
    """The mean a* and b* of all pixels.

    :param images: uint8 (N, H, W, 3)
    """
    total = np.zeros(2)
    for start in range(0, len(images), PART):
        part = images[start : start + PART]
        total += to_lab(part)[:, 1:].mean(dim=(2, 3)).double().sum(dim=0).numpy()
    a, b = (total / len(images)).tolist()
    return a, b


def from_best_to_worst(errors: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of images at even intervals of the order by error, the best and the worst among them, int64 (count,)."""
    order = np.argsort(errors, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)]


def contact_sheet(rows: Mapping[str, NDArray[np.uint8]], notes: Sequence[str]) -> Image.Image:
    """Rows of pictures with their names, and notes under the last row.

    :param rows: uint8 (N, S, S, 3) by name
    :param notes: one for each column
    """
    count = len(notes)
    images = np.concatenate(list(rows.values()))
    labels = [name for name in rows for _ in range(count)]
    labels[-count:] = [f"{labels[-1]} {note}" for note in notes]
    return grid(images, count, max(1, 96 // images.shape[1]), labels=labels)
