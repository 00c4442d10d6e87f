"""The plan of a study: its trials, their states, and how workers take them.

All trials are enqueued in advance, with numbers ``plan`` from 0 to N - 1 and ``attempt`` 0. A worker claims one with a
compare-and-set operation of the storage. If the worker of an attempt dies, the next attempt is enqueued with the same
values. So the number of finished trials is exact, however many workers join and leave.

Every function here may be called by any process at any time. If two processes enqueue the same attempt, the one with
the higher number is ignored.

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
FAILURE = "failure"  # the reason of a failure of the trial itself, which is not retried; one line
INTERRUPTED = "interrupted"  # the worker was stopped by a signal; not counted as a death
STEPS = "steps"  # of this attempt
WORKER = "worker"


@dataclass(frozen=True)
class Tally:
    """The numbers of trials by state.

    :param planned: trials in all
    :param waiting: trials that no worker has claimed yet, including retries
    :param steps: steps of all attempts, including lost ones
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
        """Trials that will not be run again."""
        return self.complete + self.pruned + self.failed


def plan(study: optuna.Study, trials: int, defaults: dict[str, Any]) -> None:
    """Enqueue the missing ones of ``trials`` trials; trial 0 has the default values."""
    known = {trial.user_attrs[PLAN] for trial in planned_trials(study)}
    for number in range(trials):
        if number not in known:
            study.enqueue_trial(defaults if number == 0 else {}, user_attrs={PLAN: number, ATTEMPT: 0})


def claim(study: optuna.Study) -> optuna.Trial | None:
    """Claim the first waiting trial of the plan; None when there is none."""
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
    """Enqueue another attempt of every trial whose latest one was lost.

    :param retries: a trial is given up after more deaths of its workers than this
    """
    for attempts in by_plan(study).values():
        last = attempts[-1]
        if not _is_lost(last) or _deaths(attempts) > retries:
            continue
        # Values that the attempt did not sample any more are sampled again, with the same seed.
        params = {**last.system_attrs.get("fixed_params", {}), **last.params}
        attributes = {PLAN: last.user_attrs[PLAN], ATTEMPT: last.user_attrs[ATTEMPT] + 1}
        study.enqueue_trial(params, user_attrs=attributes)


def tally(study: optuna.Study, retries: int) -> Tally:
    """Count the trials by state."""
    count = dict.fromkeys(TrialState, 0)
    groups = by_plan(study)
    for attempts in groups.values():
        last = attempts[-1]
        # A lost attempt counts as waiting if another may follow it.
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
    """The trials of the plan in the order of their numbers, without duplicates."""
    seen = set()
    trials = []
    for trial in study.get_trials(deepcopy=False):
        key = (trial.user_attrs.get(PLAN), trial.user_attrs.get(ATTEMPT))
        if None not in key and key not in seen:
            seen.add(key)
            trials.append(trial)
    return trials


def by_plan(study: optuna.Study) -> dict[int, list[FrozenTrial]]:
    """The attempts of each trial, in their order, by the trial's place in the plan."""
    groups: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(planned_trials(study), key=lambda trial: int(trial.user_attrs[ATTEMPT])):
        groups.setdefault(trial.user_attrs[PLAN], []).append(trial)
    return dict(sorted(groups.items()))


def numbered(trial: FrozenTrial) -> FrozenTrial:
    """A copy of an attempt that has the trial's place in the plan as its number."""
    same = copy.copy(trial)
    same.number = int(trial.user_attrs[PLAN])
    return same


class InPlanOrder(optuna.Study):
    """A view of a study as if no attempt had been lost: the latest attempt of each trial, numbered by the plan.

    Samplers and pruners get this view, so that their decisions do not depend on interruptions.
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
