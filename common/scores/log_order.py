"""The order of a log's lines: restarts, repeats, stray lines, and the episodes that each marking line covers.

Credits: the marking window (all scores since the last marking line, population standard deviation) is that of
the 2020 assignment's starter code.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from common.scores.log_lines import EpisodeLine, MarkingLine

GRAVITAR_UNIT = 50  # points, of which all its scores are multiples
USUAL_INTERVAL = 100  # episodes between two marking lines
_LOOK_AHEAD = 1000  # lines; bounds the time for any log
_SHOWN_RESTARTS = 5


@dataclass(frozen=True)
class Event:
    """A line with a score, and its line number, from 1."""

    line: int
    content: EpisodeLine | MarkingLine

    @property
    def episode(self) -> int:
        return self.content.episode

    @property
    def is_marking(self) -> bool:
        return isinstance(self.content, MarkingLine)


@dataclass(frozen=True)
class MarkingWindow:
    """The content of a marking line, in points.

    :param episode: number of the last episode that it covers
    :param score: score of that episode
    :param mean: mean of the covered scores
    :param std: their population standard deviation, NaN if the line has none
    :param size: number of episodes that it covers; inferred, since it is not in the line
    """

    episode: int
    score: float
    mean: float
    std: float
    size: int


class _History:
    """Events in ascending order of episode, at most one episode line and one marking line for each number."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._numbers: list[int] = []

    @property
    def last(self) -> int:
        return self._numbers[-1] if self._numbers else -1

    def twin(self, event: Event) -> int | None:
        """The position of the line of the same kind for the same episode, or None."""
        if event.episode > self.last:
            return None
        for index in range(*self._span(event.episode)):
            if self.events[index].is_marking == event.is_marking:
                return index
        return None

    def put(self, event: Event) -> None:
        """Insert the event, or replace its twin."""
        twin = self.twin(event)
        if twin is not None:
            self.events[twin] = event
            return
        _, end = self._span(event.episode)
        self._numbers.insert(end, event.episode)
        self.events.insert(end, event)

    def cut(self, episode: int) -> int:
        """Remove all events from an episode on; returns their number."""
        start, _ = self._span(episode)
        dropped = len(self._numbers) - start
        del self.events[start:], self._numbers[start:]
        return dropped

    def _span(self, episode: int) -> tuple[int, int]:
        return bisect_left(self._numbers, episode), bisect_right(self._numbers, episode)


def one_history(events: Sequence[Event]) -> tuple[list[Event], list[int], list[str]]:
    """Sort events by episode and resolve repetitions of a restarted run.

    If the episode number goes back to an earlier one, the run was restarted: the earlier lines from that number on are
    removed, as a resumed run removes everything after its checkpoint. A single line that goes back, after which the
    old numbering continues, is a stray line and left out. New numbers below the last one are games that finished out of
    order.

    :return: events in ascending order of episode; the numbers at which episode lines started again; warnings
    """
    history = _History()
    restarts: list[int] = []
    messages: list[str] = []
    repeats = strays = unordered = 0
    position = 0
    while position < len(events):
        event, last, twin = events[position], history.last, history.twin(events[position])
        position += 1
        if event.episode >= last:
            repeats += twin is not None and history.events[twin].content.score != event.content.score
            history.put(event)
            continue
        if twin is not None and position < len(events) and events[position].episode > last:
            strays += 1
            continue
        late = _late_games(history, events, position - 1)
        if late:
            for each in late:
                history.put(each)
            unordered += len(late)
            position += len(late) - 1
            continue
        dropped = history.cut(event.episode)
        history.put(event)
        if not event.is_marking:
            del restarts[bisect_left(restarts, event.episode) :]
            restarts.append(event.episode)
        messages.append(
            f"restart at line {event.line}: the episode number goes back from {last} to {event.episode}; "
            f"the {dropped} earlier score lines from there on are left out"
        )
    warnings = messages[:_SHOWN_RESTARTS]
    if len(messages) > _SHOWN_RESTARTS:
        warnings.append(f"{len(messages) - _SHOWN_RESTARTS} more restarts")
    if repeats:
        warnings.append(f"{repeats} episodes stand there twice with different scores; the later line counts")
    if strays:
        said = "1 single line goes" if strays == 1 else f"{strays} single lines go"
        warnings.append(f"{said} back to an earlier episode and {'is' if strays == 1 else 'are'} left out")
    if unordered:
        warnings.append(f"{unordered} lines are out of order and were sorted by episode number")
    return history.events, restarts, warnings


def _late_games(history: _History, events: Sequence[Event], start: int) -> Sequence[Event]:
    """The events from ``start`` until the numbering has caught up; empty if one of them has a twin."""
    end = start
    while end < len(events) and end - start < _LOOK_AHEAD and events[end].episode < history.last:
        if history.twin(events[end]) is not None:
            return []
        end += 1
    return events[start:end]


def known_scores(history: Sequence[Event]) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """The scores of single episodes, from episode lines and from the ``score`` in marking lines.

    :param history: in ascending order of episode
    :return: episode numbers, shape (n,), strictly ascending; scores, shape (n,), points; warnings
    """
    scores: dict[int, float] = {}
    differing: list[int] = []
    for event in history:
        known = scores.get(event.episode)
        if known is None or event.is_marking is False:
            scores[event.episode] = event.content.score
        if known is not None and abs(known - event.content.score) > 0.051:
            differing.append(event.episode)
    warnings = []
    if differing:
        found = _lines(differing, "gives", "give")
        warnings.append(f"{found} another score than the episode line (first at episode {differing[0]})")
    return np.array(list(scores), dtype=np.int64), np.array(list(scores.values()), dtype=np.float64), warnings


def marking_windows(
    lines: Sequence[MarkingLine],
    restarts: Sequence[int],
    episodes: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> tuple[tuple[MarkingWindow, ...], list[str]]:
    """The marking lines with the number of episodes that each covers.

    The number is the distance to the previous marking line, at most the usual distance; less after a restart, which
    loses the scores since that line. If the score of every episode is known, it is the number that gives the line's
    mean and standard deviation. Otherwise it is the largest number with which the mean is possible.

    :param lines: in ascending order of episode
    :param restarts: numbers of the first episodes after a restart, ascending
    :param episodes: shape (n,), numbers of the episodes with known scores, strictly ascending
    :param scores: shape (n,), points
    """
    steps = Counter(later.episode - earlier.episode for earlier, later in pairwise(lines))
    interval = min(steps, key=lambda step: (-steps[step], step)) if steps else USUAL_INTERVAL
    multiples = bool((scores % GRAVITAR_UNIT == 0).all())
    windows: list[MarkingWindow] = []
    unexplained: list[tuple[MarkingLine, float]] = []
    gaps: list[str] = []
    short: list[str] = []
    before: int | None = None
    for line in lines:
        distance = line.episode - before if before is not None else line.episode + 1
        size = min(distance, interval)
        if before is not None and distance > interval:
            gaps.append(f"no marking line between episode {before} and {line.episode}")
        last = bisect_left(restarts, line.episode) - 1  # the last restart before the line
        if last >= 0 and (before is None or restarts[last] > before):
            size = min(size, line.episode - restarts[last] + 1)
        tail = _tail(line.episode, episodes, scores, 2 * interval)
        if tail.size >= size:
            explained = _explained_size(line, tail, size)
            if explained is None:
                unexplained.append((line, float(tail[:size].mean())))
            size = explained or size
        else:
            size = _possible_size(line, size, multiples)
        if size < interval and before is not None:
            games = "1 game" if size == 1 else f"{size} episodes"
            short.append(f"the marking line at episode {line.episode} covers only {games}")
        windows.append(MarkingWindow(line.episode, line.score, line.mean, line.std, size))
        before = line.episode
    warnings = _some(gaps) + _some(short)
    if unexplained:
        line, mean = unexplained[0]
        warnings.append(
            f"{_lines(unexplained, 'does', 'do')} not follow from the episode lines (first at episode "
            f"{line.episode}: mean_score {line.mean:.2f}, the episode lines give {mean:.2f})"
        )
    return tuple(windows), warnings


def _lines(found: Sequence[object], one: str, several: str) -> str:
    """The number of some marking lines, and a verb."""
    return f"1 marking line {one}" if len(found) == 1 else f"{len(found)} marking lines {several}"


def _tail(episode: int, episodes: NDArray[np.int64], scores: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """The known scores of consecutive episodes that end at ``episode``, the last one first."""
    end = int(np.searchsorted(episodes, episode, side="right"))
    start = max(0, end - longest)
    numbers = episodes[start:end][::-1]
    unbroken = numbers == episode - np.arange(numbers.size)
    count = numbers.size if unbroken.all() else int(np.argmin(unbroken))
    return scores[start:end][::-1][:count]


def _explained_size(line: MarkingLine, tail: NDArray[np.float64], expected: int) -> int | None:
    """The number of last scores with the line's mean and standard deviation that is nearest to the expected one."""
    counts = np.arange(1, tail.size + 1)
    means = np.cumsum(tail) / counts
    stds = np.sqrt(np.maximum(np.cumsum(np.square(tail)) / counts - np.square(means), 0.0))
    # Half a unit of the second decimal in the marking line, plus half a unit of the first one in the episode lines.
    fits = np.abs(means - line.mean) <= 0.056
    if np.isfinite(line.std):
        fits &= np.abs(stds - line.std) <= 0.056
    sizes = counts[fits]
    return int(sizes[np.argmin(np.abs(sizes - expected))]) if sizes.size else None


def _possible_size(line: MarkingLine, size: int, multiples: bool) -> int:
    """The largest number of games up to ``size`` that can have the line's mean and standard deviation.

    :param multiples: whether all known scores are multiples of ``GRAVITAR_UNIT``
    """
    if line.std == 0 and line.mean == line.score != 0:  # games of 0 points are often equal, others are not
        return 1
    if not multiples:
        return size
    counts = np.arange(size, 0, -1)
    off = np.abs(line.mean * counts - GRAVITAR_UNIT * np.round(line.mean * counts / GRAVITAR_UNIT))
    possible = counts[off <= 0.0051 * counts]  # half a unit of the mean's second decimal in each game
    return int(possible[0]) if possible.size else size


def _some(warnings: list[str], shown: int = 3) -> list[str]:
    more = len(warnings) - shown
    return warnings if more <= 1 else [*warnings[:shown], f"{more} more of that kind"]
