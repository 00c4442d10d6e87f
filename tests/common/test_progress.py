"""Progress as a bar on a terminal, and in lines elsewhere.

Credits: Python's pty for a terminal.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORK = """
from common.progress import ProgressLine
line = ProgressLine(200, 100, lambda elapsed: "half of it" if elapsed > 0 else "never", seconds=0)
line.update(150)
line.close()
line.close()
"""


def test_lines_where_there_is_no_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == "half of it | 0.0 min, 0.0 min left\n"


def test_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    try:
        subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, stderr=theirs, env=environment, check=True)
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert "half of it" in shown and "75%" in shown


@pytest.mark.parametrize(("done", "left"), [(150, 10.0), (175, 10.0 / 3)])
def test_the_time_left_goes_by_what_this_process_did(
    done: int, left: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from common import progress

    now = 1_000.0
    monkeypatch.setattr("common.progress.time.monotonic", lambda: now)
    line = progress.ProgressLine(200, 100, lambda elapsed: f"{elapsed:.0f} s", seconds=30)
    now = 1_000.0 + 600
    line.update(done)
    assert capsys.readouterr().err == f"600 s | 10.0 min, {left:.1f} min left\n"
