"""The wheel works by itself: without the checkout, in an environment that has only the libraries beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.source_tree import ROOT, tracked_files


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel installed, and the libraries of the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for file in tracked_files():
        (source / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, source / file.relative_to(ROOT))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("gravitar_pegasus-*.whl")
    venv.create(folder / "environment", with_pip=False)
    python = folder / "environment/bin/python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    packages = next((folder / "environment/lib").glob("python*/site-packages"))
    # A .pth file adds the folder of the libraries; the .pth files in it, this checkout's among them, are not read.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "environment"


# Runs the lines of its input, each in a fork that has imported the libraries, as the wheel's commands would; it ends
# with the first that fails.
COMMANDS = """
import os, sys
from importlib.metadata import distribution
import gen_models.training.loop, rl.evaluate, rl.train
commands = {one.name: one.load() for one in distribution("gravitar-pegasus").entry_points}
for line in sys.stdin:
    child = os.fork()
    if not child:
        sys.argv = line.split()
        status = commands[sys.argv[0]]()
        sys.stdout.flush()
        os._exit(status)
    if os.waitpid(child, 0)[1]:
        sys.exit(line)
"""


def run(environment: Path, folder: Path, *command: str, lines: Sequence[str] = ()) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = [str(environment / "bin" / command[0]), *command[1:]]
    done = subprocess.run(
        program, cwd=folder, env=variables, capture_output=True, text=True, timeout=300, input="\n".join(lines)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_works_train_from_the_wheel_alone(environment: Path, tmp_path: Path) -> None:
    where = run(environment, tmp_path, "python", "-c", "import rl; print(rl.__file__)")
    assert where.startswith(str(environment))
    lines = [
        "gravitar train --preset smoke --timesteps 4096 --video-every 1000 --name a",
        "gravitar evaluate runs/gravitar/a --games 1",
        "pegasus train --preset smoke --images 64 --sample-every 0 --name a",
        "pegasus sample runs/pegasus/a --weights horse=2 --n 2",
    ]
    run(environment, tmp_path, "python", "-c", COMMANDS, lines=lines)
    assert (tmp_path / "runs/gravitar/a/gravitar-log.txt").exists()
    assert list((tmp_path / "runs/gravitar/a/videos").glob("*.mp4"))  # by a process of its own
    assert list((tmp_path / "runs/pegasus/a/samples").iterdir())
    for program in ("gravitar", "pegasus"):  # the programs themselves
        assert "train" in run(environment, tmp_path, program, "--help")
    assert "confirm" in run(environment, tmp_path, "gravitar-pegasus-tune", "--help")


def test_the_wheel_holds_no_tests_or_benchmarks(environment: Path) -> None:
    packages = next((environment / "lib").glob("python*/site-packages"))
    assert (packages / "rl_zoo_configs/ppo.yml").exists()
    assert not {path.name for path in packages.iterdir()} & {"tests", "bench", "results", "docs"}
