"""Whether scores and means hang together in time: jumps between windows, and single scores far above all others.

Credits: A. Renyi 1953 (spacings of ordered exponential variables); B. M. Hill 1975 (the tail's exponent from the
largest values).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from common.scores.logs import ScoreLog
from submission.audit.evidence import Evidence

WIDER = 1.5  # learning moves means too, so a jump must be so much larger than chance alone would make it
TAIL = 25  # largest scores that tell how heavy the tail is
FAR = 3.0  # times the next score; Gravitar's planets alone make scores twice as high as all others


def jumps(log: ScoreLog) -> list[Evidence]:
    """Evidence where the mean changes from one marking line to the next by more than learning does.

    The change is measured in its own standard deviation. Other changes in the same log say how large it usually is
    here, so that fast learning alone is not odd.
    """
    windows = [one for one in log.windows if one.size > 20 and math.isfinite(one.std)]
    if len(windows) < 6:
        return []
    means, stds, sizes = (np.array([getattr(one, name) for one in windows]) for name in ("mean", "std", "size"))
    errors = np.sqrt(stds[1:] ** 2 / sizes[1:] + stds[:-1] ** 2 / sizes[:-1]) + 1e-9
    values = np.diff(means) / errors
    usual = max(1.0, float(np.median(np.abs(values))) / 0.6745)
    place = int(np.argmax(np.abs(values)))
    largest = abs(float(values[place])) / usual
    chance = min(1.0, values.size * 2 * float(stats.norm.sf(largest / WIDER)))
    if chance > 0.05:
        return []
    before, after = windows[place], windows[place + 1]
    words = (
        f"the mean goes from {before.mean:.0f} at episode {before.episode} to {after.mean:.0f} at {after.episode}, "
        f"{abs(values[place]):.1f} deviations, where {usual:.1f} is usual in this log"
    )
    otherwise = "settings that were changed at a restart, or a network that collapsed or recovered"
    return [Evidence("jumps", words, chance, otherwise, (after.episode,))]


def outliers(log: ScoreLog) -> list[Evidence]:
    """Evidence where the highest scores stand far above all others.

    Above a high score the tail is nearly a power law: the logarithms of the ratios of ordered scores, times their rank,
    are exponential and independent (Renyi), with a mean that the following ``TAIL`` scores give (Hill). For each of the
    first places the gap to the next is compared with those that follow it.
    """
    order = np.argsort(-log.scores, kind="stable")
    top = log.scores[order][: TAIL + 6]
    if top.size < TAIL + 6 or top[-1] <= 0:
        return []
    best: tuple[float, int] = (1.0, 0)
    for place in range(1, 6):
        if top[place - 1] >= FAR * top[place]:
            best = min(best, (_gap_chance(top, place), place))
    chance = min(1.0, 5 * best[0])
    if chance > 0.05:
        return []
    place = best[1]
    episodes = tuple(int(episode) for episode in log.episodes[order[:place]])
    words = (
        f"{place} score{'s' if place > 1 else ''} of {', '.join(f'{score:g}' for score in top[:place])} (episode "
        f"{', '.join(map(str, episodes))}) stand far above the next, {top[place]:g}"
    )
    otherwise = "a game found by a search, or a level that the agent reached for the first time"
    return [Evidence("outliers", words, chance, otherwise, episodes)]


def _gap_chance(top: NDArray[np.float64], place: int) -> float:
    """Chance of a gap as large as that below the ``place`` highest scores, from 1."""
    # Steps of the score make ties; half a step is the least difference that can be told.
    logs = np.log(top[place - 1 : place + TAIL] / top[place + TAIL])
    spacings = np.diff(-logs) * np.arange(place, place + TAIL)
    first, rest = float(spacings[0]), spacings[1:]
    mean = max(float(rest.mean()), 0.05)
    # The ratio of an exponential variable to the mean of others has an F distribution.
    return float(stats.f.sf(first / mean, 2, 2 * rest.size))
