"""A run folder is made once, by one process, and one process at a time trains in it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import write_atomic
from common.run_folder import Exists, Locked, RunFolder


def test_a_folder_that_is_there_is_refused_and_stays(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", "first: 1\n")
    with pytest.raises(Exists, match="never overwritten"):
        RunFolder.create(tmp_path / "run", "second: 1\n")
    assert (tmp_path / "run" / "settings.yml").read_text() == "first: 1\n"


def test_a_folder_that_another_process_makes_meanwhile_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def write_late(path: Path, content: str) -> None:
        write_atomic(path, content)
        monkeypatch.setattr("common.run_folder.write_atomic", write_atomic)
        RunFolder.create(tmp_path / "run", "first: 1\n")

    monkeypatch.setattr("common.run_folder.write_atomic", write_late)
    with pytest.raises(Exists):
        RunFolder.create(tmp_path / "run", "second: 1\n")
    assert (tmp_path / "run" / "settings.yml").read_text() == "first: 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_one_process_at_a_time_trains(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for _ in range(2):  # the lock is free again when it was let go
        with folder.lock(), pytest.raises(Locked) as refused, RunFolder(tmp_path).lock():
            pass
        assert (str(refused.value), refused.value.status) == (f"process {os.getpid()} trains in {tmp_path} already", 1)


# Locks the folder named and has a child that outlives it. The child, which is under way then, says its number.
DYING = """
import os, sys, time
from pathlib import Path
from common.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_process_that_died_is_gone_though_its_child_lives(tmp_path: Path) -> None:
    died = subprocess.Popen([sys.executable, "-c", DYING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert died.stdout is not None
    child = int(died.stdout.readline())
    died.kill()
    died.wait()
    try:
        assert (tmp_path / ".lock").read_text() == f"{died.pid}\n"
        with RunFolder(tmp_path).lock():
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
        os.kill(child, 0)  # it is still there
    finally:
        os.kill(child, 9)
        died.stdout.close()


def without_flock(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_file_system_that_does_not_know_flock_has_a_lock_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, errno.ENOSYS)
    folder = RunFolder(tmp_path)
    for _ in range(2):
        with folder.lock(), pytest.raises(Locked) as refused, RunFolder(tmp_path).lock():
            pass
        message = rf"process {os.getpid()} on \S+ trains in \S+ already; if it has died, remove \S+/\.lock"
        assert re.fullmatch(message, str(refused.value))
        assert not list(tmp_path.iterdir())
    (tmp_path / ".lock").write_text("4711\n")  # as flock's lock leaves it
    with pytest.raises(Locked, match=r"process 4711 trains in \S+ already; if it has died, remove \S+"), folder.lock():
        pass
    (tmp_path / ".lock").unlink()
    with folder.lock():
        pass


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_that_refuses_flock_is_told_in_one_line(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, code)
    with pytest.raises(UserError) as refused, RunFolder(tmp_path).lock():
        pass
    assert refused.value.status == 1
    assert str(refused.value) == (
        f"cannot lock {tmp_path}: {os.strerror(code)}; it must be writable, on a file system that has locks"
    )
