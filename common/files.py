"""Atomic writing of files and folders, and bounded reading of files from elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never incomplete: for readers, after a crash, or on a full disk.

    The content goes to a temporary file in the same folder, is fsynced and renamed into place.

    :raises UserError: when the folder cannot be written (status 1)
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder", status=1) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}", status=1) from error


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file, for files from elsewhere: a device or a pipe may never end.

    :param most: bytes
    :raises OSError: when it cannot be read, is not a regular file or is larger; ``strerror`` says it
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would block
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it has {found.st_size / 1e6:,.0f} MB, more than {most / 1e6:,.0f}", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def unwritable(path: Path) -> str | None:
    """Why nothing can be made at a path where nothing is yet, None where it can: found by trying, since the rights of
    an administrator say yes everywhere."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        return f"{above} is a file"
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".", dir=above))
    except OSError as error:
        return f"{above} cannot be written ({error.strerror})"
    return None


def hidden_name(path: Path) -> Path:
    """A new hidden name beside a path, such as ``.step-10-3f2a90bc``."""
    return path.parent / f".{path.name}-{uuid.uuid4().hex[:8]}"


@contextlib.contextmanager
def renamed_when_full(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when it is full; nothing is left of it after an error, nor of the folder
    above if that was made for it.

    :raises OSError: when it cannot be made or renamed, as where a folder of its name is not empty
    """
    temporary = hidden_name(folder)
    alone = not folder.parent.exists()
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if alone:
            with contextlib.suppress(OSError):
                folder.parent.rmdir()  # only if it is empty


def check_new_output(output: Path) -> None:
    """:raises UserError: when what a command is to write exists"""
    if output.exists():
        raise UserError(f"{output} exists and is never overwritten; remove it or choose another folder")


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """``renamed_when_full`` for what a user has asked for.

    :raises UserError: when the folder cannot be written (status 1)
    """
    try:
        with renamed_when_full(folder) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}", status=1) from error
