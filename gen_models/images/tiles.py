"""Cuts a picture of many images into its tiles, for results that come as one picture.

Two layouts are detected. Tiles with gaps: lines of one colour between the tiles; captions above or between them are
skipped, since their height differs from the tiles'. Tiles edge to edge: the picture's sides are divided by the number
of rows and columns, or by the side of a tile. Tiles that were enlarged by whole numbers are restored exactly.

Credits: torchvision's ``make_grid``, whose layout is one of those known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise as neighbouring

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, check_at_least

LEAST_SIDE = 8  # pixels of a tile
EVEN = 12  # largest difference in a channel along a line of one colour
WIDEST_GAP = 32

Span = tuple[int, int]
"""First pixel and the one after the last."""
Layout = tuple[list[Span], list[Span]]
"""Of the rows and of the columns."""


def cut_tiles(
    picture: NDArray[np.uint8], rows: int | None, columns: int | None, side: int, name: str
) -> NDArray[np.uint8]:
    """The tiles of a picture, from left to right and from top to bottom.

    :param picture: uint8 (H, W, 3)
    :param rows: of tiles; None to detect them
    :param columns: of tiles; None to detect them
    :param side: of a tile in pixels, for tiles edge to edge without rows and columns
    :param name: of the picture, for error messages
    :return: uint8 (N, S, S, 3), tiles of one size
    :raises UserError: when the picture cannot be cut into equal squares
    """
    check_at_least(1, {"--rows": rows, "--columns": columns})
    spans = _by_gaps(picture, rows, columns) or _edge_to_edge(picture, rows, columns, side)
    if spans is None:
        height, width = picture.shape[:2]
        asked = "" if rows is None and columns is None else f" of {rows or 'any'} rows and {columns or 'any'} columns"
        raise UserError(
            f"{name} ({width} x {height} pixels) cannot be cut into equal square tiles{asked}; "
            "say how many with --rows and --columns, or crop what is around the tiles"
        )
    down, across = spans
    tiles = [picture[top:bottom, left:right] for top, bottom in down for left, right in across]
    return np.stack(tiles)


def reduced(tiles: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Undo an enlargement by repeated pixels; other tiles are returned as they are.

    :param tiles: uint8 (N, S, S, 3)
    :param side: in pixels, before the enlargement
    """
    times = tiles.shape[1] // side
    if times < 2 or tiles.shape[1] != times * side:
        return tiles
    small = tiles[:, ::times, ::times]
    same = np.array_equal(small.repeat(times, axis=1).repeat(times, axis=2), tiles)
    return np.ascontiguousarray(small) if same else tiles


def _by_gaps(picture: NDArray[np.uint8], rows: int | None, columns: int | None) -> Layout | None:
    """Rows and columns of tiles with gaps between them; None without gaps."""
    # A line of one colour inside a tile misleads the first method, a caption the second: take the one with more tiles.
    found = [*_between_even_lines(picture, rows, columns), *_equal_gaps(picture, rows, columns)]
    several = [spans for spans in found if len(spans[0]) * len(spans[1]) > 1]
    return max(several, key=lambda spans: len(spans[0]) * len(spans[1]), default=None)


def _between_even_lines(picture: NDArray[np.uint8], rows: int | None, columns: int | None) -> Iterator[Layout]:
    """Square tiles between lines of one colour."""
    even = np.ptp(picture, axis=1).max(axis=1) <= EVEN
    for height in _heights(even):
        down = [span for span in _bands(even) if span[1] - span[0] == height]
        # Captions may cross the gaps between columns: use the rows of tiles alone.
        inside = np.concatenate([picture[top:bottom] for top, bottom in down])
        across = _bands(np.ptp(inside, axis=0).max(axis=1) <= EVEN)
        square = {right - left for left, right in across} == {height}
        as_asked = rows in (None, len(down)) and columns in (None, len(across))
        if square and as_asked and _regular(down) and _regular(across):
            yield down, across


def _heights(even: NDArray[np.bool_]) -> list[int]:
    """Heights of bands, the one that covers most of the picture first."""
    counts = Counter(stop - start for start, stop in _bands(even))
    heights = [height for height in counts if height >= LEAST_SIDE]
    return sorted(heights, key=lambda height: (-height * counts[height], height))


def _bands(even: NDArray[np.bool_]) -> list[Span]:
    """Spans of adjacent lines that are not of one colour."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], even, [True]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _regular(spans: list[Span]) -> bool:
    """Whether the spans begin at equal distances."""
    return len({second[0] - first[0] for first, second in neighbouring(spans)}) <= 1


def _equal_gaps(picture: NDArray[np.uint8], rows: int | None, columns: int | None) -> Iterator[Layout]:
    """Square tiles with equal gaps between them and around them, or only between them."""
    even_rows, even_columns = (np.ptp(picture, axis=axis).max(axis=1) <= EVEN for axis in (1, 0))
    for gap in range(1, WIDEST_GAP + 1):
        for border in (gap, 0):
            down = _layouts(even_rows, rows, gap, border)
            across = _layouts(even_columns, columns, gap, border)
            yield from ((down[side], across[side]) for side in down.keys() & across.keys())


def _layouts(even: NDArray[np.bool_], count: int | None, gap: int, border: int) -> dict[int, list[Span]]:
    """The spans of tiles by their side, for each number of tiles for which all gaps are lines of one colour."""
    length = len(even) - 2 * border + gap  # of the tiles, each with a gap behind it
    layouts = {}
    for number in [count] if count else range(1, length // (LEAST_SIDE + gap) + 1):
        side = length // number - gap
        starts = [border + k * (side + gap) for k in range(number)]
        between = [even[start + side : start + side + gap] for start in starts[:-1]]
        around = [even[:border], even[len(even) - border :]]
        if length % number == 0 and side >= LEAST_SIDE and all(part.all() for part in (*between, *around)):
            layouts[side] = [(start, start + side) for start in starts]
    return layouts


def _edge_to_edge(picture: NDArray[np.uint8], rows: int | None, columns: int | None, side: int) -> Layout | None:
    """Tiles without gaps."""
    height, width = picture.shape[:2]
    if rows is not None:
        side = height // rows
    elif columns is not None:
        side = width // columns
    if side < LEAST_SIDE or height % side or width % side:
        return None
    if rows not in (None, height // side) or columns not in (None, width // side):
        return None
    down, across = ([(k, k + side) for k in range(0, length, side)] for length in (height, width))
    return down, across
