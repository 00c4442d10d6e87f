"""What a check finds: faults, warnings and notes, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from common.scores.log_text import printable

Level = Literal["fault", "warning", "note"]
LEVELS: tuple[Level, ...] = ("fault", "warning", "note")
MOST_CHARACTERS = 300  # of a message that has names from a submission in it


@dataclass(frozen=True)
class Finding:
    """Something that a marker would want to know.

    :param level: ``fault``: against the rules, or unreadable; ``warning``: probably not meant so; ``note``: harmless
    :param where: the file, or what it is about
    :param message: one sentence
    """

    level: Level
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {printable(self.where, 120)}: {printable(self.message, MOST_CHARACTERS)}"

    def as_json(self) -> dict[str, Any]:
        """Level, place and message."""
        return {"level": self.level, "where": self.where, "message": self.message}


class Findings(list[Finding]):
    """Findings in the order in which they were made."""

    def fault(self, where: str, message: str) -> None:
        """Add a fault."""
        self.append(Finding("fault", where, message))

    def warning(self, where: str, message: str) -> None:
        """Add a warning."""
        self.append(Finding("warning", where, message))

    def note(self, where: str, message: str) -> None:
        """Add a note."""
        self.append(Finding("note", where, message))

    def of(self, level: Level) -> list[Finding]:
        """Those of one level."""
        return [finding for finding in self if finding.level == level]


def counted(findings: Iterable[Finding]) -> str:
    """``1 fault, 2 warnings, 0 notes``."""
    levels = [finding.level for finding in findings]
    counts = [(levels.count(level), level) for level in LEVELS]
    return ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for count, level in counts)
