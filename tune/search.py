"""A study: created once, continued by any process, one trial after the other.

    study = open_study(settings, storage, task)
    while run_trial(study, settings, task): ...

The values of a trial depend on the study's seed, its place in the plan and the trials before it, the seeds of its runs
on the first two. With one worker a study is therefore the same, bit for bit, however often it was stopped.

Credits: Optuna (Akiba et al. 2019, arXiv 1907.10902); NumPy's SeedSequence.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from common.errors import Interrupted, UserError, first_line
from common.records import plain
from common.run_folder import Locked
from common.seeds import derive_seeds
from tune import plan
from tune.samplers import SeededSampler, check_names, make_pruner
from tune.settings import StudySettings, from_text
from tune.spaces import describe, distributions
from tune.storage import Unreachable
from tune.task import Outcome, Params, Pruned, Task
from tune.tasks import make_task

DEFINITION, SETTINGS = "definition", "settings"  # user attributes of a study
PER_SEED = "per_seed"  # user attribute of a trial: the values of each seed
WRITE_SECONDS = 2.0  # between two updates of a trial's number of steps in the storage


def open_study(settings: StudySettings, storage: BaseStorage, task: Task | None = None) -> optuna.Study:
    """Create the study, or check the existing one of this name, and enqueue its missing trials.

    :param task: default: made from the settings
    :raises UserError: for an unknown sampler or pruner, and for an existing study with another definition
    """
    task = task or make_task(settings)
    check_names(settings.sampler, settings.pruner, len(task.directions), settings.seeds)
    now = definition(settings, task)
    try:
        study = optuna.create_study(study_name=settings.name, storage=storage, directions=list(task.directions))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(task.metrics))
        study.set_user_attr(DEFINITION, now)
    except DuplicatedStudyError:
        study = optuna.load_study(study_name=settings.name, storage=storage)
        _refuse_another(settings.name, study.user_attrs.get(DEFINITION), now)
        study.set_user_attr(DEFINITION, now)  # if its creator was killed before this
    study.set_user_attr(SETTINGS, settings.to_yaml())
    _equip(study, settings)
    plan.plan(study, settings.trials, task.defaults())
    return study


def load_study(name: str, storage: BaseStorage) -> tuple[optuna.Study, StudySettings]:
    """An existing study, and the settings with which it was last opened.

    :raises UserError: when there is no study of this name
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        known = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise UserError(f"there is no study '{name}' in the storage (it has: {known})") from error
    text = study.user_attrs.get(SETTINGS)
    if text is None:
        raise UserError(f"the study '{name}' was not made here, or its making was cut short; open it again")
    settings = from_text(text, f"the study '{name}'")
    _equip(study, settings)
    return study, settings


def definition(settings: StudySettings, task: Task) -> dict[str, Any]:
    """Everything that has to be equal for values to be comparable: task, objectives, seeds and space."""
    kinds = distributions(task.space, task.defaults())
    return {
        "task": settings.task,
        "objectives": [f"{way} {metric}" for way, metric in zip(task.directions, task.metrics, strict=True)],
        "seeds": settings.seeds,
        "seed": settings.seed,
        "space": {name: describe(kind) for name, kind in kinds.items()},
        **plain(task.definition()),
    }


def run_trial(
    study: optuna.Study,
    settings: StudySettings,
    *,
    worker: str = "",
    task: Task | None = None,
) -> bool:
    """Claim a waiting trial, run it, and store its result.

    :param worker: name of this worker, for the table
    :param task: default: made from the settings
    :return: False when no trial is waiting, or ``total_steps`` are spent
    :raises Interrupted: after a signal; the trial waits again, and resumes where it was saved
    :raises KeyboardInterrupt: likewise
    """
    task = task or make_task(settings)
    plan.requeue_lost(study, settings.retries)
    if _is_spent(study, settings):
        return False
    trial = plan.claim(study)
    if trial is None:
        return False
    try:
        trial.set_user_attr(plan.WORKER, worker)
        _run(study, settings, trial, task)
    except UpdateFinishedTrialError:
        # This worker was taken for dead, and another continues the trial.
        print(f"trial {trial.user_attrs[plan.PLAN]} was given to another worker meanwhile")
    return True


def _run(study: optuna.Study, settings: StudySettings, trial: optuna.Trial, task: Task) -> None:
    number = int(trial.user_attrs[plan.PLAN])
    folder = settings.folder / "trials" / f"trial-{number:04d}"
    seeds = trial_seeds(settings.seed, number, settings.seeds)
    progress = _Progress(trial, settings)
    began = time.monotonic()
    result = "pruned"
    try:
        params = task.space(trial)
        outcome = _run_unlocked(task, params, seeds, folder, progress)
        _check_finite(outcome)
        progress.close()
        trial.set_user_attr(PER_SEED, plain(outcome.per_seed))
        _tell(study, trial, values=list(outcome.values))
        result = ", ".join(f"{value:.4g}" for value in outcome.values)
    except Pruned:
        progress.close()
        _tell(study, trial, state=TrialState.PRUNED)
    except (Interrupted, KeyboardInterrupt):
        progress.close()
        trial.set_user_attr(plan.INTERRUPTED, True)
        _tell(study, trial, state=TrialState.FAIL)
        plan.requeue_lost(study, settings.retries)
        raise
    except (UpdateFinishedTrialError, StorageInternalError, Unreachable):
        raise  # not failures of the trial itself
    except Exception as error:
        progress.close()
        reason = first_line(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
        trial.set_user_attr(plan.FAILURE, reason)
        _tell(study, trial, state=TrialState.FAIL)
        result = f"failed: {reason}"
    print(f"trial {number}: {result} ({progress.steps:,} steps, {time.monotonic() - began:.0f} s)", flush=True)


def _run_unlocked(task: Task, params: Params, seeds: list[int], folder: Path, progress: _Progress) -> Outcome:
    """Run the trial. While a worker that was taken for dead still runs it, wait; then resume its trainings."""
    while True:
        try:
            return task.run(params, seeds, folder, progress)
        except Locked:
            progress.close()
            time.sleep(WRITE_SECONDS)


def trial_seeds(seed: int, number: int, count: int) -> list[int]:
    """The seeds of a trial's runs, 0 to 2**31 - 1.

    :param seed: the study's seed
    :param number: the trial's place in the plan
    """
    return derive_seeds((seed, number), count, bits=31)


def over(study: optuna.Study, settings: StudySettings, began: float) -> bool:
    """Whether no further trial may begin: all are finished, or the steps or hours are spent.

    :param began: ``time.monotonic()`` at the start of the command
    """
    late = settings.hours is not None and time.monotonic() - began > settings.hours * 3600
    if late or _is_spent(study, settings):
        return True
    count = plan.tally(study, settings.retries)
    return count.finished >= count.planned


class _Progress:
    """Writes a trial's progress to the storage."""

    def __init__(self, trial: optuna.Trial, settings: StudySettings) -> None:
        self.trial = trial
        self.prunes = settings.pruner != "none"
        self.steps = 0
        self._written_at = -np.inf

    def report(self, budget: int, value: float) -> bool:
        self.close()
        if not np.isfinite(value):
            raise UserError(f"the value after {budget:,} steps is not finite", status=1)
        if not self.prunes:
            return False
        self.trial.report(value, budget)
        return self.trial.should_prune()

    def spent(self, steps: int) -> None:
        self.steps = steps
        now = time.monotonic()
        if now - self._written_at >= WRITE_SECONDS:
            self._written_at = now
            self.close()

    def close(self) -> None:
        """Write the number of steps."""
        self.trial.set_user_attr(plan.STEPS, self.steps)


def _equip(study: optuna.Study, settings: StudySettings) -> None:
    study.sampler = SeededSampler(settings.sampler, settings.seed)
    study.pruner = make_pruner(settings.pruner, getattr(settings, "steps", 1))


def _is_spent(study: optuna.Study, settings: StudySettings) -> bool:
    return settings.total_steps is not None and plan.tally(study, settings.retries).steps >= settings.total_steps


def _check_finite(outcome: Outcome) -> None:
    """:raises UserError: for a value that is not finite"""
    if not np.isfinite(outcome.values).all():
        raise UserError(f"the values {', '.join(f'{value:g}' for value in outcome.values)} are not finite", status=1)


def _tell(study: optuna.Study, trial: optuna.Trial, **what: Any) -> None:
    """:raises UpdateFinishedTrialError: when another process has finished the trial"""
    try:
        study.tell(trial, **what)
    except ValueError as error:  # raised by Optuna when it notices that before writing
        raise UpdateFinishedTrialError from error


def _refuse_another(name: str, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """:raises UserError: when the definitions differ; the message names the first difference"""
    if before is None:
        return
    old, new = _flat(before), _flat(now)
    for key in sorted({*old, *new}):
        was, has = old.get(key, "not there"), new.get(key, "not there")
        if was != has:
            raise UserError(f"the study '{name}' has another {key}: {was}, not {has}; choose another --name")


def _flat(content: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings as a flat one, with keys such as ``space: learning_rate``."""
    if not isinstance(content, Mapping):
        return {name: content}
    return {
        key: value
        for inner, part in content.items()
        for key, value in _flat(part, f"{name}: {inner}" if name else str(inner)).items()
    }
