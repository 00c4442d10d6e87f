"""``play`` and ``watch`` in a real window (Xvfb, keys by xdotool) and in a real terminal (a pty)."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.traces import read_episodes
from rl.commands.play import play, pressed
from rl.commands.walker import train_walker
from rl.commands.walker_options import WalkerTrainSettings
from rl.options import PlaySettings
from rl.traces.screens import reduced
from rl.traces.verification import verify
from tests.forked_runs import ROOT, forked_python

AGENT = ROOT / "results/gravitar/ppo-ram"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display of its own, whose number Xvfb chooses and writes to a pipe."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x800x24", "-nolisten", "tcp"],
        pass_fds=(writing,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


def start(display: str, *arguments: object, program: str = "run_gravitar") -> subprocess.Popen[str]:
    command = [forked_python(), str(ROOT / f"{program}.py"), *map(str, arguments)]
    variables = {**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def wait_for_window(display: str, program: str = "run_gravitar") -> None:
    """Wait for the window and put the pointer there, which gives it the keyboard: there is no window manager.

    The movement itself is not waited for: where the pointer is there already, xdotool would wait 15 s for it.
    """
    variables = {**os.environ, "DISPLAY": display}
    command = ["xdotool", "search", "--sync", "--onlyvisible", "--class", program, "mousemove", "400", "400"]
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True, timeout=300)


def key(display: str, kind: str, name: str) -> None:
    subprocess.run(["xdotool", kind, name], env={**os.environ, "DISPLAY": display}, check=True)


def test_a_game_played_with_the_keyboard_is_recorded_and_verifies(display: str, tmp_path: Path) -> None:
    # Without thrust the ships fall into the sun, one after the other.
    program = start(display, "play", "--runs", tmp_path, "--speed", 16)
    wait_for_window(display)
    key(display, "keydown", "space")
    assert program.stdout is not None
    first = [program.stdout.readline() for _ in range(2)][1]
    second = program.stdout.readline()
    key(display, "keyup", "space")
    assert re.match(r"game 0: \d+ points", first) and re.match(r"game 1: \d+ points", second)
    key(display, "key", "Escape")
    rest, errors = program.communicate(timeout=300)
    assert program.returncode == 0, errors
    assert "not finished" in rest
    folder = tmp_path / "gravitar/played"
    actions = [one.trace.actions for one in read_episodes(folder / "traces/episodes.jsonl")]
    assert set(np.concatenate(actions).tolist()) == {0, 1}  # no-op and fire
    found = verify(folder)
    assert found.episodes >= 2
    assert not found.differences


def test_watch_shows_a_game_in_a_window(display: str) -> None:
    program = start(display, "watch", AGENT, "--speed", 50)
    wait_for_window(display)
    key(display, "key", "Escape")  # that is enough
    output, errors = program.communicate(timeout=300)
    assert program.returncode == 0, errors
    assert re.match(r"\d+ points in \d+ steps", output)


def test_watch_shows_a_walker_in_a_window(display: str, tmp_path: Path) -> None:
    values = ("learning_starts=100", "buffer_size=100", "policy_kwargs=dict(net_arch=[8])")
    train_walker(WalkerTrainSettings(algo="td3", timesteps=50, set=values, video_every=0, runs=tmp_path, name="a"))
    program = start(display, "watch", tmp_path / "walker/a", program="run_walker")
    wait_for_window(display, "run_walker")
    key(display, "key", "Escape")  # that is enough
    output, errors = program.communicate(timeout=300)
    assert program.returncode == 0, errors
    assert re.match(r"-?\d+(\.\d+)? points in \d+ steps", output)


def test_watch_shows_a_game_in_a_terminal() -> None:
    reader, writer = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    variables |= {"COLUMNS": "80", "LINES": "40", "PYTHONIOENCODING": "utf-8"}
    command = [forked_python(), str(ROOT / "run_gravitar.py"), "watch", str(AGENT), "--speed", "50"]
    program = subprocess.Popen(command, env=variables, stdout=writer, stderr=subprocess.DEVNULL, cwd=ROOT)
    os.close(writer)
    shown = b""
    try:
        while part := os.read(reader, 1 << 16):
            shown = (shown + part)[-200_000:]
    except OSError:
        pass  # the terminal's other end was closed
    assert program.wait(timeout=60) == 0
    assert b"\x1b[38;2;" in shown
    text = shown.decode(errors="replace")
    assert re.search(r"\d+ points in \d+ steps", text)
    picture = text.rpartition("\x1b[H")[2].partition("\x1b[0m")[0]
    lines = picture.splitlines()
    assert len(lines) == 39
    assert {line.count("▀") for line in lines} == {59}


def test_thin_lines_stay_when_a_picture_is_reduced() -> None:
    picture = np.zeros((210, 160, 3), np.uint8)
    picture[101] = 200
    picture[:, 37] = 100
    small = reduced(picture, 52, 39)
    assert small.shape == (52, 39, 3)
    assert (small.max(axis=1) == 200).all(axis=1).sum() == 1
    assert (small.min(axis=0) == 100).all(axis=1).sum() == 1


def test_keys_are_actions() -> None:
    class Keys:
        def __init__(self, *down: str) -> None:
            self.down = down

        def held(self, *names: str) -> bool:
            return any(name in self.down for name in names)

    every = {"NOOP": 0, "FIRE": 1, "UP": 2, "LEFT": 4, "UPLEFT": 7, "UPLEFTFIRE": 15, "LEFTFIRE": 12}
    assert pressed(Keys("w", "left", "space"), every) == "UPLEFTFIRE"  # type: ignore[arg-type]
    assert pressed(Keys(), every) == "NOOP"  # type: ignore[arg-type]
    # Pong has no UP: what is left of the wish is done.
    few = {"NOOP": 0, "FIRE": 1, "RIGHT": 3, "RIGHTFIRE": 4}
    assert pressed(Keys("up", "right", "space"), few) == "RIGHTFIRE"  # type: ignore[arg-type]
    assert pressed(Keys("up"), few) == "NOOP"  # type: ignore[arg-type]


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="not an Atari game"):
        play(PlaySettings(env="CartPole-v1", runs=tmp_path))
    with pytest.raises(UserError, match="above 0"):
        play(PlaySettings(speed=0, runs=tmp_path))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    with pytest.raises(UserError, match="no window can be opened"):
        play(PlaySettings(runs=tmp_path))
    assert not (tmp_path / "gravitar").exists()
