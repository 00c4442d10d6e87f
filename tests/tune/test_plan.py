"""Which trials there are, whoever takes them and whatever becomes of them."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from tune import plan

DEFAULTS = {"x": 5.0}


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), direction="maximize")
    plan.plan(study, 3, DEFAULTS)
    return study


def die(study: optuna.Study, trial: optuna.Trial) -> None:
    study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)


def claim(study: optuna.Study) -> optuna.Trial:
    trial = plan.claim(study)
    assert trial is not None
    return trial


def test_every_trial_is_taken_once_and_the_first_has_the_defaults(study: optuna.Study) -> None:
    taken = [claim(study) for _ in range(3)]
    assert plan.claim(study) is None
    assert [trial.user_attrs["plan"] for trial in taken] == [0, 1, 2]
    assert taken[0].suggest_float("x", 0, 10) == 5.0


def test_planning_again_adds_only_what_is_missing(study: optuna.Study) -> None:
    plan.plan(study, 3, DEFAULTS)
    assert len(study.trials) == 3
    plan.plan(study, 5, DEFAULTS)
    assert [trial.user_attrs["plan"] for trial in study.trials] == [0, 1, 2, 3, 4]


def test_a_trial_that_two_processes_planned_runs_once(study: optuna.Study) -> None:
    study.enqueue_trial({}, user_attrs={"plan": 2, "attempt": 0})
    taken = [claim(study) for _ in range(3)]
    assert plan.claim(study) is None
    assert [trial.user_attrs["plan"] for trial in taken] == [0, 1, 2]
    assert plan.tally(study, 2).planned == 3


def test_a_lost_trial_waits_again_with_its_values_and_at_most_so_often(study: optuna.Study) -> None:
    trial = claim(study)
    value = trial.suggest_float("x", 0, 10), trial.suggest_int("n", 1, 9)
    for attempt in range(2):
        die(study, trial)
        assert plan.tally(study, retries=2).waiting == 3
        plan.requeue_lost(study, retries=2)
        plan.requeue_lost(study, retries=2)  # once is enough
        trials = [claim(study) for _ in range(3)]
        (trial,) = [one for one in trials if one.user_attrs["plan"] == 0]
        assert trial.user_attrs["attempt"] == attempt + 1
        assert (trial.suggest_float("x", 0, 10), trial.suggest_int("n", 1, 9)) == value
        for other in trials:
            if other.user_attrs["plan"] != 0:
                study._storage.set_trial_state_values(other._trial_id, state=TrialState.COMPLETE, values=[0.0])
        if attempt == 0:
            plan.plan(study, 5, DEFAULTS)  # two more, so that three can be taken
    die(study, trial)
    plan.requeue_lost(study, retries=2)
    assert plan.claim(study) is None
    count = plan.tally(study, retries=2)
    assert (count.planned, count.complete, count.failed, count.finished) == (5, 4, 1, 5)


def test_an_interruption_is_no_death_and_a_failure_is_final(study: optuna.Study) -> None:
    first, second, third = (claim(study) for _ in range(3))
    for _ in range(4):
        first.set_user_attr(plan.INTERRUPTED, True)
        die(study, first)
        plan.requeue_lost(study, retries=0)
        first = claim(study)
        assert first.user_attrs["plan"] == 0
    second.set_user_attr(plan.FAILURE, "not finite")
    die(study, second)
    study.tell(third, 1.0)
    plan.requeue_lost(study, retries=5)
    assert plan.claim(study) is None
    count = plan.tally(study, retries=5)
    assert (count.running, count.failed, count.complete, count.finished) == (1, 1, 1, 2)


def test_steps_of_lost_attempts_are_counted(study: optuna.Study) -> None:
    trial = claim(study)
    trial.set_user_attr(plan.STEPS, 70)
    die(study, trial)
    plan.requeue_lost(study, retries=2)
    for _ in range(3):
        trial = claim(study)
        trial.set_user_attr(plan.STEPS, 100)
        study.tell(trial, 1.0)
    assert plan.tally(study, 2).steps == 370
