"""The repository as a tree of files and modules, for tests of it as a whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tracked_files() -> list[Path]:
    """Files under version control that are there, absolute; skips the test outside a git checkout."""
    # A container often runs as another user than the checkout's owner; git then refuses without this.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def python_files() -> list[Path]:
    """Those of them that are Python's."""
    return [path for path in tracked_files() if path.suffix == ".py"]


def module_files() -> dict[str, Path]:
    """The full name of each module and package, and its file: ``rl.envs`` is ``rl/envs/__init__.py``."""
    parts = {path: path.relative_to(ROOT).with_suffix("").parts for path in python_files()}
    return {".".join(names[:-1] if names[-1] == "__init__" else names): path for path, names in parts.items()}
