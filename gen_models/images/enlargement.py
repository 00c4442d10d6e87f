"""Pictures that were enlarged by repeated pixels, by a whole number or by a fraction such as 2.3, become small again.

Credits: the formulae of nearest-neighbour enlargement in Pillow, and in OpenCV, torch and matplotlib.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_FACTOR = 1.2  # of an enlargement that is looked for
ROUNDING = 1e-3  # of a line
UNEQUAL = 0.03  # by which the factors of the two axes may differ, relatively


def reduced(tiles: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Undo an enlargement by a whole number; other tiles are returned as they are.

    :param tiles: uint8 (N, S, S, 3)
    :param side: in pixels, before the enlargement
    """
    times = tiles.shape[1] // side
    if times < 2 or tiles.shape[1] != times * side:
        return tiles
    small = tiles[:, ::times, ::times]
    same = np.array_equal(small.repeat(times, axis=1).repeat(times, axis=2), tiles)
    return np.ascontiguousarray(small) if same else tiles


def unrepeated(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo an enlargement of a whole picture by a fraction; other pictures are returned as they are.

    :param picture: uint8 (H, W, 3)
    """
    down, across = (_kept(picture if axis == 0 else picture.swapaxes(0, 1)) for axis in (0, 1))
    if down is None or across is None:
        return picture
    factors = len(picture) / len(down), picture.shape[1] / len(across)
    whole = all(length % len(kept) == 0 for length, kept in zip(picture.shape, (down, across), strict=False))
    if whole or abs(factors[0] - factors[1]) > UNEQUAL * max(factors):
        return picture
    return np.ascontiguousarray(picture[down][:, across])


def _kept(picture: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """The middle line of each run of lines that a single line was repeated to; None where lines were not repeated.

    The fewest lines n are looked for with which no line differs from the one before it unless the enlargement goes on
    to the next original there. Line k of L shows line ``(k + phase) n / L`` of n, rounded down, with phase 0 or 1/2;
    where that is a whole number, libraries round either way.
    """
    length = len(picture)
    changes = np.flatnonzero((picture[1:] != picture[:-1]).any(axis=(1, 2))) + 1
    for count in range(len(changes) + 1, int(length / LEAST_FACTOR) + 1):
        factor = length / count
        for phase in (0.5, 0.0):
            places = (changes + phase) / factor
            originals = np.floor(places + ROUNDING)
            if (places - originals <= 1 / factor + ROUNDING).all() and (np.diff(originals) > 0).all():
                middles = np.arange(count) * factor + factor / 2 - 0.5 - phase
                kept: NDArray[np.int64] = np.ceil(middles - ROUNDING).astype(np.int64).clip(0, length - 1)
                return kept
    return None
