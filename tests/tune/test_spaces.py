"""Spaces: they hold the values in use, and whatever they give can be trained with."""

from __future__ import annotations

import inspect
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from common.errors import UserError
from gen_models.request import SampleRequest
from rl.zoo.config import ALGORITHMS, parse_block
from tune.gravitar_task import GravitarTask
from tune.settings import GravitarStudy
from tune.spaces import Narrowed, describe, distributions, sampling, sampling_defaults

KINDS = [(algo, obs) for algo in ("ppo", "dqn", "qrdqn") for obs in ("ram", "pixels")]


def task(algo: str = "ppo", obs: str = "ram", **changes: Any) -> GravitarTask:
    return GravitarTask(GravitarStudy(algo=algo, obs=obs, **changes))


def sampled(made: GravitarTask, count: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [made.space(study.ask()) for _ in range(count)]


def plain(value: Any) -> Any:
    """A schedule by its values at the beginning, in the middle and at the end."""
    return [value(1.0), value(0.5), value(0.0)] if callable(value) and not isinstance(value, type) else value


@pytest.mark.parametrize(("algo", "obs"), KINDS)
def test_the_defaults_are_the_configuration(algo: str, obs: str) -> None:
    made = task(algo, obs)
    block = made.base.hyperparameters
    values = made.space(FixedTrial(made.defaults()))
    before = parse_block(block, algo, "before").algorithm
    after = parse_block({**block, **values}, algo, "after").algorithm
    usual = {name: one.default for name, one in inspect.signature(ALGORITHMS[algo].__init__).parameters.items()}
    assert {name: plain(value) for name, value in after.items()} == {
        name: plain(before.get(name, usual[name])) for name in after
    }
    assert set(before) <= set(after)


@pytest.mark.parametrize(("algo", "obs"), KINDS)
def test_whatever_is_asked_fits_together(algo: str, obs: str) -> None:
    made = task(algo, obs)
    seen = sampled(made, 40)
    for values in seen:
        block = {**made.block, **values}
        parse_block(block, algo, "sampled")
        if algo == "ppo":
            rollout = block["n_envs"] * block["n_steps"]
            assert rollout % block["batch_size"] == 0 and block["batch_size"] < rollout
        assert 0.97 <= block["gamma"] <= 0.999
    assert len({str(values) for values in seen}) == 40


def test_only_what_is_searched_is_asked_within_the_given_range() -> None:
    made = task(search=("learning_rate", "n_epochs"), range=("learning_rate=1e-4:1e-3",))
    kinds = distributions(made.space, made.defaults())
    assert {name: describe(kind) for name, kind in kinds.items()} == {
        "learning_rate": "real, 0.0001 to 0.001, log",
        "n_epochs": "whole, 1 to 8",
    }
    assert made.defaults() == {"learning_rate": 3e-4, "n_epochs": 4}
    for values in sampled(made, 20):
        assert values["batch_size"] == 1024 and values["gamma"] == 0.995
        assert 1e-4 <= float(values["learning_rate"].removeprefix("lin_")) <= 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": ("learning_rat",)}, "no 'learning_rat'.*did you mean 'learning_rate'"),
        ({"range": ("gamma=0.9:0.99",)}, "no 'gamma'"),
        ({"range": ("learning_rate=1e-3",)}, "NAME=LOW:HIGH"),
        ({"range": ("learning_rate=1e-3:1e-4",)}, "the lower one first"),
        ({"range": ("learning_rate=1e-3:2e-3",)}, "the default of learning_rate, 0.0003.*is not within"),
        ({"range": ("n_epochs=1.5:8",)}, "whole number"),
        ({"set": ("n_steps=100",)}, "powers of two, and n_steps is 100"),
        ({"steps": 20_000}, r"rollouts of up to 16,384.*--steps 65536"),
        ({"algo": "dqn", "steps": 8_000}, r"learning begins at step 5,000.*--steps 10000"),
        ({"algo": "ppp"}, "unknown algorithm 'ppp'.*did you mean 'ppo'"),
        ({"env": "CartPole-v1", "obs": "vector"}, "CartPole-v1"),
    ],
)
def test_a_space_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        task(**changes)


def test_a_switching_point_is_asked_only_where_it_counts() -> None:
    conditions = ("horse", "spread")
    defaults = sampling_defaults(conditions)
    kinds = distributions(lambda trial: sampling(Narrowed(trial, defaults), conditions), defaults)
    assert set(kinds) == set(defaults)
    values = sampling(Narrowed(FixedTrial(defaults), defaults), conditions)
    assert values == {
        "weights": "horse=2,spread=3.5",
        "compose": "and",
        "interval": (0.0, 1.0),
        "rescale": 0.0,
        "steps": 25,
    }
    assert sampling(Narrowed(FixedTrial({**defaults, "compose": "switch"}), defaults), conditions)["switch_at"] == 0.8


def test_a_contrast_is_searched_where_a_class_to_take_it_from_is_named() -> None:
    conditions = ("horse", "spread")
    defaults = sampling_defaults(conditions, "bird")
    searched = ("weight_horse", "weight_spread")
    kinds = distributions(lambda trial: sampling(Narrowed(trial, defaults, searched), conditions, "bird"), defaults)
    assert set(kinds) == set(searched)  # the method is a contrast in every trial
    values = sampling(Narrowed(FixedTrial({**defaults, "weight_horse": 4.0}), defaults), conditions, "bird")
    assert SampleRequest(**values) == SampleRequest(
        compose="contrast", base="horse", add="spread", from_="bird", base_weight=4.0, add_weight=3.5
    )
