"""Log files as text, read as a stream: decoding, line ends, byte offsets, and counts of irregular lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.errors import UserError

LONGEST_LINE = 8000  # bytes; the rest of a line is not read
NO_LINE_END = "no newline at the end: the last line may be cut"
WINDOWS_LINE_ENDS = "Windows line ends (CRLF)"
_BINARY_SHARE = 0.1  # of characters that are not UTF-8; text in other encodings has fewer
_SHOWN = 60  # characters of a line in a warning
_CHUNK = 1 << 16  # bytes, an even number
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# PowerShell's `>` writes UTF-16.
_MARKS = {b"\xff\xfe": ("utf-16-le", "<u2"), b"\xfe\xff": ("utf-16-be", ">u2"), b"\xef\xbb\xbf": ("utf-8", "u1")}
_LF, _CR = 10, 13


@dataclass(frozen=True)
class TextLine:
    """A line that is not blank.

    A carriage return alone, as of a progress bar, separates lines as well; these have the same number.

    :param number: from 1
    :param start: offset of its first byte in the file
    :param end: offset after its last byte, without the line end
    :param text: at most ``LONGEST_LINE`` bytes of it, decoded
    :param ended: whether a line end follows; False for a last line, which may be cut
    """

    number: int
    start: int
    end: int
    text: str
    ended: bool = True


class TextLines:
    """The lines of a log that are not blank, and afterwards warnings about irregularities.

    The memory that it needs depends neither on the file's size nor on the length of its lines.

        lines = TextLines(stream, "gravitar-log.txt")
        for line in lines:
            ...
        print(lines.warnings)

    :param stream: the file's bytes, read once
    :param name: the file, for messages
    :param most_bytes: where to stop reading; None for the whole file
    """

    def __init__(self, stream: BinaryIO, name: Path | str, most_bytes: int | None = None) -> None:
        self.name = name
        self.encoding = "utf-8"
        self.stopped = False  # whether there was more than most_bytes
        self._stream = stream
        self._left = most_bytes
        self._dtype = "u1"
        self._windows = self._ended = False
        self._characters = self._strange = 0

    def __iter__(self) -> Iterator[TextLine]:
        """The lines, in their order.

        :raises UserError: when the file cannot be read, is empty or is binary (status 2)
        """
        blank = True
        for line in self._lines():
            self._characters += len(line.text) + 1
            self._strange += line.text.count(_REPLACEMENT)
            if line.text.strip():
                blank = False
                yield line
        if blank:
            raise UserError(f"{self.name} is empty; nothing has been logged in it")
        if self._strange > _BINARY_SHARE * self._characters:
            raise self._binary()

    @property
    def warnings(self) -> list[str]:
        """What is irregular in the text that has been read, one sentence each."""
        kinds = {
            "the file is UTF-16, not plain text": self.encoding != "utf-8",
            f"{self._strange} characters are not UTF-8": self._strange > 0,
            WINDOWS_LINE_ENDS: self._windows,
            NO_LINE_END: not self._ended and not self.stopped,
            "the file is longer than what is read of it": self.stopped,
        }
        return [text for text, applies in kinds.items() if applies]

    def _lines(self) -> Iterator[TextLine]:
        """All lines that have a character, blank ones too."""
        number, start, position = 1, 0, 0
        line = bytearray()
        before = 0  # the last unit of the chunk before
        for chunk in self._chunks():
            if position == 0:
                chunk, start = self._begin(chunk)
                position = start
            width = np.dtype(self._dtype).itemsize
            units = np.frombuffer(chunk[: len(chunk) - len(chunk) % width], self._dtype)
            if (units == 0).any():
                raise self._binary()
            done = 0
            for index in np.flatnonzero((units == _LF) | (units == _CR)).tolist():
                line += chunk[done * width : index * width][: LONGEST_LINE - len(line)]
                end = position + index * width
                if end > start:
                    yield TextLine(number, start, end, bytes(line).decode(self.encoding, "replace"))
                line.clear()
                if units[index] == _LF:
                    number += 1
                    self._windows |= bool((units[index - 1] if index else before) == _CR)
                done = index + 1
                start = end + width
            line += chunk[done * width :][: LONGEST_LINE - len(line)]
            position += len(chunk)
            if units.size:
                before = int(units[-1])
        self._ended = before in (_LF, _CR)
        if position > start:
            yield TextLine(number, start, position, bytes(line).decode(self.encoding, "replace"), ended=False)

    def _begin(self, chunk: bytes) -> tuple[bytes, int]:
        """The first chunk without a byte order mark, and the mark's length in bytes."""
        for mark, (encoding, dtype) in _MARKS.items():
            if chunk.startswith(mark):
                self.encoding, self._dtype = encoding, dtype
                return chunk[len(mark) :], len(mark)
        return chunk, 0

    def _chunks(self) -> Iterator[bytes]:
        """The file's bytes, an even number at a time until its end."""
        chunk = b""
        while True:
            wanted = _CHUNK - len(chunk)
            try:
                read = self._stream.read(wanted if self._left is None else min(wanted, self._left + 1))
            except OSError as error:
                raise UserError(f"cannot read {self.name}: {error.strerror or error}") from error
            if self._left is not None:
                self.stopped = len(read) > self._left
                read = read[: self._left]
                self._left -= len(read)
            chunk += read
            over = not read or self.stopped
            if chunk and (over or len(chunk) == _CHUNK):
                yield chunk
                chunk = b""
            if over:
                return

    def _binary(self) -> UserError:
        return UserError(f"{self.name} is a binary file, not a log; give a run folder, a marking log or a monitor.csv")


@dataclass
class Tally:
    """A count of lines with one kind of irregularity, and the first of them.

    :param what: the kind, for the warning
    """

    what: str
    times: int = 0
    first: str = ""

    def add(self, number: int, line: str) -> None:
        """Count a line."""
        self.times += 1
        if self.times == 1:
            self.first = f" (first at line {number}: {printable(line.strip())!r})"

    def warnings(self) -> list[str]:
        """The warning as a list, empty if there was no such line."""
        return [f"{self.times} {self.what}{self.first}"] if self.times else []


def printable(text: str, most: int = _SHOWN) -> str:
    """The beginning of a text, with a question mark for each character that a terminal would obey or not show."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:most])
