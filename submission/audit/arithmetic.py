"""Whether the printed means and deviations are possible: for the number of scores, their step, and the scores shown.

In units of the step, n scores are integers x_i with sum k and sum of squares q. A printed mean m asks for an integer k
with |k / n - m| within rounding (GRIM), a printed deviation s for an integer q with q / n - (k / n)^2 = s^2 within
rounding and q = k mod 2, since x^2 = x mod 2 (GRIMMER). Scores of the window that the log shows are taken off both
sums; what is left must still be possible for as many integers of 0 and more.

Credits: N. J. L. Brown and J. A. J. Heathers 2017 (doi 10.1177/1948550616673876, GRIM); J. Anaya 2016 (doi
10.7287/peerj.preprints.2400v1, GRIMMER); the bound on chances that do not depend on each other is Bonferroni's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from common.scores.log_order import USUAL_INTERVAL, MarkingWindow
from common.scores.logs import ScoreLog
from submission.audit.evidence import Evidence

ROUNDING = 0.005 + 1e-9  # of two decimals
# Chance that an untouched log has one impossible line: a recorder that counts otherwise, a line that was cut. None of
# the genuine lines that were looked at is impossible.
INNOCENT = 1e-4
STEP = 50  # points in Gravitar
SHORTENED = "the line then covers fewer games than the others, as after a restart that lost the scores before it"
OTHER_RECORDER = "a recorder that computes its lines in another way"


@dataclass(frozen=True)
class CheckedWindow:
    """A marking line and the numbers of scores with which it is possible.

    :param size: the number of scores that it should cover
    :param possible: whether it is possible with this number
    :param shorter: the largest smaller number with which it is possible, if it is not with its own; None if none is
    """

    window: MarkingWindow
    size: int
    possible: bool
    shorter: int | None


def check_windows(log: ScoreLog, step: int = STEP) -> list[CheckedWindow]:
    """All marking lines of a log, checked.

    :param step: points of which every score is a multiple
    """
    nonnegative = bool((log.scores >= 0).all())
    distances = np.diff([-1, *(window.episode for window in log.windows)]).tolist()
    usual = Counter(distances[1:]).most_common(1)[0][0] if len(distances) > 1 else USUAL_INTERVAL
    checked = []
    for window, distance in zip(log.windows, distances, strict=True):
        # After a gap in the lines, a recorder may have gone on counting.
        sizes = [min(distance, usual), distance]
        fitting = next((n for n in sizes if is_possible(window, shown(log, window, n), n, step, nonnegative)), None)
        shorter = None
        if fitting is None:
            smaller = range(sizes[0] - 1, 0, -1)
            shorter = next(
                (n for n in smaller if is_possible(window, shown(log, window, n), n, step, nonnegative)), None
            )
        checked.append(CheckedWindow(window, fitting or sizes[0], fitting is not None, shorter))
    return checked


def shown(log: ScoreLog, window: MarkingWindow, size: int) -> list[float]:
    """The scores among a window's last ``size`` episodes that the log shows."""
    start, end = np.searchsorted(log.episodes, [window.episode - size + 1, window.episode + 1])
    return [float(score) for score in log.scores[start:end]]


def is_possible(
    window: MarkingWindow, known: Sequence[float], size: int, step: int = STEP, nonnegative: bool = True
) -> bool:
    """Whether ``size`` scores can have a line's mean and deviation.

    :param known: some of the scores, points
    :param step: points of which every score is a multiple
    :param nonnegative: whether no score is below 0
    """
    if any(score % step for score in known) or len(known) > size:
        return False
    units = [round(score / step) for score in known]
    rest = size - len(units)
    for total in _integers(size * (window.mean - ROUNDING) / step, size * (window.mean + ROUNDING) / step):
        left = total - sum(units)
        if not math.isfinite(window.std):
            if _sum_is_possible(left, rest, nonnegative):
                return True
            continue
        low, high = (
            size * max(0.0, window.std + error) ** 2 / step**2 + total**2 / size for error in (-ROUNDING, ROUNDING)
        )
        for squares in _integers(low, high):
            if (squares - total) % 2 == 0 and _squares_are_possible(
                left, squares - sum(u * u for u in units), rest, nonnegative
            ):
                return True
    return False


def _integers(low: float, high: float) -> Iterator[int]:
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    yield from range(math.ceil(low - slack), math.floor(high + slack) + 1)


def _sum_is_possible(total: int, count: int, nonnegative: bool) -> bool:
    return total == 0 if count == 0 else not nonnegative or total >= 0


def _squares_are_possible(total: int, squares: int, count: int, nonnegative: bool) -> bool:
    """Whether ``count`` integers can have this sum and this sum of squares, as far as their bounds tell."""
    if count == 0:
        return total == 0 and squares == 0
    each, more = divmod(total, count)
    least = (count - more) * each * each + more * (each + 1) ** 2  # as equal as integers can be
    if squares < least:
        return False
    return not nonnegative or (total >= 0 and squares <= total * total)


def arithmetic(log: ScoreLog, step: int = STEP) -> list[Evidence]:
    """Evidence from the lines' arithmetic."""
    checked = check_windows(log, step)
    impossible = [one for one in checked if not one.possible and one.shorter is None]
    shortened = [one for one in checked if not one.possible and one.shorter is not None]
    broken = log.scores[log.scores % step != 0]
    found = []
    if broken.size:
        found.append(
            Evidence(
                "steps",
                f"{broken.size} scores are no multiples of {step}, the first is {broken[0]:g}",
                INNOCENT,
                "another game, or scores that the recorder changed",
                tuple(int(episode) for episode in log.episodes[log.scores % step != 0][:20]),
            )
        )
    if impossible:
        first = impossible[0].window
        words = (
            f"{len(impossible)} of {len(checked)} marking lines are impossible: at episode {first.episode} no "
            f"{impossible[0].size} scores in steps of {step} have mean {first.mean:.2f} and deviation {first.std:.2f}"
        )
        if len(impossible) > 1 or len(shown(log, first, impossible[0].size)) > 1:
            words += ", or not with those that the log shows"
        chance = min(1.0, len(checked) * INNOCENT) ** min(len(impossible), 3)
        episodes = tuple(one.window.episode for one in impossible)
        found.append(Evidence("lines", words, chance, OTHER_RECORDER, episodes))
    if shortened:
        sizes = ", ".join(f"{one.shorter} at {one.window.episode}" for one in shortened[:5])
        words = f"{len(shortened)} marking lines are possible with fewer scores than {USUAL_INTERVAL} only ({sizes})"
        found.append(Evidence("lines", words, 1.0, SHORTENED, tuple(one.window.episode for one in shortened)))
    return found


def shown_against_means(log: ScoreLog) -> list[Evidence]:
    """Evidence where the scores that a log shows differ from its means by more than chance.

    For j of a window's n scores the mean differs by s sqrt((1 - j / n) / j) as a rule. Genuine logs were seen with
    single windows of 3.2 such deviations in 30, so all deviations are widened by half.
    """
    values = []
    for window in log.windows:
        known = shown(log, window, window.size)[:-1]  # the last one is shown because it ends the window
        count = len(known)
        if 3 <= count < 0.9 * window.size and window.std > 0:
            deviation = window.std * math.sqrt((1 - count / window.size) / count)
            values.append((float(np.mean(known)) - window.mean) / deviation)
    if len(values) < 3:
        return []
    total = sum(values) / math.sqrt(len(values))
    largest = max(values, key=abs)
    chance = 2 * float(stats.norm.sf(abs(total) / 1.5))
    alone = min(1.0, len(values) * 2 * float(stats.norm.sf(abs(largest) / 1.5)))
    words = (
        f"the scores shown are {'higher' if total > 0 else 'lower'} than the means of their {len(values)} windows by "
        f"{abs(total):.1f} deviations in all, {abs(largest):.1f} in one of them"
    )
    least = min(chance, alone)
    return (
        [Evidence("shown scores", words, least, "games shown that are not typical, as those with a video")]
        if least < 0.05
        else []
    )
