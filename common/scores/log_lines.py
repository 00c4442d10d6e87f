"""Parsing of one line of a score log: episode, score, and whether it is a marking line.

The 2020 edition's marking line: ``marking, episode: 100, score: 0.0, mean_score: 198.50, std_score: 211.24``.
The 2021 edition has ``episode: 1, reward: -95.2`` for every episode. Lines in other formats are read as well, if they
name an episode and a score: ``Episode:0 Score:200.00``, ``Ep 12 | reward = np.float64(35.0)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Lengths are bounded so that no line can make the search slow.
_WORD = r"[A-Za-z_][\w.\-]{0,30}"
_KEY = rf"(?P<key>{_WORD}(?: {{1,3}}{_WORD}){{0,4}})"
_SEPARATOR = r"['\"]?(?:\s{0,3}[:=#]\s{0,3}|\s{1,3}#?)"
# np.float64(250.0), tensor([250.]), [250.0] and a plain number.
_WRAPPER = r"(?:[A-Za-z_][\w.]{0,30}\(\s?)?\[{0,2}\s?['\"]?"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d*)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PAIR = re.compile(rf"{_KEY}{_SEPARATOR}{_WRAPPER}(?P<number>[-+]?(?:{_DIGITS}|(?i:nan|inf(?:inity)?)\b))")

_EXACT_MARKING = re.compile(r"marking, episode: \d+, score: -?\d+\.\d, mean_score: -?\d+\.\d\d, std_score: \d+\.\d\d")
_EXACT_EPISODE = re.compile(r"episode: \d+, (?:score|reward): \S")
_MARKING_START = re.compile(r"\s*marking\b", re.IGNORECASE)
_MARKING_INSIDE = re.compile(r"\bmarking\s?[,:;]\s?(?:n_)?episode\b", re.IGNORECASE)
_MENTIONS = re.compile(r"\bep(?:isode)?\b.{0,200}\b(?:score|reward|return)\b", re.IGNORECASE)
# Lines about an episode that is not the line's own, as in "video: 25, score: 700 (best 700.0 at episode 25)".
_ABOUT_OTHERS = re.compile(r"\W{0,5}(?:video|recording|checkpoint|best)s?\b", re.IGNORECASE)
_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")

_EPISODE_WORDS = {"episode", "ep", "game"}
_NUMBER_WORDS = {"number", "num", "no", "nr", "id", "idx", "index"}
_SCORE_WORDS = {"score", "scores", "reward", "rewards", "return", "returns", "rew"}
_MEAN_WORDS = {"mean", "avg", "average"}
_STD_WORDS = {"std", "stdev", "stddev", "sd", "deviation"}
# Words beside "score" that show that it is not the score of a single training episode.
_NOT_ONE_EPISODE = _MEAN_WORDS | _STD_WORDS | {
    "best", "clipped", "ema", "eval", "evaluation", "extrinsic", "highest", "high", "intrinsic", "last",
    "max", "maximum", "median", "min", "minimum", "moving", "norm", "normalised", "normalized", "recent",
    "rolling", "running", "scaled", "shaped", "smoothed", "step", "target", "test", "top", "val",
    "validation",
}  # fmt: skip
_LARGEST_EPISODE = 2**53
_LONGEST_LINE = 2000  # characters; the rest of a line is not read


@dataclass(frozen=True)
class EpisodeLine:
    """An episode and its score.

    :param key: the score's last word in the line, such as ``score`` or ``reward``
    :param exact: the line begins as in the assignment's starter code
    """

    episode: int
    score: float
    key: str
    exact: bool


@dataclass(frozen=True)
class MarkingLine:
    """A marking line; ``std`` is NaN if the line has none.

    :param exact: the line has exactly the assignment's format
    :param prefixed: there is text before the word ``marking``
    """

    episode: int
    score: float
    mean: float
    std: float
    exact: bool
    prefixed: bool


@dataclass(frozen=True)
class UnreadableLine:
    """A line that mentions an episode's score, or begins with ``marking``, and cannot be parsed."""

    marking: bool


def parse_line(line: str) -> EpisodeLine | MarkingLine | UnreadableLine | None:
    """Parse one line, without its end-of-line characters.

    :return: None if the line has no score
    """
    line = _TERMINAL_COLOUR.sub("", line[:_LONGEST_LINE])
    start = _MARKING_START.match(line)
    inside = None if start else _MARKING_INSIDE.search(line)
    if start or inside:
        found = _parse_marking(line[inside.start() if inside else 0 :], prefixed=inside is not None)
        return found or UnreadableLine(marking=True)
    if _ABOUT_OTHERS.match(line):
        return None
    episode: int | None = None
    score: tuple[float, str] | None = None
    for words, number in _pairs(line):
        if episode is None and _names_episode(words):
            episode = _whole(number)
        elif score is None and _names_score(words):
            score = number, words[-1]
        if episode is not None and score is not None:
            return EpisodeLine(episode, *score, exact=_EXACT_EPISODE.match(line) is not None)
    evaluation = any(word in line.lower() for word in ("eval", "test", "mean", "avg", "average", "best", "last"))
    return UnreadableLine(marking=False) if _MENTIONS.search(line) and not evaluation else None


def _parse_marking(text: str, prefixed: bool) -> MarkingLine | None:
    episode: int | None = None
    score = mean = std = float("nan")
    found = set()
    for words, number in _pairs(text):
        if episode is None and _names_episode(words):
            episode = _whole(number)
        elif "score" not in found and _names_score(words):
            score = number
            found.add("score")
        elif "mean" not in found and _MEAN_WORDS & set(words):
            mean = number
            found.add("mean")
        elif "std" not in found and _STD_WORDS & set(words):
            std = number
            found.add("std")
    if episode is None or not {"score", "mean"} <= found:
        return None
    exact = not prefixed and _EXACT_MARKING.fullmatch(text) is not None
    return MarkingLine(episode, score, mean, std, exact=exact, prefixed=prefixed)


def _pairs(line: str) -> Iterator[tuple[list[str], float]]:
    for match in _PAIR.finditer(line):
        words = [word for word in re.split(r"[\s_.\-]+", match["key"].lower()) if word]
        if words:
            yield words, float(match["number"].replace(",", ""))


def _names_episode(words: list[str]) -> bool:
    if _NOT_ONE_EPISODE & set(words):
        return False
    return words[-1] in _EPISODE_WORDS or (words[-1] in _NUMBER_WORDS and bool(_EPISODE_WORDS & set(words)))


def _names_score(words: list[str]) -> bool:
    return (
        words[-1] in _SCORE_WORDS
        and not _NOT_ONE_EPISODE & set(words[-4:])
        and not any(word.isdigit() for word in words)
    )


def _whole(number: float) -> int | None:
    return int(number) if 0 <= number < _LARGEST_EPISODE and number == int(number) else None
