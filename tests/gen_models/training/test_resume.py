"""Trainings of a denoiser that are killed, stopped or damaged, and go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import safetensors.torch

from tests import forked_runs
from tests.forked_runs import ROOT, ForkedRun, forked_python

STEPS = 80
SMOKE = (
    "train", "--preset", "smoke", "--data", "sprites:50", "--channels", "8", "32", "--batch-size", "4",
    "--images", str(4 * STEPS), "--checkpoint-every", "20", "--sample-every", "0", "--dropout", "0.1",
    "--prediction", "x0", "--weight-floor", "0.1", "--shift", "2", "--label-maps", "spread", "--device", "cpu",
)  # fmt: skip
EXACT = ("denoiser.safetensors", "ema.safetensors", "optimizer.pt")


def start(*arguments: str, folder: Path) -> ForkedRun:
    """Begin a command."""
    return ForkedRun("run_pegasus.py", *arguments, folder=folder)


def run(*arguments: str, folder: Path) -> tuple[int, str]:
    """Run a command to its end; its exit status and output."""
    done = forked_runs.run("run_pegasus.py", *arguments, folder=folder)
    return done.returncode, done.stdout + done.stderr


def losses(folder: Path) -> list[list[str]]:
    """The lines of loss.csv without the rate, which depends on the clock."""
    return [line.split(",")[:3] for line in (folder / "loss.csv").read_text().splitlines()]


def assert_same_run(ours: Path, expected: Path) -> None:
    last = sorted((expected / "checkpoints").glob("step-*"))[-1]
    for name in EXACT:
        assert (ours / "checkpoints" / last.name / name).read_bytes() == (last / name).read_bytes(), name
    assert losses(ours) == losses(expected)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    status, output = run(*SMOKE, "--name", "whole", folder=folder)
    assert status == 0, output
    return folder / "runs/pegasus/whole"


def test_a_whole_run_leaves_what_it_says(whole: Path) -> None:
    assert [line[0] for line in losses(whole)] == ["images", *(str(40 * window) for window in range(1, 9))]
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == [
        "step-000000280", "step-000000300", "step-000000320",
    ]  # fmt: skip
    assert json.loads((whole / "checkpoints/step-000000320/state.json").read_text())["images"] == 320


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(whole: Path, tmp_path: Path) -> None:
    ours = tmp_path / "runs/pegasus/killed"
    command = start(*SMOKE, "--name", "killed", folder=tmp_path)
    # Before the first checkpoint, just behind one, and again in what the second process does.
    for moment in ("loss.csv", "checkpoints/step-000000060", "checkpoints/step-000000180"):
        command.wait_for(ours / moment)
        command.kill()
        assert command.wait() == -signal.SIGKILL
        command = start("resume", str(ours), folder=tmp_path)
    assert command.wait() == 0, command.output
    assert f"resuming {ours} at step-000000" in command.output
    assert_same_run(ours, whole)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_saves_and_says_how_to_go_on(whole: Path, tmp_path: Path, number: int, status: int) -> None:
    command = start(*SMOKE, "--checkpoint-every", "1000000", "--name", "stopped", folder=tmp_path)
    ours = tmp_path / "runs/pegasus/stopped"
    command.wait_for(ours / "loss.csv")
    command.send_signal(number)
    assert command.wait() == status, command.output
    assert "go on with: run_pegasus.py resume runs/pegasus/stopped" in command.output
    (checkpoint,) = (ours / "checkpoints").iterdir()
    assert checkpoint.name < "step-000000320", "it was to stop before its end"
    if number == signal.SIGTERM:
        done, output = run("resume", "runs/pegasus/stopped", folder=tmp_path)
        assert done == 0, output
        assert_same_run(ours, whole)


def cut(whole: Path, folder: Path) -> Path:
    """A copy of the run without its last checkpoint, so that there is something left to do."""
    copy = folder / "cut"
    shutil.copytree(whole, copy)
    shutil.rmtree(copy / "checkpoints/step-000000320")
    return copy


@pytest.mark.parametrize("name", ["optimizer.pt", "state.json"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(whole: Path, tmp_path: Path, name: str) -> None:
    copy = cut(whole, tmp_path)
    victim = copy / "checkpoints/step-000000300" / name
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    status, output = run("resume", str(copy), folder=tmp_path)
    assert status == 0, output
    assert "warning: the checkpoint" in output and "step-000000300 is damaged" in output
    assert_same_run(copy, whole)


def test_one_line_says_why_a_run_cannot_go_on(whole: Path, tmp_path: Path) -> None:
    copy = cut(whole, tmp_path)
    settings = (copy / "settings.yml").read_text()
    cases = {
        settings.replace("batch_size: 4", "batch_size: four"): "learning.batch_size cannot be 'four'",
        settings.replace("- sprites:50", "- sprites:51"): "its images are no longer those it began with",
        settings.replace("layers: 1", "layers: 2"): "does not fit the denoiser of settings.yml",
        settings.replace("device: cpu", "device: cuda:7"): "device 'cuda:7' cannot be used here",
        settings[: settings.index("denoiser:")]: "denoiser is missing",
        settings[:40]: "is not valid YAML",
    }
    for content, message in cases.items():
        (copy / "settings.yml").write_text(content)
        done = forked_runs.run("run_pegasus.py", "resume", str(copy), folder=tmp_path)
        errors = done.stderr.splitlines()
        assert done.returncode in (1, 2) and len(errors) == 1 and errors[0].startswith("error: "), done.stderr
        assert message in errors[0]


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    first = start(*SMOKE, "--images", "1000000", "--name", "taken", folder=tmp_path)
    try:
        first.wait_for(tmp_path / "runs/pegasus/taken/loss.csv")
        done = forked_runs.run("run_pegasus.py", "resume", "runs/pegasus/taken", folder=tmp_path)
        expected = f"error: process {first.pid} trains in runs/pegasus/taken already\n"
        assert (done.returncode, done.stderr) == (1, expected)
    finally:
        first.kill()
        first.wait()


def test_two_processes_that_share_a_run_train_as_one_does(whole: Path, tmp_path: Path) -> None:
    # The units that dropout takes are each process's own; bfloat16 rounds differently for another batch size.
    plain = [*SMOKE, "--dropout", "0", "--precision", "float32", "--images", "80"]
    # On processors, too, accelerate starts several processes only with --multi_gpu; with --cpu it starts one.
    launch = [forked_python(), "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = subprocess.run(
        [*launch, str(ROOT / "run_pegasus.py"), *plain, "--name", "two"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "training on 50 images with 2 processes in runs/pegasus/two" in done.stdout
    status, output = run(*plain, "--name", "one", folder=tmp_path)
    assert status == 0, output
    two, one = (tmp_path / "runs/pegasus" / name for name in ("two", "one"))
    for ours, expected in zip(losses(two)[1:], losses(one)[1:], strict=True):
        assert float(ours[1]) == pytest.approx(float(expected[1]), rel=1e-3)
    for name in EXACT[:2]:
        weights, expected_weights = (
            safetensors.torch.load_file(path / "checkpoints/step-000000080" / name) for path in (two, one)
        )
        moved = max((weights[key] - expected_weights[key]).abs().max().item() for key in weights)
        assert moved < 1e-3  # Adam moves a weight by about 0.001 a step
