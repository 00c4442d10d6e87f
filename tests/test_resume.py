"""Runs that are killed, stopped, damaged or out of disk, and go on as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked_runs import ForkedRun

SMOKE = [
    "train", "--preset", "smoke", "--n-envs", "8", "--timesteps", "6000", "--checkpoint-every", "500",
    "--video-every", "0",
]  # fmt: skip
# What has to be the same, byte for byte. `counters.json` holds seconds, `state.json` the videos that wait.
LONGEST = 1_800  # seconds of a command; DQN's longest takes four minutes of a core, on a busy machine much more
EXACT = (
    "environment.json", "observations.safetensors", "optimizer.pt", "policy.safetensors", "random.json",
    "random.safetensors",
)  # fmt: skip


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    process = start(*arguments, folder=folder)
    process.wait(LONGEST)
    return subprocess.CompletedProcess(arguments, process.wait(), process.stdout, process.stderr)


def start(*arguments: str, folder: Path) -> ForkedRun:
    """Begin a command."""
    return ForkedRun("run_gravitar.py", *arguments, folder=folder)


def wait_for(path: Path, count: int = 1) -> None:
    """Wait until a pattern matches so many files."""
    deadline = time.monotonic() + 120
    while len(list(path.parent.glob(path.name))) < count:
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


def assert_same_run(ours: Path, expected: Path) -> None:
    """Logs, traces, the monitor's scores and lengths, and the last checkpoint are the same."""
    for name in ("gravitar-log.txt", "traces/episodes.jsonl"):
        assert (ours / name).read_bytes() == (expected / name).read_bytes(), name
    columns = [
        [line.split(",")[:2] for line in (run_folder / "monitor.csv").read_text().splitlines()[2:]]
        for run_folder in (ours, expected)
    ]
    assert columns[0] == columns[1]
    last = sorted((expected / "checkpoints").glob("step-*"))[-1]
    for name in EXACT:
        assert (ours / "checkpoints" / last.name / name).read_bytes() == (last / name).read_bytes(), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has disturbed. tests/test_run_gravitar.py compares a fork with what users start."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(*SMOKE, "--name", "whole", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs/gravitar/whole"


def kill_and_compare(folder: Path, expected: Path, kills: int, seed: int, arguments: list[str]) -> None:
    """Train, with so many ``kill -9`` at random moments, and compare with the undisturbed run at each end.

    A run that is complete before the last kill is begun again.
    """
    moments = random.Random(seed)
    path = folder / "runs/gravitar/killed"
    killed = 0
    while True:
        resume = (path / "settings.yml").exists()
        process = start(*(["resume", str(path)] if resume else [*arguments, "--name", "killed"]), folder=folder)
        try:
            # Some kills fall into the start.
            _, errors = process.communicate(timeout=moments.uniform(0.2, 5.0) if killed < kills else LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            continue
        assert process.returncode == 0, errors
        assert_same_run(path, expected)
        if killed >= kills:
            return
        shutil.rmtree(path)


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(whole: Path, tmp_path: Path) -> None:
    kill_and_compare(tmp_path, whole, 2, 742, SMOKE)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "qrdqn", "dqn"])
@pytest.mark.parametrize("obs", ["ram", "pixels"])
def test_thirty_kills(tmp_path: Path, algo: str, obs: str) -> None:
    arguments = [
        "train", "--algo", algo, "--obs", obs, "--n-envs", "8", "--timesteps", "8000", "--checkpoint-every", "800",
        "--video-every", "5",
    ]  # fmt: skip
    small = ["n_steps=64", "batch_size=256"] if algo == "ppo" else ["learning_starts=1000", "buffer_size=4000"]
    arguments += ["--set", *small]
    done = run(*arguments, "--name", "whole", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    kill_and_compare(tmp_path, tmp_path / "runs/gravitar/whole", 30, 1, arguments)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_saves_and_says_how_to_go_on(whole: Path, tmp_path: Path, number: int, status: int) -> None:
    process = start(*SMOKE, "--checkpoint-every", "1000000", "--name", "stopped", folder=tmp_path)
    wait_for(tmp_path / "runs/gravitar/stopped/checkpoints/step-000000000")
    time.sleep(1.0)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    assert "go on with: run_gravitar.py resume runs/gravitar/stopped" in errors
    assert len(list((tmp_path / "runs/gravitar/stopped/checkpoints").glob("step-*"))) == 2
    if number == signal.SIGTERM:
        done = run("resume", "runs/gravitar/stopped", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert_same_run(tmp_path / "runs/gravitar/stopped", whole)


def cut(run_folder: Path, folder: Path) -> Path:
    """A copy of a complete run with its last checkpoint gone, so that there is something left to do."""
    copy = folder / "cut"
    shutil.copytree(run_folder, copy)
    shutil.rmtree(sorted((copy / "checkpoints").glob("step-*"))[-1])
    return copy


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(whole: Path, tmp_path: Path, damage: str) -> None:
    copy = cut(whole, tmp_path)
    victim = sorted((copy / "checkpoints").glob("step-*"))[-1] / "optimizer.pt"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "flip":
        victim.write_bytes(bytes(content))
    elif damage == "truncate":
        victim.write_bytes(bytes(content[:1000]))
    else:
        victim.unlink()
    done = run("resume", str(copy), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stderr and victim.parent.name in done.stderr
    assert_same_run(copy, whole)


def test_settings_edited_into_nonsense_are_refused_in_one_line(whole: Path, tmp_path: Path) -> None:
    copy = cut(whole, tmp_path)
    settings = (copy / "settings.yml").read_text()
    for nonsense in ("algo: [", "- 1\n- 2\n", settings.replace("\nn_envs: 8", "\nn_envs: many"), settings[:200], ""):
        (copy / "settings.yml").write_text(nonsense)
        done = run("resume", str(copy), folder=tmp_path)
        assert done.returncode in (1, 2), nonsense
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    # Without a checkpoint but the first, so that any budget can follow.
    first = start(*SMOKE, "--timesteps", "1000000", "--checkpoint-every", "1000000", "--name", "taken", folder=tmp_path)
    try:
        wait_for(tmp_path / "runs/gravitar/taken/checkpoints/step-000000000")
        second = run("resume", "runs/gravitar/taken", folder=tmp_path)
        assert second.returncode == 1
        assert second.stderr == f"error: process {first.pid} trains in runs/gravitar/taken already\n"
    finally:
        first.kill()
        first.communicate()
    # The lock of a dead process does not block.
    third = run("resume", "runs/gravitar/taken", "--timesteps", "2000", folder=tmp_path)
    assert third.returncode == 0, third.stderr


def test_a_changed_setting_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "gravitar"
    shutil.copytree(whole, runs / "whole")
    again = run(*SMOKE, "--name", "whole", "--resume-if-exists", folder=tmp_path)
    assert again.returncode == 0, again.stderr  # the same settings: it is complete
    changes = ((["--seed", "1"], "seed"), (["--sticky", "0"], "environment"), (["--set", "gamma=0.9"], "gamma"))
    for flags, name in changes:
        done = run(*SMOKE, "--name", "whole", "--resume-if-exists", *flags, folder=tmp_path)
        assert done.returncode == 2
        assert name in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert_same_run(runs / "whole", whole)


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A small disk in a folder, for root only."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB."""
    with mounted(tmp_path / "disk", "24m"):
        yield tmp_path / "disk"


def test_a_full_disk_ends_in_one_line_and_resumes_once_there_is_room(small_disk: Path, whole: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024))
    process = start(*SMOKE, "--name", "full", folder=small_disk)
    path = small_disk / "runs/gravitar/full"
    wait_for(path / "checkpoints/step-*", 2)
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert "No space left on device" in errors.splitlines()[-1] and errors.splitlines()[-1].startswith("error: ")
    assert list((path / "checkpoints").glob("step-*"))
    ballast.unlink()
    done = run("resume", str(path), folder=small_disk)
    assert done.returncode == 0, done.stderr
    assert_same_run(path, whole)


def test_a_disk_that_is_full_for_videos_costs_the_videos_alone(whole: Path, tmp_path: Path) -> None:
    arguments = [*SMOKE[:-1], "1000", "--name", "filmed"]  # the first game and each best one
    process = start(*arguments, folder=tmp_path)
    path = tmp_path / "runs/gravitar/filmed"
    wait_for(path / "settings.yml")
    with mounted(path / "videos", "16k"):  # a video has some hundred kilobytes
        _, errors = process.communicate(timeout=LONGEST)
        assert not list((path / "videos").iterdir())  # nothing half-written
    assert process.returncode == 0, errors
    warnings = [line for line in errors.splitlines() if line.startswith("warning: no video of episode")]
    assert len(warnings) == 1 and "No space left on device" in warnings[0] and "the training goes on" in warnings[0]
    assert "videos are missing" in errors
    assert_same_run(path, whole)
    done = run("replay", str(path), "--episode", "0", folder=tmp_path)  # now there is room
    assert done.returncode == 0, done.stderr
    assert list(path.glob("videos/*episode-0-*.mp4"))
