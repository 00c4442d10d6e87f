"""Trackers, each the real library and offline: what both trainings send, and that a resumed run goes on with it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from common.tracking import flat
from tests import forked_runs

GRAVITAR = ("train", "--preset", "smoke", "--set", "n_steps=32", "batch_size=64", "n_epochs=1", "--n-envs", "2")
TRAIN = {
    "run_gravitar.py": (*GRAVITAR, "--timesteps", "1024", "--video-every", "0"),
    "run_pegasus.py": ("train", "--preset", "smoke", "--images", "640", "--sample-every", "0"),
}


def run(program: str, *arguments: str, folder: Path, **variables: str) -> None:
    done = forked_runs.run(program, *arguments, folder=folder, **variables)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mlflow's database, which takes it seconds to make."""
    return tmp_path_factory.mktemp("store") / "mlflow.db"


@pytest.mark.parametrize("program", list(TRAIN))
def test_mlflow_gets_what_tensorboard_gets_and_the_same_run_after_a_resume(
    program: str, store: Path, tmp_path: Path
) -> None:
    task, budget, key = (
        ("gravitar", ("--timesteps", "2048"), "time/fps")
        if program == "run_gravitar.py"
        else ("pegasus", ("--images", "1280"), "loss")
    )
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    name = f"{task}-a"
    run(program, *TRAIN[program], "--name", name, "--track", "mlflow", folder=tmp_path, **variables)
    first = json.loads((tmp_path / f"runs/{task}/{name}/tracking.json").read_text())
    run(program, "resume", f"runs/{task}/{name}", *budget, "--track", "mlflow", folder=tmp_path, **variables)
    assert json.loads((tmp_path / f"runs/{task}/{name}/tracking.json").read_text()) == first
    with sqlite3.connect(store) as found:
        experiment = "select experiment_id from experiments where name = ?"
        runs = f"select name, status, run_uuid from runs where experiment_id = ({experiment})"
        ((kept, status, identifier),) = found.execute(runs, (task,)).fetchall()
        of_run = "where run_uuid = ? and key = ?"
        steps = found.execute(f"select step from metrics {of_run} order by step", (identifier, key)).fetchall()
        seed = found.execute(f"select value from params {of_run}", (identifier, "seed")).fetchone()
    assert (kept, status, seed, first) == (name, "FINISHED", ("742",), {"mlflow": identifier})
    assert len(steps) >= 2
    assert steps[-1][0] > int(budget[1]) // 2  # the resumed part is there


def test_wandb_offline(tmp_path: Path) -> None:
    run(
        "run_pegasus.py", *TRAIN["run_pegasus.py"], "--name", "a", "--track", "wandb",
        folder=tmp_path, WANDB_MODE="offline", WANDB_SILENT="true",
    )  # fmt: skip
    identifier = json.loads((tmp_path / "runs/pegasus/a/tracking.json").read_text())["wandb"]
    (file,) = (tmp_path / "runs/pegasus/a/wandb").glob(f"offline-run-*/run-{identifier}.wandb")
    assert b"loss by noise level" in file.read_bytes()


def test_trackio(tmp_path: Path) -> None:
    run(
        "run_pegasus.py", *TRAIN["run_pegasus.py"], "--name", "a", "--track", "trackio",
        folder=tmp_path, TRACKIO_DIR=str(tmp_path / "trackio"), HF_HUB_OFFLINE="1",
    )  # fmt: skip
    (file,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(file) as store:
        rows = store.execute("select run_name, step, metrics from metrics").fetchall()
    assert rows
    assert all(name.startswith("a-") for name, _, _ in rows)
    assert "learning rate" in str(rows[-1][2])


def test_a_nested_configuration_becomes_flat() -> None:
    content = {"a": {"b": 1, "c": {"d": True}}, "e": None, "f": [1, 2]}
    assert flat(content) == {"a.b": 1, "a.c.d": True, "e": "None", "f": "[1, 2]"}
