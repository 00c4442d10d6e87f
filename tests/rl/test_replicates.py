"""Replicates: the settings of each, and the command lines that say them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from common.cli import arguments_of, run_cli
from common.errors import UserError
from common.launch import LaunchSettings
from rl.options import TrainSettings
from rl.replicates import replicates, train_or_launch


def parsed(arguments: list[str]) -> TrainSettings:
    """The settings that the command line makes of arguments."""
    found: list[TrainSettings] = []
    assert run_cli({"train": (TrainSettings, found.append)}, ["train", *arguments]) == 0
    return found[0]


def test_a_command_line_says_its_settings() -> None:
    settings = TrainSettings(
        algo="dqn", obs="ram", preset="smoke", episodes=5, seed=3, name="a", runs=Path("my runs"), life_loss=True,
        set=("learning_rate=lin_1e-4", "policy_kwargs=dict(net_arch=[64, 64])"), sticky=0.0, resume_if_exists=True,
    )  # fmt: skip
    assert parsed(arguments_of(settings)) == settings
    assert arguments_of(TrainSettings()) == []


def test_replicates_differ_in_nothing_but_the_seed_and_the_name() -> None:
    user = TrainSettings(preset="smoke", seed=10, name="a", array_seeds=3, launch=LaunchSettings("local"))
    runs = replicates(user)
    assert [(run.seed, run.name) for run, _ in runs] == [(10, "a-10"), (11, "a-11"), (12, "a-12")]
    alone = dataclasses.replace(user, launch=LaunchSettings(), array_seeds=None)
    assert {dataclasses.replace(run, seed=10, name="a") for run, _ in runs} == {alone}
    names = [settings.name for _, settings in replicates(dataclasses.replace(user, name=None))]
    assert names == ["ppo-ram-10", "ppo-ram-11", "ppo-ram-12"]
    ((one, settings),) = replicates(dataclasses.replace(user, array_seeds=None))
    assert one == alone and settings.name == "a"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"launch": LaunchSettings()}, "--launcher local or --launcher slurm"),
        ({"array_seeds": 0}, "--array-seeds must be at least 1"),
        ({"algo": "ppp"}, "unknown algorithm"),
        ({"launch": LaunchSettings("local", parallel=0)}, "--parallel"),
    ],
)
def test_bad_settings_start_nothing(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    user = TrainSettings(preset="smoke", array_seeds=2, runs=tmp_path / "runs", launch=LaunchSettings("local"))
    with pytest.raises(UserError, match=words):
        train_or_launch(dataclasses.replace(user, **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_a_run_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "gravitar" / "a-743").mkdir(parents=True)
    user = TrainSettings(preset="smoke", name="a", array_seeds=2, runs=tmp_path, launch=LaunchSettings("local"))
    with pytest.raises(UserError, match=r"a-743 exists and is never overwritten"):
        train_or_launch(user)
    assert not (tmp_path / "jobs").exists()
