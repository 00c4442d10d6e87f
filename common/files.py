"""Files that are either whole or absent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from common.errors import UserError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, a crash or a full disk never leaves half of it.

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
