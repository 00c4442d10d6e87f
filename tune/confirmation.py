"""``python -m tune confirm``: the best trials and the default again, with new seeds and the full budget.

The best of thirty trials was partly lucky, so its value in the search is biased upwards. Here each candidate is run
again, with seeds that the search has not used, and compared with the default by the bootstrap interval of the
difference of their interquartile means. Runs are resampled with replacement within each candidate, as in rliable; the
interval is the bias-corrected and accelerated one. With n candidates each interval covers 1 - 0.05 / n, so that the
probability of a wrong winner is that of a single comparison. A candidate wins only if its interval lies above 0.

Several processes may confirm one study: each takes runs that no other process is working on.

Credits: R. Agarwal et al. 2021 (arXiv 2108.13264, stratified bootstrap intervals of the interquartile mean; library
rliable, whose published version does not import beside pandas 3); B. Efron 1987 (doi 10.1080/01621459.1987.10478410,
BCa intervals); C. E. Bonferroni 1936 for several comparisons.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from common.errors import UserError
from common.files import write_atomic
from common.records import from_plain, plain
from common.run_folder import Locked
from common.scores.statistics import bootstrap_interval, difference_interval, interquartile_mean
from common.seeds import derive_seeds
from common.tables import print_table
from tune import plan
from tune.gravitar_task import full_steps
from tune.options import ConfirmSettings
from tune.search import load_study
from tune.settings import GravitarStudy, StudySettings, read_settings
from tune.storage import open_storage
from tune.task import Task
from tune.tasks import make_task

CONFIDENCE = 0.95
RESAMPLES = 10_000
FRESH = 2**20  # in place of a trial's number in the derivation of seeds; above all trial numbers
DEFAULT = "default"
EVIDENCE = "confirmation.json"
LEAST_SEEDS = 5  # with three runs each, all of one are above all of the other in one of twenty cases by chance
WAIT = 5.0  # seconds between checks of the runs of other processes


@dataclass(frozen=True)
class Compared:
    """A candidate's runs, and its comparison with the default.

    :param name: ``default``, or such as ``trial 7``
    :param params: the trial's parameters, by their names in the search space
    :param values: the hyperparameters or settings that the space made of them
    :param scores: the score of each run, in the objective's unit
    :param iqm: interquartile mean of the scores
    :param interval: 95 % interval of the interquartile mean
    :param difference: improvement of the interquartile mean over the default's; 0 for the default
    :param difference_interval: see the docstring of this module
    :param searched: the trial's value in the search
    """

    name: str
    params: dict[str, Any]
    values: dict[str, Any]
    scores: tuple[float, ...]
    iqm: float
    interval: tuple[float, ...]
    difference: float
    difference_interval: tuple[float, ...]
    searched: float | None

    @property
    def wins(self) -> bool:
        """Whether the whole interval of the difference is above 0."""
        return self.difference_interval[0] > 0


@dataclass(frozen=True)
class Confirmation:
    """The result of a confirmation.

    :param study: the study's name
    :param metric: the objective, with its unit
    :param steps: budget of each run, agent steps
    :param confidence: confidence of the intervals of the differences
    :param compared: the default first, then the candidates
    """

    study: str
    metric: str
    steps: int
    seeds: tuple[int, ...]
    confidence: float
    compared: tuple[Compared, ...]

    @property
    def default(self) -> Compared:
        """The default."""
        return self.compared[0]

    @property
    def best(self) -> Compared:
        """The candidate with the largest difference, whether it wins or not."""
        return max(self.compared[1:], key=lambda one: one.difference)

    def save(self, folder: Path) -> None:
        """Write ``confirmation.json`` and ``confirmation.md``."""
        write_atomic(folder / EVIDENCE, json.dumps(plain(self), indent=1) + "\n")
        write_atomic(folder / EVIDENCE.replace("json", "md"), self.markdown())

    @classmethod
    def load(cls, folder: Path) -> Confirmation:
        """Read ``confirmation.json``.

        :raises UserError: when it is missing or not valid
        """
        try:
            return from_plain(cls, json.loads((folder / EVIDENCE).read_text()))
        except OSError as error:
            raise UserError(f"{folder} has no {EVIDENCE}; make it with: python -m tune confirm {folder}") from error
        except ValueError as error:
            raise UserError(f"{folder / EVIDENCE} is not what was written ({error}); confirm again") from error

    def markdown(self) -> str:
        """The table and the verdict as Markdown."""
        lines = [
            f"# Confirmation of {self.study}",
            "",
            f"{self.metric}; {len(self.seeds)} runs of {self.steps:,} steps.",
        ]
        lines += ["", f"| {' | '.join(HEADER)} |", "|" + " --- |" * len(HEADER)]
        lines += [f"| {' | '.join(cells(one))} |" for one in self.compared]
        return "\n".join([*lines, "", self.verdict(), ""])

    def verdict(self) -> str:
        """The result in one sentence."""
        best = self.best
        low, high = best.difference_interval
        margin = f"{best.difference:+.1f}, {100 * self.confidence:.3g}% interval [{low:.1f}, {high:.1f}]"
        if best.wins:
            return f"{best.name} is better than the default: {margin}."
        return f"No candidate is better than the default beyond its interval; the best is {best.name}: {margin}."


HEADER = ("values", "IQM", "95% interval", "difference from the default", "interval", "in the search", "runs")


def cells(one: Compared) -> list[str]:
    """The cells of a candidate's row in the table, in the order of ``HEADER``."""
    is_default = one.name == DEFAULT
    return [
        one.name,
        f"{one.iqm:.1f}",
        f"[{one.interval[0]:.1f}, {one.interval[1]:.1f}]",
        "" if is_default else f"{one.difference:+.1f}",
        "" if is_default else f"[{one.difference_interval[0]:.1f}, {one.difference_interval[1]:.1f}]",
        "" if one.searched is None else f"{one.searched:.1f}",
        " ".join(f"{score:.0f}" for score in one.scores),
    ]


def confirm(user: ConfirmSettings) -> None:
    """Do the missing runs, compare, and write ``confirmation.json`` and ``confirmation.md`` to the study's folder.

    :raises UserError: for a study that cannot be confirmed, and when a run fails
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = read_settings(user.study)
    storage = open_storage(settings, user.storage)
    result = confirm_study(settings, storage, user.top, user.seeds, user.steps)
    result.save(settings.folder)
    show(result)
    print(f"{EVIDENCE} is in {settings.folder}")
    if result.best.wins and isinstance(settings, GravitarStudy):
        print(f"write the winner with: python -m tune export {settings.folder}")


def confirm_study(
    settings: StudySettings,
    storage: BaseStorage,
    top: int,
    seeds: int,
    steps: int | None = None,
    task: Task | None = None,
) -> Confirmation:
    """Do the missing runs and compare.

    :param top: number of candidates, at least 1
    :param seeds: runs of each, at least ``LEAST_SEEDS``
    :param steps: budget of each run; default: the configuration's
    :param task: default: made from the settings
    :raises UserError: when a number is out of range, there is nothing to compare, or a run fails
    """
    if top < 1 or seeds < LEAST_SEEDS:
        raise UserError(f"--top must be at least 1, and --seeds at least {LEAST_SEEDS}: fewer runs cannot tell")
    study, _ = load_study(settings.name, storage)
    if len(study.directions) > 1:
        raise UserError(f"the study '{settings.name}' has {len(study.directions)} objectives; see its report instead")
    full = at_full_budget(settings, steps)
    task = task or make_task(full)
    candidates = [(DEFAULT, task.defaults(), default_value(study)), *best_trials(study, top)]
    # Unlike the seeds of all trials, and different for every study seed.
    fresh = derive_seeds((settings.seed, FRESH), seeds, bits=31)
    folder = settings.folder / "confirmation"
    scores = _all_runs(task, candidates, fresh, folder / f"steps-{getattr(full, 'steps', 0)}")
    return compare(settings, task, candidates, scores, fresh, getattr(full, "steps", 0))


def at_full_budget(settings: StudySettings, steps: int | None) -> StudySettings:
    """The study's settings with the full budget and without a pruner.

    :raises UserError: for a budget below 1
    """
    if isinstance(settings, GravitarStudy):
        settings = dataclasses.replace(settings, steps=full_steps(settings) if steps is None else steps)
        settings.check()
    return dataclasses.replace(settings, pruner="none")


def best_trials(study: optuna.Study, top: int) -> list[tuple[str, dict[str, Any], float | None]]:
    """Name, parameters and value of the best finished trials without the default, the best first.

    :raises UserError: when no trial but the default is finished
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    others = [one for one in done if one.user_attrs.get(plan.PLAN) != 0]
    if not others:
        raise UserError(f"the study '{study.study_name}' has no finished trial beside the default; search on")
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    ranked = sorted(others, key=lambda one: (sign * float(one.value or 0), one.number))
    return [(f"trial {one.user_attrs[plan.PLAN]}", dict(one.params), one.value) for one in ranked[:top]]


def default_value(study: optuna.Study) -> float | None:
    """The value of the default in the search; None if its trial is not finished."""
    found: list[FrozenTrial] = plan.by_plan(study).get(0, [])
    return found[-1].value if found and found[-1].state == TrialState.COMPLETE else None


class _NoProgress:
    """Progress that is not recorded and never prunes."""

    def report(self, budget: int, value: float) -> bool:
        return False

    def spent(self, steps: int) -> None:
        pass


def _all_runs(
    task: Task, candidates: Sequence[tuple[str, dict[str, Any], float | None]], seeds: Sequence[int], folder: Path
) -> list[list[float]]:
    """The score of every candidate with every seed; waits for the runs of other processes."""
    scores: dict[tuple[int, int], float] = {}
    announced: set[tuple[int, int]] = set()
    wanted = [(index, k) for k in range(len(seeds)) for index in range(len(candidates))]
    while len(scores) < len(wanted):
        for index, k in wanted:
            if (index, k) in scores:
                continue
            name, params, _ = candidates[index]
            place = folder / name.replace(" ", "-") / f"run-{k}"
            result = place / "score.json"
            if not result.exists():
                if (index, k) not in announced:
                    print(f"{name}, run {k + 1} of {len(seeds)}", flush=True)
                    announced.add((index, k))
                try:
                    outcome = task.run(task.space(FixedTrial(params)), [seeds[k]], place, _NoProgress())
                except Locked:
                    continue
                write_atomic(
                    result, json.dumps({"seed": seeds[k], "params": params, "value": outcome.values[0]}) + "\n"
                )
            kept = json.loads(result.read_text())
            if kept["seed"] != seeds[k] or kept["params"] != params:
                raise UserError(f"{place} holds a run of other values; move {folder} away", status=1)
            scores[index, k] = float(kept["value"])
        if len(scores) < len(wanted):
            time.sleep(WAIT)
    return [[scores[index, k] for k in range(len(seeds))] for index in range(len(candidates))]


def compare(
    settings: StudySettings,
    task: Task,
    candidates: Sequence[tuple[str, dict[str, Any], float | None]],
    scores: Sequence[Sequence[float]],
    seeds: Sequence[int],
    steps: int,
) -> Confirmation:
    """Compute interquartile means, intervals and differences.

    :param candidates: name, parameters and value in the search; the default first
    :param scores: for each candidate the score with each seed
    """
    generator = np.random.default_rng(settings.seed)
    less_is_better = task.directions[0] == "minimize"
    confidence = 1 - (1 - CONFIDENCE) / (len(candidates) - 1)
    compared: list[Compared] = []
    for (name, params, searched), runs in zip(candidates, scores, strict=True):
        interval = bootstrap_interval(runs, interquartile_mean, CONFIDENCE, RESAMPLES, generator=generator)
        first, second = (scores[0], runs) if less_is_better else (runs, scores[0])
        between = (0.0, 0.0)
        if compared:
            between = difference_interval(first, second, interquartile_mean, confidence, RESAMPLES, generator=generator)
        compared.append(
            Compared(
                name=name,
                params=params,
                values=plain(task.space(FixedTrial(params))),
                scores=tuple(float(score) for score in runs),
                iqm=float(interquartile_mean(runs)),
                interval=interval,
                difference=float(interquartile_mean(first) - interquartile_mean(second)),
                difference_interval=between,
                searched=searched,
            )
        )
    return Confirmation(settings.name, task.metrics[0], steps, tuple(seeds), confidence, tuple(compared))


def show(result: Confirmation) -> None:
    """Print the table and the verdict."""
    table = Table(title=f"{result.metric}; {len(result.seeds)} runs of {result.steps:,} steps")
    for name in HEADER:
        table.add_column(name)
    for one in result.compared:
        table.add_row(*cells(one))
    console = Console()
    print_table(console, table)
    console.print(result.verdict())
