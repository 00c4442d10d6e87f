"""Log files as text: decoding, line ends, and counts of irregular lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError

_BINARY_SHARE = 0.1  # of characters that are not UTF-8; text in other encodings has fewer
_SHOWN = 60  # characters of a line in a warning
WINDOWS_LINE_ENDS = "Windows line ends (CRLF)"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def read_text(path: Path) -> tuple[str, list[str]]:
    """A log file's text, and warnings about irregularities.

    :raises UserError: when the file cannot be read, is empty or is binary (status 2)
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not data.strip():
        raise UserError(f"{path} is empty; nothing has been logged in it")
    warnings: list[str] = []
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        # PowerShell's `>` writes UTF-16.
        text = data.decode("utf-16", errors="replace")
        warnings.append("the file is UTF-16, not plain text")
    else:
        text = data.decode("utf-8-sig", errors="replace")
    strange = text.count(_REPLACEMENT)
    if "\0" in text or strange > _BINARY_SHARE * len(text):
        raise UserError(f"{path} is a binary file, not a log; give a run folder, a marking log or a monitor.csv")
    if strange:
        warnings.append(f"{strange} characters are not UTF-8")
    if "\r\n" in text:
        warnings.append(WINDOWS_LINE_ENDS)
    if not text.endswith(("\n", "\r")):
        warnings.append("no newline at the end: the last line may be cut")
    return text, warnings


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1.

    A carriage return alone, as of a progress bar, separates lines as well; these have the same number.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        for part in line.split("\r"):
            if part.strip():
                yield number, part


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
            shown = "".join(sign if sign.isprintable() else "?" for sign in line.strip()[:_SHOWN])
            self.first = f" (first at line {number}: {shown!r})"

    def warnings(self) -> list[str]:
        """The warning as a list, empty if there was no such line."""
        return [f"{self.times} {self.what}{self.first}"] if self.times else []
