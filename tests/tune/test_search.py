"""Studies of a made objective: the same again, exactly counted, pruned, failed, interrupted, refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from common.errors import Interrupted, UserError
from common.run_folder import Locked
from tests.tune.made_task import MadeStudy, MadeTask
from tune import plan
from tune.search import load_study, open_study, over, run_trial, trial_seeds
from tune.storage import Unreachable

optuna.logging.set_verbosity(optuna.logging.WARNING)
MADE = MadeStudy(name="made", trials=14, noise=0.5)


def made(tmp_path: Path, **changes: Any) -> MadeStudy:
    return dataclasses.replace(MADE, runs=str(tmp_path), **changes)


def search(settings: MadeStudy, storage: Any = None, most: int = 1000) -> optuna.Study:
    """Run a study, each trial as if by a process of its own."""
    storage = storage or InMemoryStorage()
    open_study(settings, storage)
    while most and run_trial(*load_study("made", storage)):
        most -= 1
    return load_study("made", storage)[0]


def tape(study: optuna.Study) -> list[Any]:
    return [(one.user_attrs["plan"], one.state, one.params, one.values, one.intermediate_values)
            for one in study.trials]  # fmt: skip


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp", "random"])
def test_the_same_seed_gives_the_same_trials(tmp_path: Path, sampler: str) -> None:
    settings = made(tmp_path, sampler=sampler, pruner="median")
    first, second = search(settings), search(settings)
    assert tape(first) == tape(second)
    assert len({one.params["x"] for one in first.trials}) == 14  # every trial is another
    assert first.trials[0].params == {"x": 5.0, "y": 8}
    assert tape(search(dataclasses.replace(settings, seed=1))) != tape(first)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp"])
def test_a_study_in_one_process_is_that_in_many(tmp_path: Path, sampler: str) -> None:
    settings = made(tmp_path, sampler=sampler)
    study = open_study(settings, InMemoryStorage())
    while run_trial(study, settings):
        pass
    assert tape(study) == tape(search(settings))


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp"])
def test_samplers_that_learn_come_nearer_than_chance(tmp_path: Path, sampler: str) -> None:
    settings = made(tmp_path, noise=0.0, trials=45, sampler=sampler)
    late = [one.params["x"] for one in search(settings).trials[25:]]
    by_chance = [one.params["x"] for one in search(dataclasses.replace(settings, sampler="random")).trials[25:]]
    assert sum(abs(x - 3) for x in late) < 0.5 * sum(abs(x - 3) for x in by_chance)


@pytest.mark.parametrize("pruner", ["hyperband", "successive-halving", "median"])
def test_pruners_stop_the_worse_trials(tmp_path: Path, pruner: str) -> None:
    study = search(made(tmp_path, pruner=pruner, sampler="random", noise=0.0, trials=30))
    values = {
        state: [one.value for one in study.trials if one.state == state and one.value is not None]
        for state in TrialState
    }
    pruned, complete = values[TrialState.PRUNED], values[TrialState.COMPLETE]
    assert len(pruned) >= 3 and len(complete) >= 3 and len(pruned) + len(complete) == 30
    assert sorted(pruned)[len(pruned) // 2] < sorted(complete)[len(complete) // 2]
    count = plan.tally(study, 2)
    full = count.complete * 3 * MADE.seeds  # three budgets of so many steps
    assert count.steps < full + count.pruned * 3 * MADE.seeds


def test_seeds_follow_from_study_and_trial() -> None:
    assert trial_seeds(742, 3, 2) == trial_seeds(742, 3, 4)[:2]
    seeds = {seed for number in range(50) for seed in trial_seeds(742, number, 3)}
    assert len(seeds) == 150 and seeds.isdisjoint(trial_seeds(743, 0, 3))
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_trial_whose_numbers_are_not_finite_fails_with_the_reason(tmp_path: Path) -> None:
    study = search(made(tmp_path, noise=float("nan"), trials=2))
    assert [one.state for one in study.trials] == [TrialState.FAIL] * 2
    assert "not finite" in study.trials[0].user_attrs[plan.FAILURE]
    study = search(made(tmp_path, broken=4.0, trials=6))
    failed = [one for one in study.trials if one.state == TrialState.FAIL]
    assert failed and all(one.user_attrs[plan.FAILURE] == "x is too large" for one in failed)
    assert len(study.trials) == 6  # a failure is not tried again


def test_budgets_in_steps_and_hours(tmp_path: Path) -> None:
    settings = made(tmp_path, total_steps=20)  # nine steps a trial at three seeds, so the third goes beyond
    study = search(dataclasses.replace(settings, pruner="median"))
    assert plan.tally(study, 2).complete == 3 and over(study, settings, began=float("inf"))
    open_ended = dataclasses.replace(settings, total_steps=None)
    assert not over(study, open_ended, began=0)
    assert over(study, dataclasses.replace(open_ended, hours=1e-9), began=0)


def test_more_trials_go_on_where_the_study_was(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    search(made(tmp_path, trials=5), storage)
    assert tape(search(made(tmp_path, trials=9), storage)) == tape(search(made(tmp_path, trials=9)))


class Stopped(MadeTask):
    """A task that a signal stops once, or that finds its folder locked once."""

    def __init__(self, study: MadeStudy, error: Exception) -> None:
        super().__init__(study)
        self.errors = [error]

    def run(self, *arguments: Any) -> Any:
        if self.errors:
            raise self.errors.pop()
        return super().run(*arguments)


def test_an_interrupted_trial_waits_and_gives_what_it_would_have_given(tmp_path: Path) -> None:
    settings = made(tmp_path, trials=3, retries=0)
    study = open_study(settings, InMemoryStorage())
    with pytest.raises(Interrupted):
        run_trial(study, settings, task=Stopped(settings, Interrupted("saved", 15)))
    while run_trial(study, settings):
        pass
    finished = [one for one in study.trials if one.state == TrialState.COMPLETE]
    undisturbed = search(settings).trials
    assert sorted((one.user_attrs["plan"], one.params["x"], one.value) for one in finished) == [
        (one.user_attrs["plan"], one.params["x"], one.value) for one in undisturbed
    ]


class StoppedLater(MadeTask):
    """A task that a signal stops once it has reported the value of its first budget."""

    def run(self, params: Any, seeds: Any, folder: Any, progress: Any) -> Any:
        original = progress.report

        def report(budget: int, value: float) -> bool:
            original(budget, value)
            raise Interrupted("saved", 15)

        progress.report = report
        return super().run(params, seeds, folder, progress)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("tpe", "median"), ("cmaes", "hyperband"), ("gp", "none"), ("random", "successive-halving")],
)
def test_a_study_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path, sampler: str, pruner: str) -> None:
    settings = made(tmp_path, sampler=sampler, pruner=pruner, trials=12)
    study = open_study(settings, InMemoryStorage())
    for most in (3, 6):
        while most and run_trial(study, settings):
            most -= 1
        with pytest.raises(Interrupted):
            run_trial(study, settings, task=StoppedLater(settings))
    while run_trial(study, settings):
        pass
    kept = [one for one in tape(study) if one[1] != TrialState.FAIL]
    assert len(study.trials) == 14 and sorted(kept, key=lambda one: one[0]) == tape(search(settings))


def test_a_storage_that_is_away_is_not_the_trials_failure(tmp_path: Path) -> None:
    settings = made(tmp_path, trials=1)
    study = open_study(settings, InMemoryStorage())
    with pytest.raises(Unreachable):
        run_trial(study, settings, task=Stopped(settings, Unreachable("cannot reach the storage")))
    (trial,) = study.trials
    assert trial.state == TrialState.RUNNING and plan.FAILURE not in trial.user_attrs  # a dead worker's, and not over


def test_a_locked_folder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune.search.WRITE_SECONDS", 0.01)
    settings = made(tmp_path, trials=1)
    study = open_study(settings, InMemoryStorage())
    assert run_trial(study, settings, task=Stopped(settings, Locked("process 1 trains in it")))
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_trial_that_was_given_to_another_is_left_alone(tmp_path: Path) -> None:
    settings = made(tmp_path, trials=1)
    study = open_study(settings, InMemoryStorage())

    class Reaped(MadeTask):
        def run(self, *arguments: Any) -> Any:
            (trial,) = study.trials
            study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
            return super().run(*arguments)

    assert run_trial(study, settings, task=Reaped(settings))
    assert [one.state for one in study.trials] == [TrialState.FAIL]
    assert run_trial(study, settings) and not run_trial(study, settings)
    assert plan.tally(study, 2).complete == 1


def test_another_space_or_objective_is_refused_with_the_difference(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    search(made(tmp_path, trials=2), storage)
    with pytest.raises(UserError, match=r"another space: x: real, 0 to 10, not real, 0 to 9"):
        open_study(made(tmp_path, high=9.0), storage)
    with pytest.raises(UserError, match=r"another noise: 0\.5, not 0\.25"):
        open_study(made(tmp_path, noise=0.25), storage)
    with pytest.raises(UserError, match=r"another seeds: 3, not 4"):
        open_study(made(tmp_path, seeds=4), storage)
    open_study(made(tmp_path, sampler="random", pruner="median", trials=3), storage)  # these may change


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "tpee"}, "unknown sampler 'tpee'.*did you mean 'tpe'"),
        ({"pruner": "hyper"}, "unknown pruner 'hyper'.*did you mean 'hyperband'"),
        ({"pruner": "wilcoxon", "seeds": 4}, "--seeds 5"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_study(made(tmp_path, **changes), InMemoryStorage())


def test_an_unknown_study_is_refused(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    search(made(tmp_path, trials=1), storage)
    with pytest.raises(UserError, match=r"no study 'mad' in the storage \(it has: made\)"):
        load_study("mad", storage)
