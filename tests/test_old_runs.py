"""Run folders that earlier code has left go on working: they are resumed, replayed, evaluated, sampled from and judged.

tests/old_runs/README.md says how they were made. Everything goes through the commands, since only those have to stay.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import yaml

from gen_models.classifiers import own_features

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("tests/old_runs")
# Arguments of the resume command, and the checkpoint at its end.
GRAVITAR = {
    "ppo-ram": (["--timesteps", "6656"], "step-000006656"),
    "ppo-pixels": (["--timesteps", "6144"], "step-000006144"),
    "qrdqn-ram": (["--timesteps", "4000"], "step-000004000"),
    "dqn-ram": ([], "step-000003404"),  # killed before its six games were over
}
PEGASUS = {
    "sprites": (["--images", "480"], "step-000000480"),
    "npz": ([], "step-000000160"),  # killed before its first checkpoint
}
# By how much a sum over a tensor may differ. Another instruction set or number of threads moves those of the Gravitar
# runs by up to 2e-7, those of the Pegasus runs by up to 1e-4: the gradient of a bias in front of a norm is nothing but
# rounding errors, and Adam makes steps of it.
WEIGHTS_DIFFER = {"gravitar": 1e-5, "pegasus": 5e-4}
GREY_LEVELS = 2  # by which a pixel may differ


@pytest.fixture(autouse=True)
def _copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the run folders, at the paths that their settings name."""
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER)
    monkeypatch.chdir(tmp_path)


def gravitar(*arguments: str) -> int:
    """Run a command of run_gravitar.py in this process."""
    return _command("run_gravitar.py", arguments)


def pegasus(*arguments: str) -> int:
    """Run a command of run_pegasus.py in this process."""
    return _command("run_pegasus.py", arguments)


def _command(script: str, arguments: tuple[str, ...]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments])
        status: int = runpy.run_path(str(ROOT / script))["main"]()
    return status


def expected(name: str) -> Any:
    """The results of the code that made a run."""
    return json.loads((FOLDER / "expected" / f"{name}.json").read_text())


def games(run: Path) -> list[dict[str, Any]]:
    """The games of a trace; in place of the actions, which zlib may pack differently elsewhere, stands their CRC."""
    _, *lines = (run / "traces/episodes.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "actions"} for line in lines]


def weights(file: Path) -> dict[str, float]:
    """A sum over each tensor, value k times 2 + cos(k), so that a value that differs by d moves it by d to 3 d."""
    tensors = {name: tensor.astype(np.float64).ravel() for name, tensor in safetensors.numpy.load_file(file).items()}
    return {name: round(float(values @ (2 + np.cos(np.arange(values.size)))), 7) for name, values in tensors.items()}


def assert_weights(file: Path, before: dict[str, float], differ: float) -> None:
    """The same tensors, equal but for rounding."""
    found = weights(file)
    assert found.keys() == before.keys()
    for name, total in before.items():
        assert found[name] == pytest.approx(total, rel=0, abs=differ), name


def assert_nothing_lost(before: Any, now: Any, changed: dict[str, Any], where: str = "") -> None:
    """Settings have not changed after they were read and written again; there may be new ones.

    :param changed: the settings that the resume command changed, by dotted name
    """
    if isinstance(before, dict):
        for key, value in before.items():
            inner = f"{where}.{key}" if where else str(key)
            assert key in now, inner
            assert_nothing_lost(value, now[key], changed, inner)
    else:
        assert now == changed.get(where, before), where


def settings(run: Path) -> Any:
    """The content of settings.yml."""
    return yaml.safe_load((run / "settings.yml").read_text())


@pytest.mark.parametrize("name", GRAVITAR)
def test_gravitar_resumes(name: str) -> None:
    run, (more, last) = FOLDER / "gravitar" / name, GRAVITAR[name]
    old, before = expected(name), settings(run)
    header = (run / "traces/episodes.jsonl").read_text().splitlines()[0]
    assert gravitar("resume", str(run), *more) == 0
    assert (run / "gravitar-log.txt").read_text().splitlines() == old["log"]
    assert games(run) == old["games"]
    assert (run / "traces/episodes.jsonl").read_text().splitlines()[0] == header
    rows = [line.split(",")[:2] for line in (run / "monitor.csv").read_text().splitlines()[2:]]
    assert [(float(score), int(length)) for score, length in rows] == [
        (game["score"], game["length"]) for game in old["games"]
    ]
    assert_weights(run / "checkpoints" / last / "policy.safetensors", old["weights"], WEIGHTS_DIFFER["gravitar"])
    budget = int(more[1]) if more else before["timesteps"]
    assert_nothing_lost(before, settings(run), {"timesteps": budget, "hyperparameters.n_timesteps": budget})


@pytest.mark.parametrize("name", GRAVITAR)
def test_replay_verifies(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = FOLDER / "gravitar" / name
    count = len(games(run))
    assert gravitar("replay", str(run), "--verify") == 0
    written = f"episodes.jsonl ({count}), monitor.csv ({count}), gravitar-log.txt (1)"
    output = capsys.readouterr().out
    assert output == f"all {count} episodes played again: scores and lengths are as written in {written}\n"


@pytest.mark.parametrize("name", GRAVITAR)
def test_evaluate_plays_the_same_games(name: str) -> None:
    assert gravitar("evaluate", str(FOLDER / "gravitar" / name), "--games", "2", "--json", "result.json") == 0
    result = json.loads(Path("result.json").read_text())
    assert {key: result[key] for key in ("policy", "sticky", "scores", "lengths")} == expected(name)["evaluation"]


@pytest.mark.parametrize("name", PEGASUS)
def test_pegasus_resumes(name: str) -> None:
    run, (more, last) = FOLDER / "pegasus" / name, PEGASUS[name]
    old, before = expected(name), settings(run)
    assert pegasus("resume", str(run), *more) == 0
    header, *lines = (run / "loss.csv").read_text().splitlines()
    assert header == "images,loss,learning_rate,images_per_second"
    windows = [[float(number) for number in line.split(",")[:3]] for line in lines]
    assert windows == [pytest.approx(window, rel=1e-4) for window in old["loss"]]
    for file, sums in old["weights"].items():
        assert_weights(run / "checkpoints" / last / file, sums, WEIGHTS_DIFFER["pegasus"])
    images = int(more[1]) if more else before["learning"]["images"]
    assert_nothing_lost(before, settings(run), {"learning.images": images})
    assert not Path("data").exists()  # the run's own attributes.csv does


def test_sample_draws_the_same_images(capsys: pytest.CaptureFixture[str]) -> None:
    run = FOLDER / "pegasus/sprites"
    kept = str(run / "samples/kept/samples.npz")
    status = pegasus("sample", str(run), "--again", kept, "--device", "cpu")
    output = capsys.readouterr()
    differ = re.search(r"of 4 images differ, by at most (\d+) of 255", output.err)
    assert (status == 0 and "all 4 images are the same" in output.out) or (differ and int(differ[1]) <= GREY_LEVELS)


def test_judge_measures_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_features, "WIDTHS", (8, 16))
    monkeypatch.setattr(own_features, "EPOCHS", 2)
    run = FOLDER / "pegasus/sprites"
    assert pegasus("judge", str(run), "--draw", "12", "--keep", "8", "--steps", "4", "--device", "cpu") == 0
    assert {path.name for path in (run / "judge/batch").iterdir()} >= {
        "batch.png", "batch-random.png", "best-pegasus.png", "nearest-neighbours.png", "metrics.json", "metrics.md",
        "samples.npz", "selection.csv", "selection.json",
    }  # fmt: skip
    result = json.loads((run / "judge/batch/metrics.json").read_text())
    metrics = {metric["name"]: metric["values"] for metric in result["metrics"]}
    for name, columns in expected("sprites")["judged"].items():  # those that the classifier has no part in
        assert {column: metrics[name][column] for column in columns} == pytest.approx(columns, rel=0.01), name
