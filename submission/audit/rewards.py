"""Rewards of a walker, which are sums of floating-point numbers: they never repeat, and are printed in full.

Two trainings with one seed and one build of the libraries begin alike, until their agents differ: a shared beginning is
no copying.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.scores.log_records import LogRecords, Record
from common.scores.logs import ScoreLog
from submission.audit.evidence import Evidence

WARM_UP = 100  # episodes in which trainings with the same seed may be alike
FULL = 12  # significant digits; a sum of many rewards has 15 to 17
SHARED = 3  # equal rewards of two logs after the beginning that are no coincidence
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?$")


def full_precision(scores: NDArray[np.float64]) -> bool:
    """Whether a log's rewards are printed in full, so that equal ones mean something."""
    digits = [significant_digits(repr(float(score))) for score in scores[:2000]]
    return bool(digits) and float(np.median(digits)) >= FULL


def significant_digits(text: str) -> int:
    """The number of digits of a number without its sign, point, exponent and leading zeros."""
    return len(re.sub(r"e.*|\D", "", text.lower()).lstrip("0"))


def repeated(log: ScoreLog) -> list[Evidence]:
    """Evidence of rewards that stand in a log twice."""
    places = defaultdict(list)
    for episode, score in zip(log.episodes.tolist(), log.scores.tolist(), strict=True):
        if significant_digits(repr(score)) >= FULL:
            places[score].append(episode)
    twice = sorted((found for found in places.values() if len(found) > 1), key=lambda found: found[1])
    if not twice:
        return []
    shifts = {second - first for first, second, *_ in twice}
    first, second = twice[0][:2]
    words = f"{len(twice)} rewards stand there twice, the first at episodes {first} and {second}"
    if len(twice) > 1 and len(shifts) == 1:
        words += f"; all {shifts.pop()} episodes apart, as when a part was pasted"
    if max(found[0] for found in twice) <= log.episodes[0] + WARM_UP and first - log.episodes[0] < 3:
        why = "the run was started again with its seed and went on in the same file"
        return [Evidence("repeats", words, 1.0, why, tuple(found[1] for found in twice[:50]))]
    return [Evidence("repeats", words, 1e-6, "", tuple(found[1] for found in twice[:50]))]


def odd_digits(path: Path) -> list[Evidence]:
    """Evidence of numbers that Python would not print so: too short, or not the shortest text of their value."""
    short, other, lengths = [], [], []
    with path.open("rb") as stream:
        for record in LogRecords(stream, path, most_bytes=64_000_000, most_records=200_000):
            text = record.line.text.rstrip().rpartition(" ")[2]
            if not isinstance(record, Record) or not record.line.ended or not _NUMBER.fullmatch(text):
                continue
            digits = significant_digits(text)
            lengths.append(digits)
            if digits < FULL:
                short.append(record.content.episode)
            if repr(float(text)) != text:
                other.append(record.content.episode)
    if not lengths or float(np.median(lengths)) < FULL:
        return []
    found = []
    # A float has so few digits by chance once in 10^(15 - FULL) times at most.
    expected = len(lengths) * 10.0 ** (FULL - 16)
    if short:
        words = f"{len(short)} rewards have fewer than {FULL} digits, the first at episode {short[0]}"
        otherwise = "an environment that ends with a round number"
        found.append(Evidence("digits", words, min(1.0, expected) ** min(len(short), 3), otherwise, tuple(short[:50])))
    if other:
        words = f"{len(other)} rewards are not as Python prints them, the first at episode {other[0]}"
        chance = 1e-6 if len(other) < 0.5 * len(lengths) else 1.0
        found.append(Evidence("digits", words, chance, "a recorder that prints in another way", tuple(other[:50])))
    return found


def shared(log: ScoreLog, others: Sequence[ScoreLog]) -> list[Evidence]:
    """Evidence of rewards that a log shares with others after the beginning that a common seed explains."""
    own = dict(zip(log.scores.tolist(), log.episodes.tolist(), strict=True))
    found = []
    for other in others:
        theirs = dict(zip(other.scores.tolist(), other.episodes.tolist(), strict=True))
        common = sorted((own[score], theirs[score]) for score in own.keys() & theirs.keys() if _full(score))
        early = [pair for pair in common if pair[0] == pair[1] and pair[0] <= log.episodes[0] + WARM_UP]
        late = [pair for pair in common if pair not in early]
        if early:
            words = f"{len(early)} rewards up to episode {early[-1][0]} are those of {other.name} at the same episodes"
            found.append(Evidence("shared", words, 1.0, "the same seed and the same build of the libraries"))
        if len(late) >= SHARED:
            words = (
                f"{len(late)} rewards are those of {other.name}, the first at episode {late[0][0]} (there {late[0][1]})"
            )
            otherwise = "a file that was not emptied before the next training, or one author's two submissions"
            found.append(Evidence("shared", words, 1e-6, otherwise, tuple(pair[0] for pair in late[:50])))
    return found


def _full(score: float) -> bool:
    return significant_digits(repr(score)) >= FULL
