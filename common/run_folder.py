"""A run folder: where everything that a run leaves behind lies."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from common.errors import UserError
from common.files import write_atomic


class Locked(UserError):
    """Another process trains in the run folder."""


class Exists(UserError):
    """A run folder of this name is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the run folder {path} exists and is never overwritten; go on with: resume {path}, "
            "or choose another --name"
        )


@dataclass(frozen=True)
class RunFolder:
    """The files and folders of a run, see README.md."""

    path: Path

    @property
    def settings(self) -> Path:
        """Everything that decides the run."""
        return self.path / "settings.yml"

    @property
    def marking_log(self) -> Path:
        """The marking log of the 2020 assignment."""
        return self.path / "gravitar-log.txt"

    @property
    def monitor(self) -> Path:
        """Score, length and time of each game, in the format of Stable-Baselines3's ``Monitor``."""
        return self.path / "monitor.csv"

    @property
    def traces(self) -> Path:
        """Seed and actions of each game."""
        return self.path / "traces" / "episodes.jsonl"

    @property
    def videos(self) -> Path:
        """Videos of games."""
        return self.path / "videos"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints, one folder each."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def learning_curve(self) -> Path:
        """The learning curve as a picture."""
        return self.path / "learning-curve.png"

    @classmethod
    def create(cls, path: Path, settings: str) -> RunFolder:
        """Make the folder with its ``settings.yml``, both or neither.

        :raises Exists: when it exists, also when another process has just made it
        :raises UserError: when it cannot be written
        """
        if path.exists():
            raise Exists(path)
        temporary = path.parent / f".{path.name}-{uuid.uuid4().hex[:8]}"
        try:
            temporary.mkdir(parents=True)
            write_atomic(temporary / "settings.yml", settings)
            temporary.rename(path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if path.exists():
                raise Exists(path) from error
            raise UserError(f"cannot make the run folder {path}: {error.strerror}; choose another --runs") from error
        return cls(path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out of the run while it trains. The lock of a process that died is gone with it.

        Where the file system has no ``flock``, that the file ``.lock`` exists is the lock. That of a process that died
        is then taken over on the same machine, if the file system can exchange files; else it is removed by hand.

        :raises Locked: when another process trains in this folder (status 1)
        :raises UserError: when the folder cannot be written, or its file system has no locks (status 1)
        """
        file = self.path / ".lock"
        lock: BaseFileLock = FileLock(file, blocking=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that there is no flock
                lock.acquire()
        except Timeout as error:
            raise Locked(_who_trains(file, soft=isinstance(lock, SoftFileLock)), status=1) from error
        except OSError as error:
            message = f"cannot lock {self.path}: {error.strerror}; it must be writable, on a file system that has locks"
            raise UserError(message, status=1) from error
        try:
            if not isinstance(lock, SoftFileLock):  # which writes the process's number itself, and its machine
                with contextlib.suppress(OSError):  # SMB lets nobody write into a locked file
                    file.write_text(f"{os.getpid()}\n")
            yield
        finally:
            lock.release()


def _who_trains(lock: Path, soft: bool) -> str:
    """Which process holds the lock of a run folder, for people."""
    try:
        number, *machine = lock.read_text().split()
    except (OSError, ValueError):  # it has just ended, or begun
        return f"another process trains in {lock.parent} already"
    if not soft:
        return f"process {number} trains in {lock.parent} already"
    where = f" on {machine[0].partition('?')[0]}" if machine else ""
    return f"process {number}{where} trains in {lock.parent} already; if it has died, remove {lock}"


def read_settings(path: Path) -> Any:
    """What ``settings.yml`` holds.

    :raises UserError: when it is absent or not YAML
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path.parent} is not a run folder: cannot read {path.name} ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML; restore it from a copy") from error


def check_name(name: str) -> str:
    """A run's name, which becomes a folder's.

    :raises UserError: when it has other than letters, digits, dots, dashes and underscores
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--name '{name}': use letters, digits, dots, dashes and underscores")
    return name


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of packages; those that are absent are left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """The commit that the code is at, with ``+changes`` when files differ from it; None outside a repository."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changes else "")
