"""Forks that stand in for processes of their own: what a test sees of them is what it would see of ``subprocess``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.forked_runs import forked_python

PROGRAM = """\
import json, os, subprocess, sys, time
seen = [sys.argv, os.getcwd(), os.environ.get("SAID"), sys.stdin.read(), "torch" in sys.modules, os.getpid()]
print(json.dumps(seen))
print("error", file=sys.stderr)
if sys.argv[1] == "wait":
    time.sleep(600)
if sys.argv[1] == "nested":
    subprocess.run([sys.executable, __file__, "inner"], input="", text=True, check=False)
sys.exit("a word" if sys.argv[1] == "words" else 7)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_arguments_folder_variables_input_output_and_status(program: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [forked_python(), "-u", "program.py", "a b", "é"], cwd=tmp_path, env={**os.environ, "SAID": "x\ny"},
        input="in", capture_output=True, text=True, check=False,
    )  # fmt: skip
    *seen, _ = json.loads(done.stdout)
    assert seen == [["program.py", "a b", "é"], str(tmp_path), "x\ny", "in", True]
    assert (done.returncode, done.stderr) == (7, "error\n")
    done = subprocess.run([forked_python(), str(program), "words"], input="", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error\na word\n")


def test_programs_that_a_fork_starts_are_forks(program: Path) -> None:
    done = subprocess.run([forked_python(), str(program), "nested"], input="", capture_output=True, text=True)
    inner, outer = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda seen: len(seen[0][1]))
    assert inner[0][1] == "inner" and inner[4] and outer[4]


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_fork_and_its_stand_in(program: Path, number: int) -> None:
    with subprocess.Popen(
        [forked_python(), "-u", str(program), "wait"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as stand_in:
        assert stand_in.stdout is not None
        process = json.loads(stand_in.stdout.readline())[-1]
        assert process != stand_in.pid and is_there(process)
        stand_in.send_signal(number)
        assert stand_in.wait(60) == -number
    deadline = time.monotonic() + 60
    while is_there(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)
