"""Records of a score log from a stream: scores with their place in the file, and what was skipped and why.

    with open("gravitar-log.txt", "rb") as stream:
        for record in LogRecords(stream, "gravitar-log.txt"):
            print(record)

Both editions' logs and other spellings are read by the one parser of ``common.scores.log_lines``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from common.scores.log_lines import EpisodeLine, MarkingLine, UnreadableLine, parse_line
from common.scores.log_text import TextLine, TextLines

LARGEST = 1e15  # points; sums of squares of larger scores are not finite
Reason = Literal["no score", "unreadable score", "unreadable marking line", "score not finite", "too many records"]


@dataclass(frozen=True)
class Record:
    """A line with an episode and its score, which is finite."""

    line: TextLine
    content: EpisodeLine | MarkingLine


@dataclass(frozen=True)
class Skipped:
    """A line that gives no record."""

    line: TextLine
    reason: Reason


class LogRecords:
    """The records of a log, and the lines that were skipped, in their order; afterwards warnings about its text.

    :param stream: the file's bytes, read once
    :param name: the file, for messages
    :param most_bytes: where to stop reading; None for the whole file
    :param most_records: number of records after which to stop; None for all
    """

    def __init__(
        self, stream: BinaryIO, name: Path | str, most_bytes: int | None = None, most_records: int | None = None
    ) -> None:
        self.text = TextLines(stream, name, most_bytes)
        self._most_records = most_records

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Records and skipped lines.

        :raises UserError: when the file cannot be read, is empty or is binary (status 2), which for a binary file may
            show after some records; never anything else, whatever the bytes
        """
        count = 0
        for line in self.text:
            if self._most_records is not None and count == self._most_records:
                self.text.stopped = True
                yield Skipped(line, "too many records")
                return
            found = record_of(line)
            count += isinstance(found, Record)
            yield found

    @property
    def warnings(self) -> list[str]:
        """What is irregular in the text that has been read, one sentence each."""
        return self.text.warnings


def record_of(line: TextLine) -> Record | Skipped:
    """What one line says."""
    content = parse_line(line.text)
    if content is None:
        return Skipped(line, "no score")
    if isinstance(content, UnreadableLine):
        return Skipped(line, "unreadable marking line" if content.marking else "unreadable score")
    numbers = (content.score, content.mean) if isinstance(content, MarkingLine) else (content.score,)
    finite = all(abs(number) <= LARGEST for number in numbers)  # False for NaN, too
    return Record(line, content) if finite else Skipped(line, "score not finite")
