"""Which trials a study has, what became of them, and how workers take them.

Every trial is made in advance and waits: trial ``plan`` of 0 to N - 1, ``attempt`` 0. A worker takes one with a
compare-and-set of the storage. Where the attempt's worker died, the next attempt waits with the same values. So the
number of finished trials is exact, however many workers come and go.

Everything here may be called by any process at any time. Two processes that enqueue the same attempt make it twice;
the one with the higher number is passed over for ever.

Credits: Optuna (Akiba et al. 2019, arXiv 1907.10902), whose ``enqueue_trial`` and states of trials these are.
"""

from __future__ import annotations

import copy
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

# User attributes of trials.
PLAN, ATTEMPT = "plan", "attempt"
FAILURE = "failure"  # one line: why the trial failed by itself, which is final
INTERRUPTED = "interrupted"  # the worker was asked to stop, which is not counted as a death
STEPS = "steps"  # steps made by this attempt
WORKER = "worker"


@dataclass(frozen=True)
class Tally:
    """What became of the trials.

    :param planned: trials asked for
    :param waiting: trials that no worker has taken yet, retries included
    :param steps: steps made in all, those of lost attempts included
    """

    planned: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    steps: int

    @property
    def finished(self) -> int:
        """Trials that will not run again."""
        return self.complete + self.pruned + self.failed


def plan(study: optuna.Study, trials: int, defaults: dict[str, Any]) -> None:
    """Enqueue what is missing of ``trials`` trials; trial 0 has the defaults."""
    known = {trial.user_attrs[PLAN] for trial in planned_trials(study)}
    for number in range(trials):
        if number not in known:
            study.enqueue_trial(defaults if number == 0 else {}, user_attrs={PLAN: number, ATTEMPT: 0})


def claim(study: optuna.Study) -> optuna.Trial | None:
    """Take the first trial of the plan that waits; None when there is none."""
    storage = study._storage
    for waiting in sorted(planned_trials(study), key=lambda trial: int(trial.user_attrs[PLAN])):
        if waiting.state != TrialState.WAITING:
            continue
        try:
            if storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING):
                return optuna.Trial(study, waiting._trial_id)
        except UpdateFinishedTrialError:
            continue
    return None


def requeue_lost(study: optuna.Study, retries: int) -> None:
    """Let every trial wait again whose last attempt was lost, at most ``retries`` times for workers that died."""
    for attempts in by_plan(study).values():
        last = attempts[-1]
        if not _is_lost(last) or _deaths(attempts) > retries:
            continue
        # What the attempt did not live to choose is chosen anew, from the same seed.
        params = {**last.system_attrs.get("fixed_params", {}), **last.params}
        attributes = {PLAN: last.user_attrs[PLAN], ATTEMPT: last.user_attrs[ATTEMPT] + 1}
        study.enqueue_trial(params, user_attrs=attributes)


def tally(study: optuna.Study, retries: int) -> Tally:
    """Count."""
    count = dict.fromkeys(TrialState, 0)
    groups = by_plan(study)
    for attempts in groups.values():
        last = attempts[-1]
        # An attempt that was lost is as good as waiting, as long as another may follow it.
        again = _is_lost(last) and _deaths(attempts) <= retries
        count[TrialState.WAITING if again else last.state] += 1
    return Tally(
        planned=len(groups),
        complete=count[TrialState.COMPLETE],
        pruned=count[TrialState.PRUNED],
        failed=count[TrialState.FAIL],
        running=count[TrialState.RUNNING],
        waiting=count[TrialState.WAITING],
        steps=sum(int(trial.user_attrs.get(STEPS, 0)) for trial in study.get_trials(deepcopy=False)),
    )


def planned_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of the plan in the order of their numbers, without those that are there twice."""
    seen = set()
    trials = []
    for trial in study.get_trials(deepcopy=False):
        key = (trial.user_attrs.get(PLAN), trial.user_attrs.get(ATTEMPT))
        if None not in key and key not in seen:
            seen.add(key)
            trials.append(trial)
    return trials


def by_plan(study: optuna.Study) -> dict[int, list[FrozenTrial]]:
    """The attempts of each trial of the plan, the first one first."""
    groups: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(planned_trials(study), key=lambda trial: int(trial.user_attrs[ATTEMPT])):
        groups.setdefault(trial.user_attrs[PLAN], []).append(trial)
    return dict(sorted(groups.items()))


def numbered(trial: FrozenTrial) -> FrozenTrial:
    """A copy of a trial whose number is its place in the plan, whichever attempt it is."""
    same = copy.copy(trial)
    same.number = int(trial.user_attrs[PLAN])
    return same


class InPlanOrder(optuna.Study):
    """A study as if no attempt had been lost: the last one of each trial, numbered by its place in the plan.

    Samplers and pruners look at this one, so that what they choose does not depend on what was stopped in between.
    """

    def __init__(self, study: optuna.Study) -> None:
        super().__init__(study.study_name, study._storage, study.sampler, study.pruner)
        self._study = study

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        last = [numbered(attempts[-1]) for attempts in by_plan(self._study).values()]
        return [trial for trial in last if states is None or trial.state in states]


def _is_lost(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs


def _deaths(attempts: list[FrozenTrial]) -> int:
    return sum(_is_lost(trial) and not trial.user_attrs.get(INTERRUPTED) for trial in attempts)
