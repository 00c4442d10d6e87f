"""Run folders: the paths of a run's files, the lock, and ``settings.yml``."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml
from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from common.errors import UserError
from common.files import read_bounded, renamed_when_full, unwritable, write_atomic
from common.records import from_plain, parse_yaml

MOST_SETTINGS = 10_000_000  # bytes
PROGRAMS = {"rl": "run_gravitar.py", "gen_models": "run_pegasus.py"}
ADVERSARIAL = "dcgan"  # what the settings of a run of that model have in place of a denoiser
COLOURISER = "colouriser"  # and those of a network that colours pictures


class Checked(Protocol):
    """Settings with a validation."""

    def check(self) -> None:
        """:raises UserError: for a value out of range"""


Settings = TypeVar("Settings", bound=Checked)


class Locked(UserError):
    """Another process trains in the run folder."""


class Exists(UserError):
    """The run folder exists already."""

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
        """The resolved settings of the run."""
        return self.path / "settings.yml"

    @property
    def marking_log(self) -> Path:
        """The marking log of the 2020 assignment."""
        return self.path / "gravitar-log.txt"

    @property
    def interaction_log(self) -> Path:
        """The log of the homework on Pong."""
        return self.path / "pong-log.txt"

    @property
    def agent_log(self) -> Path:
        """The agent log of the 2021 assignment."""
        return self.path / "agent-log.txt"

    @property
    def monitor(self) -> Path:
        """Score, length and time of each game, in the format of Stable-Baselines3's ``Monitor``."""
        return self.path / "monitor.csv"

    @property
    def traces(self) -> Path:
        """Seed and actions of each game."""
        return self.path / "traces" / "episodes.jsonl"

    @property
    def predicted_q(self) -> Path:
        """Mean predicted value of held-out states."""
        return self.path / "predicted-q.csv"

    @property
    def goals(self) -> Path:
        """The goals that each game reached."""
        return self.path / "goals.csv"

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
        """The figure of the learning curve."""
        return self.path / "learning-curve.png"

    @classmethod
    def create(cls, path: Path, settings: str) -> RunFolder:
        """Create the folder with its ``settings.yml`` atomically.

        :raises Exists: when it exists, even if another process has just created it
        :raises UserError: when it cannot be written
        """
        if path.exists():
            raise Exists(path)
        try:
            with renamed_when_full(path) as temporary:
                write_atomic(temporary / "settings.yml", settings)
        except OSError as error:
            if path.exists():
                raise Exists(path) from error
            raise UserError(f"cannot make the run folder {path}: {error.strerror}; choose another --runs") from error
        return cls(path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run during its training. The lock ends with the process that holds it.

        Where the file system has no ``flock``, the existence of the file ``.lock`` is the lock. If its process has
        died, it is taken over on the same machine, if the file system can exchange files; else it is removed by hand.

        :raises Locked: when another process trains in this folder (status 1)
        :raises UserError: when the folder cannot be written, or its file system has no locks (status 1)
        """
        file = self.path / ".lock"
        lock: BaseFileLock = FileLock(file, blocking=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # raised where there is no flock
                lock.acquire()
        except Timeout as error:
            raise Locked(_lock_holder(file, soft=isinstance(lock, SoftFileLock)), status=1) from error
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


def _lock_holder(lock: Path, soft: bool) -> str:
    """A sentence about the process that holds the lock of a run folder."""
    try:
        number, *machine = lock.read_text().split()
    except (OSError, ValueError):  # it has just started or ended
        return f"another process trains in {lock.parent} already"
    if not soft:
        return f"process {number} trains in {lock.parent} already"
    where = f" on {machine[0].partition('?')[0]}" if machine else ""
    return f"process {number}{where} trains in {lock.parent} already; if it has died, remove {lock}"


def read_settings(path: Path) -> Any:
    """The content of ``settings.yml``.

    :raises UserError: when it is missing or not valid YAML
    """
    try:
        return parse_yaml(read_bounded(path, MOST_SETTINGS).decode())
    except OSError as error:
        raise UserError(f"{path.parent} is not a run folder: cannot read {path.name} ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML; restore it from a copy") from error


def load_settings(
    kind: type[Settings], path: Path, prepare: Callable[[Any], Any] = lambda content: content
) -> Settings:
    """Read and validate a run's settings.

    :param kind: a frozen dataclass for ``common.records``, with a method ``check``
    :param path: path of ``settings.yml``
    :param prepare: converts the content of the file for ``common.records``
    :raises UserError: when the file is missing or not valid
    """
    content = read_settings(path)
    program = _program_of(content)
    if program not in (None, kind.__module__.partition(".")[0]):
        raise UserError(f"{path.parent} is a run of {PROGRAMS[str(program)]}; give it to that program")
    try:
        settings = from_plain(kind, prepare(content))
        settings.check()
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError, UserError) as error:
        raise UserError(f"{path} does not hold a run's settings ({error}); restore it from a copy") from error
    return settings


def _program_of(content: Any) -> str | None:
    """The package of the program whose run's settings these are; None where they are of neither."""
    if not isinstance(content, dict):
        return None
    if {"denoiser", ADVERSARIAL, COLOURISER} & content.keys():
        return "gen_models"
    return "rl" if "environment" in content else None


def check_new(path: Path) -> None:
    """Check that a run folder can be made, before anything that takes time.

    :raises Exists: when it exists
    :raises UserError: when no folder can be made there
    """
    if path.exists():
        raise Exists(path)
    why = unwritable(path)
    if why:
        raise UserError(f"cannot make the run folder {path}: {why}; choose another --runs")


def check_name(name: str) -> str:
    """Validate a run's name, which becomes the name of a folder.

    :raises UserError: when it has characters other than letters, digits, dots, dashes and underscores
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--name '{name}': use letters, digits, dots, dashes and underscores")
    return name


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """The versions of the installed ones among some packages."""
    return {name: found for name in names if (found := _version(name)) is not None}


@cache
def _version(name: str) -> str | None:
    """The version of a package, which takes some milliseconds to find; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def warn_of_other_versions(began_with: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Print a warning for each package whose version is not that with which a run began."""
    for name, installed in package_versions(names).items():
        if began_with.get(name) not in (installed, None):
            print(f"warning: the run began with {name} {began_with[name]}, here is {installed}: it may differ")


def git_commit() -> str | None:
    """The commit of the code, with ``+changes`` if files differ from it; None outside a repository."""
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
