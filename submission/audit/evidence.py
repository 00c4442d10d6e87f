"""Evidence about a log: what was seen, how it looks in an untouched log, and what else may explain it.

The result is never a verdict. Each piece of evidence has the chance that an untouched log shows something as odd; the
chances of several tests are combined by Bonferroni's bound, and a log is named for a second look below ``ODD``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ODD = 0.01  # combined chance at and below which a log is named


@dataclass(frozen=True)
class Evidence:
    """What one test saw.

    :param test: its name
    :param words: a sentence with numbers and episodes
    :param chance: that an untouched log looks so odd in this test, 0 to 1; 1 for a mere note
    :param otherwise: what else than an altered log explains it
    :param episodes: where to look
    """

    test: str
    words: str
    chance: float = 1.0
    otherwise: str = ""
    episodes: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return {**vars(self), "episodes": list(self.episodes)}


@dataclass
class Audit:
    """All evidence about one log.

    :param name: of the log
    :param tests: names of the tests that could be made with it
    """

    name: str
    tests: list[str] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def add(self, test: str, found: Sequence[Evidence]) -> None:
        """Note that a test was made, and what it saw."""
        self.tests.append(test)
        self.evidence += found

    @property
    def chance(self) -> float:
        """A bound on the chance that an untouched log looks so odd in any of the tests, 0 to 1."""
        least = min((one.chance for one in self.evidence), default=1.0)
        return min(1.0, least * max(1, len(self.tests)))

    @property
    def odd(self) -> bool:
        """Whether the log deserves a second look."""
        return self.chance <= ODD

    @property
    def likelihood(self) -> str:
        """The result in words."""
        if not self.odd:
            return "nothing that an untouched log would not show"
        count = f"{1 / max(self.chance, 1e-9):,.0f}"
        return f"worth a second look: fewer than one in {count} untouched logs would look so odd in these tests"

    def as_json(self) -> dict[str, Any]:
        """The result and its reasons."""
        return {
            "log": self.name,
            "second look": self.odd,
            "chance": self.chance,
            "tests": self.tests,
            "evidence": [one.as_json() for one in sorted(self.evidence, key=lambda one: one.chance)],
        }
