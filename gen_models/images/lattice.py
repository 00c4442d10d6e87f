"""Finds the tiles of a picture by the periodicity of its edges, whatever was done to the picture.

Along each axis, the mean step in brightness between neighbouring lines has a peak at both sides of every tile. A
lattice of period P, tile side T and offset is looked for whose lines lie on such peaks: the run of tiles with the
largest sum of what their sides exceed the usual step by. What lies around the grid (axes, titles) is no part of that
run. Periods may be fractions of a pixel, as after rescaling, so tiles may differ by a pixel.

Credits: J. Bentley 1984 (doi 10.1145/358234.381162), the run with the largest sum (Kadane).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Span = tuple[int, int]
"""First pixel and the one after the last."""

LEAST_SIDE = 8  # pixels of a tile
STEP = 48.0  # of brightness; larger ones count as this one
HIGH = 6.0  # a peak's height that counts in full, in usual deviations from the usual step
USUAL = 2.0  # the height that a line of the lattice has to exceed
WIDEST_GAP = 0.5  # of a period
WIDEST_PIXELS = 48
PERIODS = 24  # candidates along an axis
FRACTIONS = np.arange(-2, 3) / 4  # of a pixel, beside a period
KEPT = 3  # lattices of a period
LEAST_SURE = 0.7  # share of lines that are edges, for a lattice to be looked at
CLEAR = 1.05  # times as large as nine in ten of its neighbours is an edge
UNEQUAL = 0.04  # by which a tile's sides may differ, relatively, beside a pixel


@dataclass(frozen=True)
class Axis:
    """The tiles along one axis.

    :param start: of the first tile, pixels
    :param period: distance between starts
    :param side: of a tile
    :param count: of tiles
    :param evidence: sum of what the lines exceed ``USUAL`` by
    """

    start: float
    period: float
    side: float
    count: int
    evidence: float

    @property
    def spans(self) -> list[Span]:
        """First pixel of each tile and the one after its last."""
        starts = self.start + self.period * np.arange(self.count)
        return [(round(low), round(low + self.side)) for low in starts.tolist()]


def find_lattice(
    picture: NDArray[np.uint8], rows: int | None = None, columns: int | None = None
) -> tuple[Axis, Axis] | None:
    """Rows and columns of square tiles; None where there is no lattice.

    :param picture: uint8 (H, W, 3)
    :param rows: of tiles; None to find them
    :param columns: of tiles; None to find them
    """
    down_steps, across_steps = _steps(picture)
    best: tuple[Axis, Axis] | None = None
    region_down, region_across = slice(None), slice(None)
    for _ in range(2):  # the second time only what lies in the grid counts
        down = _candidates(down_steps[:, region_across].mean(axis=1), rows)
        across = _candidates(across_steps[region_down].mean(axis=0), columns)
        pairs = [(one, other) for one in down for other in across if _fit(one, other)]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: pair[0].evidence + pair[1].evidence)
        region_down = slice(best[0].spans[0][0], best[0].spans[-1][1])
        region_across = slice(best[1].spans[0][0], best[1].spans[-1][1])
    return best


def confidence(picture: NDArray[np.uint8], down: list[Span], across: list[Span]) -> float:
    """The share of the lines around tiles with a clearly larger step than nine in ten of their neighbours, 0 to 1.

    Of the lesser axis; a line has as neighbours those within half a tile. Images without tiles have about 0.3.

    :param picture: uint8 (H, W, 3)
    :param down: the tiles' first row of pixels, and the one after the last, in each row of tiles
    :param across: likewise for the columns
    """
    down_steps, across_steps = _steps(picture)
    profiles = (
        down_steps[:, across[0][0] : across[-1][1]].mean(axis=1),
        across_steps[down[0][0] : down[-1][1]].mean(axis=0),
    )
    return min(_sure(profile, spans) for profile, spans in zip(profiles, (down, across), strict=True))


def _steps(picture: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The steps between neighbouring lines, (H - 1, W) and (H, W - 1)."""
    values = picture.astype(np.float32)
    down, across = (np.minimum(np.abs(np.diff(values, axis=axis)).max(axis=2), STEP) for axis in (0, 1))
    return down, across


def _fit(one: Axis, other: Axis) -> bool:
    square = abs(one.side - other.side) <= 1 + UNEQUAL * max(one.side, other.side)
    return square and one.count * other.count > 1


def _heights(profile: Floats) -> Floats:
    """The height of each step over the usual one, 0 to ``HIGH``; the picture's own borders are steps as well."""
    usual = float(np.median(profile))
    # Enlarged pixels have edges as well, one line in a few.
    common = float(np.quantile(profile, 0.9)) - usual
    deviation = max(1.4826 * float(np.median(np.abs(profile - usual))), common / 2) + 0.25
    heights = np.clip((profile - usual) / deviation, 0, HIGH)
    return np.concatenate([[HIGH], heights, [HIGH]])  # line k lies before pixel k


def _candidates(profile: Floats, count: int | None) -> list[Axis]:
    """The best lattices of each of the likely periods, whose lines are edges."""
    heights = _heights(profile)
    near = np.maximum(heights, np.maximum(np.append(heights[1:], 0), np.append(0, heights[:-1])))
    found = []
    for peak in _periods(heights, count):
        ones = []
        for period in (peak + FRACTIONS).tolist() if peak < len(heights) - 1 else [peak]:
            for gap in range(round(min(WIDEST_GAP * period, period - LEAST_SIDE, WIDEST_PIXELS)) + 1):
                one = _best_run(near, heights, period, period - gap, count)
                if one is not None:
                    ones.append(one)
        ones.sort(key=lambda one: -one.evidence)
        found += [one for one in ones[:KEPT] if _sure(profile, one.spans) >= LEAST_SURE]
    return found


def _periods(heights: Floats, count: int | None) -> list[float]:
    """Likely periods in whole pixels: peaks of the autocorrelation; and the whole length, for one tile."""
    length = len(heights)
    # Strong edges alone, three lines wide, since a period of fractions of a pixel alternates between two.
    strong = np.convolve(np.maximum(heights - USUAL, 0), np.ones(3), mode="same")
    centred = strong - strong.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * length)) ** 2
    correlation = np.fft.irfft(spectrum)[:length]
    correlation = correlation / np.arange(length, 0, -1)  # of as many products
    lags = np.arange(LEAST_SIDE, length)
    inner = correlation[LEAST_SIDE:length]
    rises = inner >= np.append(correlation[LEAST_SIDE - 1], inner[:-1])
    peaks = lags[rises & (inner >= np.append(inner[1:], -np.inf))]
    peaks = peaks[np.argsort(-correlation[peaks] * np.minimum(1, (length / peaks - 1)))][:PERIODS]
    found = [float(peak) for peak in peaks.tolist() if not count or peak * (count - 0.6) <= length]
    return found + ([float(length - 1)] if count in (None, 1) else [])


def _best_run(near: Floats, heights: Floats, period: float, side: float, count: int | None) -> Axis | None:
    """The run of tiles of a period and a side with the most evidence, over all offsets."""
    length = len(near) - 1  # pixels
    offsets = np.arange(0, max(1, min(int(period), length - int(side) + 1)))
    most = int((length - side) // period) + 1
    starts = offsets[:, None] + period * np.arange(most)[None]
    ends = starts + side
    inside = np.round(ends) <= length
    low, high = np.round(starts).astype(int).clip(0, length), np.round(ends).astype(int).clip(0, length)
    # Lines on the peaks count more than lines beside them; without gaps, two tiles share each line.
    # Both sides of a tile must be edges.
    sharp = (near + heights) / 2
    lesser, greater = np.minimum(sharp[low], sharp[high]), np.maximum(sharp[low], sharp[high])
    gains = np.where(inside, 1.5 * lesser + 0.5 * greater - 2 * USUAL, -np.inf)
    gap = period - side
    if gap < 2:
        gains = gains / 2  # two tiles share each line
    else:
        # A gap is even: an edge in its middle is one blurred line, not two. Wide gaps count less than more tiles.
        middle = heights[np.round(ends + gap / 2).astype(int).clip(0, length)]
        gains = (gains - 2 * np.maximum(0, middle - USUAL)) * (1 - gap / period)
    best: tuple[float, int, int, int] | None = None
    if count is not None:
        if most < count:
            return None
        sums = np.cumsum(np.where(inside, gains, -1e6), axis=1)
        windows = sums[:, count - 1 :] - np.concatenate([np.zeros((len(sums), 1)), sums[:, :-count]], axis=1)
        place = divmod(int(np.argmax(windows)), windows.shape[1])
        best = (float(windows[place]), *place, count)
    else:
        total = np.zeros(len(offsets))
        begun = np.zeros(len(offsets), int)
        for k in range(most):
            fresh = total <= 0
            begun = np.where(fresh, k, begun)
            total = np.where(fresh, 0, total) + gains[:, k]
            row = int(np.argmax(total))
            if best is None or total[row] > best[0]:
                best = (float(total[row]), row, int(begun[row]), k - int(begun[row]) + 1)
    if best is None or not best[0] > 0:
        return None
    return Axis(float(starts[best[1], best[2]]), period, side, best[3], best[0])


def _sure(profile: Floats, spans: list[Span]) -> float:
    padded = np.concatenate([[STEP], profile, [STEP]])
    lines = sorted({place for span in spans for place in span})
    reach = max(3, (spans[0][1] - spans[0][0]) // 2)
    near = [padded[max(0, line - 1) : line + 2].max() for line in lines]
    around = [np.quantile(padded[max(0, line - reach) : line + reach + 1], 0.9) for line in lines]
    least = 0.25 * float(np.median(near))  # where nothing is, there is no edge
    clear = [one > CLEAR * usual + 0.3 and one >= least for one, usual in zip(near, around, strict=True)]
    return sum(map(bool, clear)) / len(lines)
