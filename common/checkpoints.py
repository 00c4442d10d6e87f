"""Checkpoints that are either whole or absent.

A checkpoint is a folder. It is written under a temporary name, every file is fsynced, a manifest with the SHA-256 of
each file comes last, and one rename puts it in place. A damaged one is noticed by its manifest.

Credits: none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError

MANIFEST = "manifest.json"


def write_checkpoint(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write a checkpoint, replacing one of the same name.

    :param folder: folder of all checkpoints
    :param name: the checkpoint's name, such as ``step-000100000``
    :param files: content by file name
    :return: the checkpoint's folder
    :raises UserError: when the disk is full or the folder cannot be written (status 1); what was there stays
    """
    temporary = folder / f".{name}-{uuid.uuid4().hex[:8]}"
    final = folder / name
    try:
        temporary.mkdir(parents=True)
        manifest = {}
        for file_name, content in files.items():
            manifest[file_name] = hashlib.sha256(content).hexdigest()
            _write_synced(temporary / file_name, content)
        _write_synced(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
        _sync_folder(temporary)
        if final.exists():  # a damaged one, or one that a resumed run writes again
            final.rename(folder / f".{name}-{uuid.uuid4().hex[:8]}")
        temporary.rename(final)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"cannot write the checkpoint {final}: {error.strerror}", status=1) from error
    return final


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None when every file is what its manifest says."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        for name, digest in manifest.items():
            if hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() != digest:
                return f"{name} is not what was written"
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return None


def list_checkpoints(folder: Path, prefix: str = "step-") -> list[Path]:
    """The checkpoints whose names begin with a prefix, in the order of their names."""
    return sorted(path for path in folder.glob(f"{prefix}*") if path.is_dir())


def prune(folder: Path, keep: int, prefix: str = "step-") -> None:
    """Remove all but the last ``keep`` checkpoints, and what a killed process left half-written."""
    checkpoints = list_checkpoints(folder, prefix)
    for path in checkpoints[: max(0, len(checkpoints) - keep)]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*-????????"):
        shutil.rmtree(path, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
