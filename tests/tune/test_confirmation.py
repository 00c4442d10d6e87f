"""Confirmation: noise does not win, a real difference does, and what is written is what the game's loaders read.

Credits: rl-baselines3-zoo (Raffin 2020) is the peer.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import InMemoryStorage

from common.errors import UserError
from rl.zoo.config import load_config, parse_block
from tests.forked_runs import ROOT, forked_python
from tests.tune.made_task import MadeStudy, MadeTask
from tune.confirmation import Compared, Confirmation, compare, confirm, confirm_study
from tune.export import changed, choose, export
from tune.gravitar_task import GravitarTask
from tune.options import ConfirmSettings, ExportSettings
from tune.search import open_study, run_trial
from tune.settings import GravitarStudy, write_settings

optuna.logging.set_verbosity(optuna.logging.WARNING)


def searched(tmp_path: Path, **changes: Any) -> tuple[MadeStudy, InMemoryStorage]:
    settings = dataclasses.replace(
        MadeStudy(name="made", trials=12, seeds=2, sampler="random", runs=str(tmp_path)), **changes
    )
    storage = InMemoryStorage()
    study = open_study(settings, storage)
    while run_trial(study, settings):
        pass
    return settings, storage


def test_a_winner_that_is_only_noise_is_refused(tmp_path: Path) -> None:
    wins = lucky = 0
    for seed in range(20):
        settings, storage = searched(tmp_path / str(seed), slope=0.0, noise=1.0, seed=seed)
        result = confirm_study(settings, storage, top=3, seeds=5)
        best, default = result.compared[1].searched, result.default.searched
        assert best is not None and default is not None
        lucky += best > default
        wins += any(one.wins for one in result.compared)
        if not any(one.wins for one in result.compared):
            with pytest.raises(UserError, match="No candidate is better than the default beyond its interval"):
                choose(result, force=False)
            assert choose(result, force=True) == result.best
    assert lucky >= 15  # in the search the best of twelve looks better than the default, whose values are as good
    assert wins <= 2  # of twenty; one in twenty is what the intervals allow


def test_a_winner_that_is_better_is_confirmed(tmp_path: Path) -> None:
    settings, storage = searched(tmp_path, slope=1.0, noise=0.5)
    result = confirm_study(settings, storage, top=2, seeds=6)
    winner = choose(result, force=False)
    assert winner.wins and winner.difference == pytest.approx(winner.iqm - result.default.iqm)
    assert abs(winner.params["x"] - 3) < 1 and "is better than the default" in result.verdict()
    seeds = {json.loads(path.read_text())["seed"] for path in tmp_path.rglob("score.json")}
    assert seeds == set(result.seeds) and len(seeds) == 6
    # Again from what is there: nothing runs, everything is the same, and it is read back as it was.
    assert confirm_study(settings, storage, top=2, seeds=6) == result
    result.save(settings.folder)
    assert Confirmation.load(settings.folder) == result
    assert winner.name in (settings.folder / "confirmation.md").read_text()


def test_the_difference_is_the_gain_where_less_is_better() -> None:
    class Cost(MadeTask):
        directions = ("minimize",)

    settings = MadeStudy()
    task = Cost(settings)
    candidates = [("default", task.defaults(), None), ("trial 1", task.defaults(), None)]
    # The interquartile means of the middle three are 20 and 12; no resample of 11 to 13 reaches one of 15 to 25.
    found = compare(settings, task, candidates, [[15, 18, 20, 22, 25], [11, 12, 12, 12, 13]], [1, 2, 3, 4, 5], 90)
    assert (found.default.difference, found.best.difference, found.best.wins) == (0.0, 8.0, True)
    low, high = found.best.difference_interval
    assert 2 <= low < 8 < high <= 14
    made = compare(settings, MadeTask(settings), candidates, [[1.0] * 5, [3.0] * 5], [1, 2, 3, 4, 5], 90)
    assert (made.best.difference, made.best.difference_interval) == (2.0, (2.0, 2.0))


@pytest.mark.parametrize(("scores", "wins"), [([1.0] * 5, False), ([3.0] * 5, True)])
def test_only_a_winner_is_there_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scores: list[float], wins: bool
) -> None:
    study = GravitarStudy(name="first", runs=str(tmp_path))
    study.folder.mkdir(parents=True)
    write_settings(study)
    made = MadeTask(MadeStudy())
    candidates = [("default", made.defaults(), None), ("trial 1", made.defaults(), None)]
    found = compare(MadeStudy(), made, candidates, [[1.0] * 5, scores], [1, 2, 3, 4, 5], 90)
    monkeypatch.setattr("tune.confirmation.confirm_study", lambda *_: found)
    confirm(ConfirmSettings(study.folder))
    assert ("write the winner with: python -m tune export" in capsys.readouterr().out) == wins


def test_what_cannot_be_confirmed_is_refused(tmp_path: Path) -> None:
    settings, storage = searched(tmp_path, trials=1)
    with pytest.raises(UserError, match="no finished trial beside the default"):
        confirm_study(settings, storage, top=3, seeds=5)
    with pytest.raises(UserError, match="--seeds at least 5"):
        confirm_study(settings, storage, top=3, seeds=3)
    with pytest.raises(UserError, match="python -m tune confirm"):
        Confirmation.load(settings.folder)


def confirmed(tmp_path: Path, better: bool) -> tuple[Path, Path]:
    """A study's folder with a confirmation, and a copy of the configurations."""
    configs = tmp_path / "rl_zoo_configs"
    shutil.copytree(ROOT / "rl_zoo_configs", configs)
    study = GravitarStudy(name="ppo-ram", config=str(configs / "ppo.yml"), runs=str(tmp_path)).resolved()
    write_settings(study)
    task = GravitarTask(study)
    params = {**task.defaults(), "learning_rate": 0.00071, "n_steps_log2": 6, "one_minus_gamma": 0.002, "width_log2": 8}
    scores = (500.0, 510.0, 520.0, 530.0, 540.0)
    compared: list[Compared] = []
    for name, values, gain in (("default", task.defaults(), 0.0), ("trial 7", params, 100.0 if better else 1.0)):
        compared.append(
            Compared(
                name=name,
                params=values,
                values=task.space(optuna.trial.FixedTrial(values)),
                scores=tuple(score + gain for score in scores),
                iqm=520.0 + gain,
                interval=(500.0, 540.0),
                difference=gain,
                difference_interval=(gain - 20, gain + 20) if compared else (0.0, 0.0),
                searched=None,
            )
        )
    Confirmation("ppo-ram", "score", 6_000_000, (1, 2, 3, 4, 5), 0.95, tuple(compared)).save(study.folder)
    return study.folder, configs


def test_export_refuses_what_is_not_better_unless_forced(tmp_path: Path) -> None:
    folder, configs = confirmed(tmp_path, better=False)
    before = (configs / "ppo.yml").read_text()
    with pytest.raises(UserError, match="Nothing was written") as refused:
        export(ExportSettings(folder))
    assert refused.value.status == 1
    assert (configs / "ppo.yml").read_text() == before and not (configs / "evidence").exists()
    export(ExportSettings(folder, force=True))
    assert (configs / "ppo.yml").read_text() != before
    assert "by force" in (configs / "evidence" / "ppo-Gravitar-ram-v0.md").read_text()


def test_the_exported_file_loads_here_and_in_rl_zoo3(tmp_path: Path) -> None:
    folder, configs = confirmed(tmp_path, better=True)
    path = configs / "ppo.yml"
    before = path.read_text()
    export(ExportSettings(folder))
    after = path.read_text()
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []  # comments and all
    config = load_config(path)
    block = config["Gravitar-ram-v0"]
    expected = {"n_steps": 64, "batch_size": 512, "learning_rate": "lin_0.00071", "gamma": 0.998,
                "policy_kwargs": "dict(net_arch=[256, 256])"}  # fmt: skip
    old = yaml.safe_load(before)
    assert block == {**old["Gravitar-ram-v0"], **expected}
    assert {name: one for name, one in config.items() if name != "Gravitar-ram-v0"} == {
        name: one for name, one in old.items() if name != "Gravitar-ram-v0"
    }
    assert parse_block(block, "ppo", "here").algorithm["learning_rate"](0.5) == pytest.approx(0.000355)
    evidence = json.loads((configs / "evidence" / "ppo-Gravitar-ram-v0.json").read_text())
    assert evidence["after"] == expected and evidence["confirmation"]["compared"][1]["name"] == "trial 7"
    export(ExportSettings(folder))  # again changes nothing
    assert path.read_text() == after
    if importlib.util.find_spec("rl_zoo3") is None:
        pytest.skip("rl_zoo3 is not installed (development dependency)")
    command = [forked_python(), "-m", "rl_zoo3.train", "--algo", "ppo", "--env", "Gravitar-ram-v0",
               "--conf-file", str(path), "-n", "128", "--log-folder", str(tmp_path / "zoo"), "--eval-freq", "-1",
               "--device", "cpu", "--num-threads", "1", "--gym-packages", "rl.registration", "-params",
               "n_envs:2", "n_epochs:1", "batch_size:64"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with zipfile.ZipFile(tmp_path / "zoo/ppo/Gravitar-ram-v0_1/Gravitar-ram-v0.zip") as saved:
        data = json.loads(saved.read("data"))
    assert (data["gamma"], data["n_steps"], data["policy_kwargs"]) == (0.998, 64, {"net_arch": [256, 256]})
    assert data["num_timesteps"] == 128


def test_what_the_study_replaced_is_written_too(tmp_path: Path) -> None:
    folder, configs = confirmed(tmp_path, better=True)
    text = (folder / "settings.yml").read_text()
    (folder / "settings.yml").write_text(
        text.replace("set: []", "set: ['max_grad_norm=0.7', 'gamma=0.9']").replace("n_envs: null", "n_envs: 16")
    )
    export(ExportSettings(folder))
    block = load_config(configs / "ppo.yml")["Gravitar-ram-v0"]
    assert (block["max_grad_norm"], block["n_envs"], block["gamma"]) == (0.7, 16, 0.998)  # the winner's own gamma


def test_only_what_differs_is_written() -> None:
    block = {"learning_rate": "lin_3e-4", "gamma": 0.99}
    values = {"learning_rate": "lin_0.0003", "gamma": 0.99, "n_epochs": 10, "gae_lambda": 0.9}
    assert changed(block, values, "ppo") == {"gae_lambda": 0.9}  # Stable-Baselines3 has 10 epochs by itself
