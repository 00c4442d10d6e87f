"""Cuts a picture of many images into its tiles, for results that come as one picture.

Four ways are tried. Tiles with gaps: lines of one colour between the tiles; captions above or between them are
skipped, since their height differs from the tiles'. Tiles edge to edge: the picture's sides are divided by the number
of rows and columns, or by the side of a tile. Tiles on a plain ground, whatever else is on it, such as titles
(``gen_models.images.plain_ground``). Where none gives tiles whose sides are edges of the picture, the tiles are found
by the periodicity of edges (``gen_models.images.lattice``): pictures with axes, rescaled ones, JPEG. An enlargement by
repeated pixels is undone exactly (``gen_models.images.enlargement``).

Credits: torchvision's ``make_grid``, whose layout is one of those known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise as neighbouring

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError, check_at_least
from gen_models.images.enlargement import unrepeated
from gen_models.images.lattice import Span, confidence, find_lattice
from gen_models.images.plain_ground import find_on_plain_ground

LEAST_SIDE = 8  # pixels of a tile
EVEN = 12  # largest difference in a channel along a line of one colour
WIDEST_GAP = 32

LEAST_CONFIDENCE = 0.85  # below which a cut is refused
MOST_PIXELS = 20_000_000  # of a picture to cut
LINE = (255, 0, 255)  # colour of a cut that is shown

Layout = tuple[list[Span], list[Span]]
"""Of the rows and of the columns."""


@dataclass(frozen=True)
class Cut:
    """A picture's tiles.

    :param tiles: uint8 (N, S, S, 3), from left to right and from top to bottom
    :param shown: the picture with lines around the tiles, uint8 (H, W, 3)
    :param confidence: the share of the lines that are edges, 0 to 1
    """

    tiles: NDArray[np.uint8]
    shown: NDArray[np.uint8]
    confidence: float


def cut_tiles(picture: NDArray[np.uint8], rows: int | None, columns: int | None, side: int, name: str) -> Cut:
    """Cut a picture into its tiles.

    :param picture: uint8 (H, W, 3)
    :param rows: of tiles; None to detect them
    :param columns: of tiles; None to detect them
    :param side: of a tile in pixels, for tiles edge to edge without rows and columns
    :param name: of the picture, for error messages
    :raises UserError: when no equal squares are found whose sides are edges of the picture
    """
    check_at_least(1, {"--rows": rows, "--columns": columns})
    height, width = picture.shape[:2]
    if height * width > MOST_PIXELS:
        raise UserError(
            f"{name} has {width:,} x {height:,} pixels, more than {MOST_PIXELS // 10**6} million: shrink it"
        )
    picture = unrepeated(picture)
    asked = (picture, rows, columns)
    ways = (_by_gaps(*asked), _edge_to_edge(*asked, side), _apart(*asked))
    found = [spans for spans in ways if spans]
    sure = [confidence(picture, *spans) for spans in found]
    if not found or max(sure) < LEAST_CONFIDENCE:
        lattice = find_lattice(picture, rows, columns)
        if lattice is not None:
            found.append((lattice[0].spans, lattice[1].spans))
            sure.append(confidence(picture, *found[-1]))
    best = max(range(len(found)), key=lambda k: sure[k], default=None)
    if best is None or sure[best] < LEAST_CONFIDENCE:
        raise UserError(_refusal(name, picture, rows, columns, None if best is None else (found[best], sure[best])))
    down, across = found[best]
    sizes = [stop - start for start, stop in (*down, *across)]
    tiles = [_square(picture[top:bottom, left:right], min(sizes)) for top, bottom in down for left, right in across]
    return Cut(np.stack(tiles), _shown(picture, down, across), sure[best])


def _refusal(
    name: str, picture: NDArray[np.uint8], rows: int | None, columns: int | None, best: tuple[Layout, float] | None
) -> str:
    height, width = picture.shape[:2]
    asked = "" if rows is None and columns is None else f" of {rows or 'any'} rows and {columns or 'any'} columns"
    message = f"{name} ({width} x {height} pixels) cannot be cut into equal square tiles{asked}"
    if best is not None:
        (down, across), sure = best
        message += (
            f"; the likeliest are {len(down)} rows and {len(across)} columns of {down[0][1] - down[0][0]} pixels, but "
            f"only {100 * sure:.0f} % of their sides are edges, less than {100 * LEAST_CONFIDENCE:.0f} %"
        )
    advice = "crop what is around the tiles"
    return (
        f"{message}; {advice}"
        if rows and columns
        else f"{message}; say how many with --rows and --columns, or {advice}"
    )


def _square(tile: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A tile of the common size; tiles of a rescaled picture differ by a pixel."""
    if tile.shape[:2] == (side, side):
        return tile
    return np.asarray(Image.fromarray(tile).resize((side, side), Image.Resampling.LANCZOS))


def _shown(picture: NDArray[np.uint8], down: list[Span], across: list[Span]) -> NDArray[np.uint8]:
    """The picture with lines around the tiles: the outermost pixels of each."""
    shown = picture.copy()
    for top, bottom in down:
        for left, right in across:
            tile = shown[top:bottom, left:right]
            tile[[0, -1]] = LINE
            tile[:, [0, -1]] = LINE
    return shown


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


def _apart(picture: NDArray[np.uint8], rows: int | None, columns: int | None) -> Layout | None:
    """Tiles on a plain ground."""
    found = find_on_plain_ground(picture)
    as_asked = found and rows in (None, len(found[0])) and columns in (None, len(found[1]))
    return found if as_asked else None


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
