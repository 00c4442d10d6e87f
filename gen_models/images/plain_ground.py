"""Finds the tiles of a picture on a ground of one colour, such as matplotlib's subplots with titles between them.

What is connected and no ground is a piece: an image, or a letter. Tiles are the pieces of one size, nearly square, that
stand in rows and columns at equal distances.

Credits: scipy's ndimage for connected pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gen_models.images.lattice import LEAST_SIDE, Span

EVEN = 12  # largest difference in a channel from the ground's colour
NEAR = 2  # pixels by which sides and places of tiles may differ
LEAST_FOUND = 0.9  # share of the places in rows and columns at which there is a piece


def find_on_plain_ground(picture: NDArray[np.uint8]) -> tuple[list[Span], list[Span]] | None:
    """Rows and columns of tiles; None where the ground has several colours or pieces make no grid.

    :param picture: uint8 (H, W, 3)
    """
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(int)
    ground = border[0]
    if np.abs(border - ground).max() > EVEN:
        return None
    drawn = np.abs(picture.astype(np.int16) - ground).max(axis=2) > EVEN
    pieces = ndimage.find_objects(ndimage.label(drawn, np.ones((3, 3)))[0])
    boxes = np.array([(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
                      for rows, columns in pieces]).reshape(-1, 4)  # fmt: skip
    boxes = boxes[(boxes[:, 2:].min(axis=1) >= LEAST_SIDE) & (np.abs(boxes[:, 2] - boxes[:, 3]) <= NEAR)]
    if len(boxes) < 2:
        return None
    # The size that covers the most; letters are smaller.
    alike = np.abs(boxes[:, None, 2:] - boxes[None, :, 2:]).max(axis=2) <= NEAR
    areas = alike @ boxes[:, 2:].prod(axis=1)
    boxes = boxes[alike[int(areas.argmax())]]
    side = round(float(np.median(boxes[:, 2:])))
    down, across = (_lines(boxes[:, axis].tolist()) for axis in (0, 1))
    full = len(boxes) >= LEAST_FOUND * len(down) * len(across)
    inside = max(down[-1] + side - len(picture), across[-1] + side - picture.shape[1]) <= 0
    if len(boxes) < 2 or not (full and inside and _even(down) and _even(across)):
        return None
    return [(start, start + side) for start in down], [(start, start + side) for start in across]


def _lines(starts: Sequence[int]) -> list[int]:
    """Places of rows or columns, in order: the middle of each group of starts that are near each other."""
    ordered = np.sort(np.array(starts))
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > NEAR) + 1)
    return [round(float(np.median(group))) for group in groups]


def _even(lines: Sequence[int]) -> bool:
    """Whether the lines have equal distances."""
    distances = np.diff(lines)
    return not len(distances) or int(np.ptp(distances)) <= NEAR
