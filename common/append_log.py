"""A log file that is only appended to, and can be truncated to its length at a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from common.errors import UserError


class AppendLog:
    """A file that is written without a buffer and never overwritten.

    :param path: the file
    :param length: length in bytes to which an existing file is truncated. None for a new file, which must not exist
    :param first_lines: the header of a new file
    :raises UserError: when a new file exists already, or an existing one is shorter than ``length`` (status 1)
    """

    def __init__(self, path: Path, length: int | None = None, first_lines: str = "") -> None:
        self.path = path
        if length is None:
            self._file = self._open_new()
            self.write(first_lines)
        else:
            self._file = self._open_again(length)

    def _open_new(self) -> IO[bytes]:
        if self.path.exists():
            raise UserError(f"{self.path} exists and is never overwritten; move it or choose another name")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self.path.open("xb", buffering=0)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; choose another folder", status=1) from error

    def _open_again(self, length: int) -> IO[bytes]:
        try:
            found = self.path.stat().st_size
            if found < length:
                raise UserError(f"{self.path} has lost its end: {found} bytes, {length} were written", status=1)
            os.truncate(self.path, length)
            return self.path.open("ab", buffering=0)
        except OSError as error:
            raise UserError(f"cannot go on with {self.path}: {error.strerror}", status=1) from error

    def write(self, text: str) -> None:
        """Append text, which ends with a newline.

        :raises UserError: when the disk is full (status 1)
        """
        rest = memoryview(text.encode())
        try:
            while rest:  # on a full disk an unbuffered write may be partial without an error
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; make room and resume", status=1) from error

    def synced_length(self) -> int:
        """The length in bytes, after an fsync."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file. May be called again."""
        self._file.close()
