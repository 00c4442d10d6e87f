"""Logs altered in ways that people would use, to measure what the audit finds, and genuine logs to measure its errors.

Everything works on the text of a log: other lines stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callbacks.marking_log import MARKING_LINE

Lines = list[str]
Generator = np.random.Generator
_MARKING = re.compile(
    r"(marking, episode: )(\d+)(, score: )(-?[\d.]+)(, mean_score: )(-?[\d.]+)(, std_score: )([\d.]+)"
)
_EPISODE = re.compile(r"(episode: ?)(\d+)(,? (?:score|reward): ?)(-?[\d.]+(?:e[-+]?\d+)?)", re.IGNORECASE)


@dataclass(frozen=True)
class Way:
    """A way of altering a log, at some strengths.

    :param change: from a log's lines, a strength, another log's lines and a random generator to altered lines
    :param marking: whether it alters marking logs
    :param agent: whether it alters agent logs
    """

    name: str
    strengths: tuple[float, ...]
    unit: str
    change: Callable[[Lines, float, Lines, Generator], Lines]
    marking: bool = True
    agent: bool = True


def marking_log(scores: NDArray[np.float64], every: int) -> Lines:
    """The lines of a marking log of these scores, with every so-manyth score shown."""
    lines: Lines = []
    window: list[float] = []
    for episode, score in enumerate(scores.tolist()):
        window.append(score)
        if episode % 100 == 0:
            lines.append(MARKING_LINE.format(episode, score, np.mean(window), np.std(window)))
            window = []
        if episode % every == 0:
            lines.append(f"episode: {episode}, score: {score:.1f}, epsilon: 0.50")
    return lines


def _marking(lines: Sequence[str]) -> list[int]:
    """The places of the marking lines that cover more than one game."""
    return [place for place, line in enumerate(lines) if (found := _MARKING.match(line)) and int(found[2]) > 0]


def _shown(lines: Sequence[str]) -> list[int]:
    return [place for place, line in enumerate(lines) if _EPISODE.match(line)]


def _with(line: str, group: int, value: str) -> str:
    pattern = _MARKING if _MARKING.match(line) else _EPISODE
    return pattern.sub(
        lambda found: "".join(value if k == group else found[k] for k in range(1, found.re.groups + 1)), line
    )


def _part(line: str, group: int) -> str:
    found = _MARKING.match(line) or _EPISODE.match(line)
    assert found is not None
    return found[group]


def scale_means(lines: Lines, factor: float, other: Lines, generator: Generator) -> Lines:
    """Multiply each mean; of a walker, the positive rewards."""
    lines = list(lines)
    for place in _marking(lines):
        lines[place] = _with(lines[place], 6, f"{float(_part(lines[place], 6)) * factor:.2f}")
    if not _marking(lines):
        for place in _shown(lines):
            reward = float(_part(lines[place], 4))
            lines[place] = _with(lines[place], 4, repr(reward * factor if reward > 0 else reward))
    return lines


def swap_windows(lines: Lines, pairs: float, other: Lines, generator: Generator) -> Lines:
    """Exchange mean and deviation of pairs of marking lines."""
    lines = list(lines)
    places = _marking(lines)
    for _ in range(int(pairs)):
        one, two = generator.choice(places, 2, replace=False)
        for group in (6, 8):
            first, second = _part(lines[one], group), _part(lines[two], group)
            lines[one], lines[two] = _with(lines[one], group, second), _with(lines[two], group, first)
    return lines


def edit_digits(lines: Lines, count: float, other: Lines, generator: Generator) -> Lines:
    """Change one digit of so many means, or of so many rewards."""
    lines = list(lines)
    marking = _marking(lines)
    places, group = (marking, 6) if marking else (_shown(lines), 4)
    for place in generator.choice(places, min(int(count), len(places)), replace=False):
        text = _part(lines[place], group)
        # One of the first three digits: another would hardly raise it.
        digits = [k for k, sign in enumerate(text) if sign.isdigit()][:3]
        at = digits[int(generator.integers(len(digits)))]
        new = str((int(text[at]) + int(generator.integers(1, 10))) % 10)
        if at == digits[0] and new == "0":
            new = "9" if text[at] != "9" else "8"
        lines[place] = _with(lines[place], group, text[:at] + new + text[at + 1 :])
    return lines


def paste_tail(lines: Lines, share: float, other: Lines, generator: Generator) -> Lines:
    """Replace the last part by the end of a better run, with the numbers that belong there."""
    places = _marking(lines) or _shown(lines)
    theirs = _marking(other) or _shown(other)
    count = min(round(share * len(places)), len(theirs), len(places) - 1)
    start, from_there = places[-count] if not _marking(lines) else places[-count - 1] + 1, theirs[-count]
    if _marking(lines):
        from_there = theirs[-count - 1] + 1
    shift = int(_part(lines[places[-1]], 2)) - int(_part(other[theirs[-1]], 2))
    tail = []
    for line in other[from_there:]:
        found = _MARKING.match(line) or _EPISODE.match(line)
        if found:
            tail.append(_with(line, 2, str(int(found[2]) + shift)))
    return [*lines[:start], *tail]


def paste_own_best(lines: Lines, share: float, other: Lines, generator: Generator) -> Lines:
    """Replace the middle part by a copy of the run's own best part, its end."""
    places = _shown(lines)
    count = round(share * len(places))
    start = (len(places) - count) // 2
    lines = list(lines)
    for place, source in zip(places[start : start + count], places[-count:], strict=True):
        lines[place] = _with(lines[place], 4, _part(lines[source], 4))
    return lines


def smooth_deviations(lines: Lines, width: float, other: Lines, generator: Generator) -> Lines:
    """Replace each deviation by the mean of so many around it."""
    lines = list(lines)
    places = _marking(lines)
    values = np.array([float(_part(lines[place], 8)) for place in places])
    half = int(width) // 2
    for index, place in enumerate(places):
        lines[place] = _with(lines[place], 8, f"{values[max(0, index - half) : index + half + 1].mean():.2f}")
    return lines


def insert_scores(lines: Lines, count: float, other: Lines, generator: Generator) -> Lines:
    """Replace so many shown scores by very high ones; the means stay."""
    lines = list(lines)
    for place in generator.choice(_shown(lines), int(count), replace=False):
        high = 50 * int(generator.integers(60, 100)) if _marking(lines) else 320 + float(generator.random()) * 5
        lines[place] = _with(lines[place], 4, f"{high:.1f}" if _marking(lines) else repr(high))
    return lines


WAYS = (
    Way("means scaled", (1.02, 1.1, 1.5), "times", scale_means),
    Way("windows swapped", (1, 3), "pairs", swap_windows, agent=False),
    Way("digits edited", (1, 3, 10), "numbers", edit_digits),
    Way("a better run's tail pasted", (0.2, 0.5), "of the log", paste_tail),
    Way("the run's own end pasted into its middle", (0.05, 0.25), "of the log", paste_own_best, marking=False),
    Way("deviations smoothed", (3, 9), "lines", smooth_deviations, agent=False),
    Way("scores inserted", (1, 5), "scores", insert_scores),
)
