"""Atomic checkpoints.

A checkpoint is a folder. It is written under a temporary name, every file is fsynced, a manifest with the SHA-256 of
each file comes last, and a rename puts it in place. A damaged checkpoint does not match its manifest.

Large parts that seldom change are in a folder beside the checkpoints, ``shared``, under names that contain a version.
Each is written once and belongs to every checkpoint whose manifest names it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from common.errors import UserError
from common.files import hidden_name, read_bounded, renamed_when_full

MANIFEST = "manifest.json"
SHARED = "shared"
MOST_MANIFEST, MOST_FILE = 10_000_000, 2**36  # bytes


class CheckpointClock:
    """Measures the time since the last checkpoint.

    :param minutes: time after which another is due; 0 for never
    """

    def __init__(self, minutes: float) -> None:
        self._seconds = 60 * minutes
        self.restart()

    def restart(self) -> None:
        """Start again, after a checkpoint."""
        self._began = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the next checkpoint is due."""
        return self._seconds > 0 and time.monotonic() - self._began >= self._seconds


def write_checkpoint(
    folder: Path, name: str, files: Mapping[str, bytes], shared: Mapping[str, Callable[[], bytes]] | None = None
) -> Path:
    """Write a checkpoint; replaces one of the same name.

    :param folder: folder of all checkpoints
    :param name: the checkpoint's name, such as ``step-000100000``
    :param files: content by file name
    :param shared: functions that return the content of shared parts, by names that change with the content; not called
        for parts that an earlier checkpoint has
    :return: the checkpoint's folder
    :raises UserError: when the disk is full or the folder cannot be written (status 1); earlier checkpoints stay
    """
    final = folder / name
    try:
        with renamed_when_full(final) as temporary:
            manifest = _write_shared(folder, shared or {})
            for file_name, content in files.items():
                manifest[file_name] = hashlib.sha256(content).hexdigest()
                _write_synced(temporary / file_name, content)
            _write_synced(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())
            _sync_folder(temporary)
            if final.exists():  # a damaged one, or one that a resumed run writes again
                final.rename(hidden_name(final))
        _sync_folder(folder)
    except OSError as error:
        raise UserError(f"cannot write the checkpoint {final}: {error.strerror}", status=1) from error
    return final


def damage(checkpoint: Path) -> str | None:
    """The first difference between a checkpoint's files and its manifest, or None when it is intact."""
    try:
        manifest = json.loads(read_bounded(checkpoint / MANIFEST, MOST_MANIFEST))
        for name, digest in manifest.items():
            if hashlib.sha256(read_bounded(checkpoint / name, MOST_FILE)).hexdigest() != digest:
                return f"{name} is not what was written"
    except RecursionError:
        return f"{MANIFEST} is nested too deeply"
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return None


def list_checkpoints(folder: Path, prefix: str = "step-") -> list[Path]:
    """The checkpoints whose names begin with a prefix, sorted by name."""
    return sorted(path for path in folder.glob(f"{prefix}*") if path.is_dir())


def steps_of(checkpoint: Path) -> int:
    """The steps, or images, after which a checkpoint was written, which end its name."""
    return int(checkpoint.name.rpartition("-")[2])


def check_budget(folder: Path, flag: str, budget: int | None, before: int) -> None:
    """Refuse a new budget that a run has already passed; None, where none was given, passes.

    :param folder: folder of the run's checkpoints, whose names end with the steps or images that were made
    :param flag: of the budget, for the message
    :param before: the run's own budget, which its last update or round may have passed
    :raises UserError: when the latest checkpoint is beyond the budget
    """
    checkpoints = list_checkpoints(folder)
    numbers = [path.name.rpartition("-")[2] for path in checkpoints]
    made = max((int(number) for number in numbers if number.isdecimal()), default=0)
    if budget is not None and budget != before and budget < made:
        raise UserError(f"{flag} {budget}: {folder.parent} has made {made} already; give more, or leave it out")


def choose_checkpoint(folder: Path, name: str | None) -> Path:
    """The named checkpoint of a run, or the latest intact one.

    :param folder: folder of the run's checkpoints
    :param name: ``best``, the name of a folder such as ``step-000100000``, or None for the latest
    :raises UserError: when there is none, or it is damaged (status 1)
    """
    if name is not None:
        best = list_checkpoints(folder, "best-")
        path = best[-1] if name == "best" and best else folder / name
        if not path.is_dir():
            known = [checkpoint.name for checkpoint in sorted(folder.glob("[!.]*"))]
            raise UserError(f"{folder.parent} has no checkpoint '{name}' (it has: {', '.join(known) or 'none'})")
        broken = damage(path)
        if broken:
            raise UserError(f"the checkpoint {path} is damaged ({broken}); choose another with --checkpoint", status=1)
        return path
    latest = latest_checkpoint(folder)
    if latest is None and not folder.parent.exists():
        raise UserError(f"there is no run folder {folder.parent}")
    if latest is None:
        raise UserError(f"{folder.parent} has no checkpoint yet; train it first")
    return latest


def latest_checkpoint(folder: Path) -> Path | None:
    """The latest intact checkpoint, with a warning for each damaged one after it; None when there is no checkpoint.

    :raises UserError: when all are damaged (status 1)
    """
    checkpoints = list_checkpoints(folder)
    for path in reversed(checkpoints):
        broken = damage(path)
        if broken is None:
            return path
        print(f"warning: the checkpoint {path} is damaged ({broken}); using the one before it", file=sys.stderr)
    if checkpoints:
        raise UserError(f"every checkpoint of {folder.parent} is damaged; train again under another --name", status=1)
    return None


def _write_shared(folder: Path, shared: Mapping[str, Callable[[], bytes]]) -> dict[str, str]:
    """Write the new shared parts; returns the digests of all of them, by their names in a manifest."""
    known = _shared_digests(folder)
    digests = {}
    for name, make in shared.items():
        key = f"../{SHARED}/{name}"
        if key not in known:
            content = make()
            (folder / SHARED).mkdir(exist_ok=True)
            temporary = hidden_name(folder / SHARED / name)
            try:
                _write_synced(temporary, content)
                temporary.rename(folder / SHARED / name)
            finally:
                temporary.unlink(missing_ok=True)
            known[key] = hashlib.sha256(content).hexdigest()
        digests[key] = known[key]
    if shared:
        _sync_folder(folder / SHARED)
    return digests


def _shared_digests(folder: Path) -> dict[str, str]:
    """The digests of shared parts in the manifests of all checkpoints."""
    digests: dict[str, str] = {}
    for manifest in folder.glob(f"[!.]*/{MANIFEST}"):
        try:
            content = json.loads(manifest.read_text())
        except (OSError, ValueError, RecursionError):
            continue  # damaged
        if not isinstance(content, dict):
            continue
        digests |= {name: digest for name, digest in content.items() if name.startswith(f"../{SHARED}/")}
    return digests


def prune(folder: Path, keep: int, prefix: str = "step-") -> None:
    """Remove all but the last ``keep`` checkpoints, unused shared parts, and temporary files of killed processes."""
    checkpoints = list_checkpoints(folder, prefix)
    for path in checkpoints[: max(0, len(checkpoints) - keep)]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*-????????"):
        shutil.rmtree(path, ignore_errors=True)
    used = {Path(name).name for name in _shared_digests(folder)}
    for path in (folder / SHARED).glob("*"):
        if path.name not in used:
            path.unlink(missing_ok=True)


def discard_after(checkpoint: Path) -> None:
    """Remove the checkpoints of later steps, and the shared parts that are unused then.

    A run that resumes from this checkpoint writes them again, and must not reuse shared parts of damaged ones.
    """
    folder, steps = checkpoint.parent, checkpoint.name.rpartition("-")[2]
    for path in folder.glob("[!.]*-*"):
        if path.is_dir() and path.name.rpartition("-")[2] > steps:
            shutil.rmtree(path, ignore_errors=True)
    prune(folder, len(list_checkpoints(folder)))


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
