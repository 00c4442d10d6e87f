"""Learning curves of score logs: the mean of the last games at every episode, or of each few games by themselves.

Credits: the 2020 and 2021 assignments for the 100-episode mean, by which they are marked; the starter code of 2021 for
the mean and the standard deviation of each 10 episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.scores.logs import ScoreLog

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Means of the last games, in points.

    :param source: "trailing": a mean at every known episode, of the known scores with an episode number in
        (episode - window, episode]; "intervals": means of consecutive intervals, each at its last episode; "marking":
        the means in the marking lines, for logs in which most scores of single episodes are unknown
    :param episodes: shape (n,), strictly ascending
    :param means: shape (n,)
    :param window: episodes in a mean: the requested number, or that of the marking lines
    :param complete: False if no window was full, so that the means cover fewer episodes
    :param deviations: shape (n,), population standard deviations of the scores in "intervals"; None for the others
    """

    source: Literal["trailing", "intervals", "marking"]
    episodes: IntArray
    means: FloatArray
    window: int
    complete: bool
    deviations: FloatArray | None = None


@dataclass(frozen=True)
class Block:
    """Statistics of consecutive episodes, in points; None where single scores are unknown."""

    first: int
    last: int
    games: int
    mean: float
    std: float
    median: float | None
    best: float | None


def learning_curve(log: ScoreLog, window: int = 100) -> Curve:
    """The learning curve of a log, with full windows only, unless there is none.

    :param window: number of episodes, at least 1; not used for marking lines, which have their own
    """
    if not log.every_score_known and log.windows:
        usual = marking_interval(log)
        chosen = [each for each in log.windows if each.size >= 0.9 * usual]
        episodes = np.array([each.episode for each in chosen], dtype=np.int64)
        return Curve("marking", episodes, np.array([each.mean for each in chosen]), usual, complete=True)
    starts, counts = _windows(log, window)
    totals = np.concatenate([[0.0], np.cumsum(log.scores)])
    means: FloatArray = (totals[1:] - totals[starts]) / counts
    # A window with a gap must have at least half of the usual number of scores.
    full = (log.episodes - window + 1 >= log.episodes[0]) & (2 * counts * log.stride >= window)
    complete = bool(full.any())
    keep = full if complete else np.ones_like(full)
    return Curve("trailing", log.episodes[keep], means[keep], window, complete)


def interval_curve(log: ScoreLog, size: int = 10) -> Curve:
    """Mean and standard deviation of each ``size`` consecutive episodes, counted from the log's first.

    An interval of which less than half is known is left out, unless there is no other. Logs in which most scores of
    single episodes are unknown have the means of their marking lines, as in ``learning_curve``.

    :param size: number of episodes, at least 1
    """
    if size < 1:
        raise ValueError(f"an interval of {size} episodes; it must have at least 1")
    if not log.every_score_known and log.windows:
        return learning_curve(log, size)
    parts = _divided(log, (log.episodes - log.episodes[0]) // size)
    known = [part for part in parts if 2 * part[1].size >= size] or parts
    return Curve(
        "intervals",
        np.array([episodes[-1] for episodes, _ in known]),
        np.array([scores.mean() for _, scores in known]),
        size,
        complete=any(scores.size == size for _, scores in known),
        deviations=np.array([scores.std() for _, scores in known]),
    )


def marking_interval(log: ScoreLog) -> int:
    """The number of episodes that most of a log's marking lines cover."""
    sizes = np.array([each.size for each in log.windows])
    values, counts = np.unique(sizes, return_counts=True)
    return int(values[np.argmax(counts)])


def mean_at(curve: Curve, episode: int, tolerance: int = 0) -> float | None:
    """The mean of the full window that ends at an episode, or up to ``tolerance`` episodes earlier; None if there is
    none."""
    index = int(np.searchsorted(curve.episodes, episode, side="right")) - 1
    if not curve.complete or index < 0 or episode - curve.episodes[index] > tolerance:
        return None
    return float(curve.means[index])


def best_mean(curve: Curve) -> tuple[float, int] | None:
    """The highest mean of a full window and its first episode; None if no window is full."""
    if not curve.complete:
        return None
    index = int(np.argmax(curve.means))
    return float(curve.means[index]), int(curve.episodes[index])


def quartiles(log: ScoreLog, curve: Curve, points: int = 600) -> tuple[IntArray, FloatArray, FloatArray]:
    """First and third quartile of the scores in the windows of a trailing curve.

    :param points: largest number of episodes at which they are computed
    :return: episodes, first quartiles, third quartiles: shape (m,) each; empty for a marking curve
    """
    if curve.source == "marking":
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    starts, _ = _windows(log, curve.window)
    chosen = np.unique(np.linspace(0, curve.episodes.size - 1, points).astype(int))
    ends = np.searchsorted(log.episodes, curve.episodes[chosen])
    band = np.array([np.quantile(log.scores[starts[end] : end + 1], [0.25, 0.75]) for end in ends])
    return curve.episodes[chosen], band[:, 0], band[:, 1]


def blocks(log: ScoreLog, size: int = 100) -> list[Block]:
    """Divide a run into blocks that end at multiples of ``size``, as marking lines do.

    Episode 0 is a block of its own, as in the log of the 2020 edition. If most scores are unknown, the blocks are those
    of the marking lines.
    """
    if not log.every_score_known and log.windows:
        return [
            Block(each.episode - each.size + 1, each.episode, each.size, each.mean, each.std, None, None)
            for each in log.windows
        ]
    return [
        Block(
            first=int(episodes[0]),
            last=int(episodes[-1]),
            games=int(episodes.size),
            mean=float(scores.mean()),
            std=float(scores.std()),
            median=float(np.median(scores)),
            best=float(scores.max()),
        )
        for episodes, scores in _divided(log, -(-log.episodes // size))
    ]


def _divided(log: ScoreLog, numbers: IntArray) -> list[tuple[IntArray, FloatArray]]:
    """Episodes and scores of the parts of a log.

    :param numbers: of the part that each known score is in, ascending
    """
    cuts = np.flatnonzero(np.diff(numbers)) + 1
    return list(zip(np.split(log.episodes, cuts), np.split(log.scores, cuts), strict=True))


def _windows(log: ScoreLog, window: int) -> tuple[IntArray, IntArray]:
    """Position of the first score of the window that ends at each score, and the number of scores in it."""
    if window < 1:
        raise ValueError(f"window is {window}; it must be at least 1")
    starts = np.searchsorted(log.episodes, log.episodes - window, side="right")
    return starts, np.arange(1, log.episodes.size + 1) - starts
