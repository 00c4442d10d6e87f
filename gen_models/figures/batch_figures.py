"""Figures of a batch: all images, the best image, the nearest training images, and several batches side by side.

Captions come from the caller, who knows how the images were sampled and selected. Tiles are enlarged by whole numbers
without smoothing, so that every pixel of the model is shown as it is. Only two things are smoothed: the single best
image, which otherwise looks like blocks, and tiles whose size does not divide the common size.

Credits: Pillow, its Lanczos filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gen_models.images.grids import (
    FULL_WIDTH,
    GAP,
    HALF_WIDTH,
    beside,
    captioned,
    grid,
    letters,
    save_png,
    stacked,
    text,
)
from gen_models.images.image_set import resized

COLUMNS = 8
TILE = 96  # pixels of an enlarged tile's side, at least
BEST_SIDE = 768  # pixels
PANELS = 4  # batches in a row
PANEL_IMAGES = 64


def save_batch(images: NDArray[np.uint8], path: Path, caption: str) -> None:
    """A batch in rows of eight, for one column of a paper.

    :param images: uint8 (N, S, S, 3); 64 make a square
    :param path: of the PNG
    :param caption: the run, the number of images sampled, and how these were selected
    :raises UserError: when the folder cannot be written (status 1)
    """
    save_png(captioned(grid(images, COLUMNS, enlargement(images)), caption, HALF_WIDTH), path, HALF_WIDTH)


def save_best(image: NDArray[np.uint8], path: Path, caption: str) -> None:
    """One image, enlarged with smoothing.

    :param image: uint8 (S, S, 3)
    :param path: of the PNG
    :param caption: how it was selected, and of how many
    :raises UserError: when the folder cannot be written (status 1)
    """
    large = Image.fromarray(image).resize((BEST_SIDE, BEST_SIDE), Image.Resampling.LANCZOS)
    save_png(captioned(large, caption, HALF_WIDTH), path, HALF_WIDTH)


def save_nearest_neighbours(
    images: NDArray[np.uint8],
    training: NDArray[np.uint8],
    pixel_indices: NDArray[np.integer[Any]],
    pixel_distances: NDArray[np.floating[Any]],
    feature_indices: NDArray[np.integer[Any]],
    feature_distances: NDArray[np.floating[Any]],
    path: Path,
    caption: str,
) -> None:
    """Each image of a batch with its nearest training images in pixels and in features, distances below them.

    The images keep the order of the batch, from left to right and top to bottom, and are numbered from 1.

    :param images: uint8 (N, S, S, 3)
    :param training: uint8 (M, S, S, 3)
    :param pixel_indices: int (N, K), indices of the training images nearest in pixels, the nearest first
    :param pixel_distances: (N, K)
    :param feature_indices: int (N, K)
    :param feature_distances: (N, K)
    :param path: of the PNG
    :param caption: the units of the distances, and the features
    :raises UserError: when the folder cannot be written (status 1)
    """
    scale, near = enlargement(images), pixel_indices.shape[1]
    groups = 4 if near < 3 else 2
    tile = images.shape[1] * scale + GAP
    width = groups * (1 + 2 * near) * tile + (groups - 1) * tile // 2
    size = letters(width, FULL_WIDTH)
    sheets = []
    for k, image in enumerate(images):
        parts = (
            (image[None], [str(k + 1)]),
            (training[pixel_indices[k]], list(map(distance_words, pixel_distances[k]))),
            (training[feature_indices[k]], list(map(distance_words, feature_distances[k]))),
        )
        tiles = [grid(shown, len(shown), scale, labels=labels, label_size=size) for shown, labels in parts]
        sheets.append(beside(tiles, tile // 8))
    widths = [tile + GAP + tile // 16, near * tile + GAP + tile // 8, near * tile + GAP + tile // 16]
    names = ["drawn", "in pixels", "in features"]
    head = beside([text(name, part, size, centred=True) for name, part in zip(names, widths, strict=True)], 0)
    rows = [beside([head] * groups, tile // 2)]
    rows += [beside(sheets[start : start + groups], tile // 2) for start in range(0, len(sheets), groups)]
    save_png(captioned(stacked(rows, size // 3), caption, FULL_WIDTH), path, FULL_WIDTH)


def save_side_by_side(sets: Sequence[tuple[str, NDArray[np.uint8]]], path: Path, caption: str) -> None:
    """Batches beside each other, four a row, each with its name below and its first 64 images.

    :param sets: names and images uint8 (N, S, S, 3); sizes may differ, all tiles get the same size
    :param path: of the PNG
    :param caption: of the comparison
    :raises UserError: when the folder cannot be written (status 1)
    """
    columns = -(-len(sets) // -(-len(sets) // PANELS))
    inches = HALF_WIDTH if columns == 1 else FULL_WIDTH
    side = max(images.shape[1] * enlargement(images) for _, images in sets)
    sheets = [grid(of_side(images[:PANEL_IMAGES], side), COLUMNS) for _, images in sets]
    width = max(sheet.width for sheet in sheets)
    size = letters(columns * width, inches)
    panels = [
        stacked([sheet, text(name, width, size)], size // 3) for (name, _), sheet in zip(sets, sheets, strict=True)
    ]
    rows = [beside(panels[start : start + columns], size) for start in range(0, len(panels), columns)]
    save_png(captioned(stacked(rows, size), caption, inches), path, inches)


def distance_words(distance: float) -> str:
    """A distance in at most five characters."""
    return f"{distance:.3f}" if distance < 10 else f"{distance:.1f}"


def of_side(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Images (N, S, S, 3) as (N, side, side, 3): pixels are repeated if side is a multiple of S, else smoothed."""
    times, rest = divmod(side, images.shape[1])
    return resized(images, side) if rest else images.repeat(times, axis=1).repeat(times, axis=2)


def enlargement(images: NDArray[np.uint8]) -> int:
    """The factor by which images (N, S, S, 3) are enlarged so that a tile has a side of at least ``TILE`` pixels."""
    return max(1, -(-TILE // int(images.shape[1])))
