"""The wheel works by itself: without the checkout, in an environment that has only the libraries beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
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


def run(environment: Path, folder: Path, *command: str) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = [str(environment / "bin" / command[0]), *command[1:]]
    done = subprocess.run(program, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_works_train_from_the_wheel_alone(environment: Path, tmp_path: Path) -> None:
    where = run(environment, tmp_path, "python", "-c", "import rl; print(rl.__file__)")
    assert where.startswith(str(environment))
    run(environment, tmp_path, "gravitar", "train", "--preset", "smoke", "--timesteps", "2048", "--name", "a")
    run(environment, tmp_path, "gravitar", "evaluate", "runs/gravitar/a", "--games", "1")
    assert (tmp_path / "runs/gravitar/a/gravitar-log.txt").exists()
    run(environment, tmp_path, "pegasus", "train", "--preset", "smoke", "--images", "64", "--name", "a")
    run(environment, tmp_path, "pegasus", "sample", "runs/pegasus/a", "--weights", "horse=2", "--n", "2")
    assert "confirm" in run(environment, tmp_path, "gravitar-pegasus-tune", "--help")


def test_the_wheel_holds_no_tests_or_benchmarks(environment: Path) -> None:
    packages = next((environment / "lib").glob("python*/site-packages"))
    assert (packages / "rl_zoo_configs/ppo.yml").exists()
    assert not {path.name for path in packages.iterdir()} & {"tests", "bench", "results", "docs"}
