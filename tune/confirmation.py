"""``python -m tune confirm``: the best trials and the default once more, on fresh seeds with the full budget.

The best of thirty trials owes some of its value to luck, so its value in the search says little. Here each candidate is
run anew, with seeds that the search has not seen, and compared with the default by the bootstrap interval of the
difference of their interquartile means. Runs are drawn with replacement within each candidate, as rliable does; the
interval is the bias-corrected and accelerated one. With n candidates each interval covers 1 - 0.05 / n, so that the
chance of a wrong winner stays that of one comparison. A candidate wins only where its interval lies above 0.

Several processes may confirm one study: each takes the runs that no other is at.

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
from tyro.conf import Positional

from common.cli import Command
from common.errors import UserError
from common.files import write_atomic
from common.records import from_plain, plain
from common.run_folder import Locked
from common.scores.statistics import bootstrap_interval, difference_interval, interquartile_mean
from common.seeds import derive_seeds
from tune import plan
from tune.gravitar_task import full_steps
from tune.search import load_study
from tune.settings import GravitarStudy, StudySettings, read_settings
from tune.storage import open_storage
from tune.task import Task
from tune.tasks import make_task

CONFIDENCE = 0.95
RESAMPLES = 10_000
FRESH = 2**20  # place of the first confirmation in the plan's numbers: beyond every trial
DEFAULT = "default"
EVIDENCE = "confirmation.json"
LEAST_SEEDS = 5  # with three runs each, one time in twenty all of one lie above all of the other by chance
WAIT = 5.0  # seconds between two looks at what other processes are at


@dataclass(frozen=True)
class ConfirmSettings(Command):
    """Run the best trials of a study and the default again, on fresh seeds with the full budget, and compare them."""

    study: Positional[Path]
    """The study's folder."""
    top: int = 3
    """How many of the best trials."""
    seeds: int = 5
    """Runs of each, with fresh seeds."""
    steps: int | None = None
    """Budget of each training, agent steps. Default: the configuration's n_timesteps."""
    storage: str = ""
    """Where the trials are kept, if another place than settings.yml says, or one with a password."""


@dataclass(frozen=True)
class Compared:
    """A candidate's runs, and how it compares with the default.

    :param name: ``default`` or ``trial 7``
    :param params: the trial's parameters, by the names in the space
    :param scores: of each run, in the objective's unit
    :param interval: of the interquartile mean, 95 %
    :param difference: by how much the interquartile mean is better than the default's; 0 for the default
    :param difference_interval: see the head of the file
    :param searched: the value that it had in the search
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
        """Whether it is better than the default beyond the interval."""
        return self.difference_interval[0] > 0


@dataclass(frozen=True)
class Confirmation:
    """What came of it.

    :param steps: budget of each run
    :param confidence: of each difference's interval
    """

    study: str
    metric: str
    steps: int
    seeds: tuple[int, ...]
    confidence: float
    compared: tuple[Compared, ...]

    @property
    def default(self) -> Compared:
        """The default's runs."""
        return self.compared[0]

    @property
    def best(self) -> Compared:
        """The candidate that is ahead of the default by most, whether it wins or not."""
        return max(self.compared[1:], key=lambda one: one.difference)

    def save(self, folder: Path) -> None:
        """Write ``confirmation.json`` and ``confirmation.md``."""
        write_atomic(folder / EVIDENCE, json.dumps(plain(self), indent=1) + "\n")
        write_atomic(folder / EVIDENCE.replace("json", "md"), self.markdown())

    @classmethod
    def load(cls, folder: Path) -> Confirmation:
        """Read ``confirmation.json``.

        :raises UserError: when it is absent or something else
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
        """One sentence."""
        best = self.best
        low, high = best.difference_interval
        margin = f"{best.difference:+.1f}, {100 * self.confidence:.3g}% interval [{low:.1f}, {high:.1f}]"
        if best.wins:
            return f"{best.name} is better than the default: {margin}."
        return f"No candidate is better than the default beyond its interval; the best is {best.name}: {margin}."


HEADER = ("values", "IQM", "95% interval", "difference from the default", "interval", "in the search", "runs")


def cells(one: Compared) -> list[str]:
    """A row of the table."""
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
    """Run what is not yet run, compare, write ``confirmation.json`` and ``confirmation.md`` into the study's folder.

    :raises UserError: for a study that cannot be confirmed, and when a run fails
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = read_settings(user.study)
    storage = open_storage(settings, user.storage)
    result = confirm_study(settings, storage, user.top, user.seeds, user.steps)
    result.save(settings.folder)
    show(result)
    print(f"{EVIDENCE} is in {settings.folder}; write the winner with: python -m tune export {settings.folder}")


def confirm_study(
    settings: StudySettings,
    storage: BaseStorage,
    top: int,
    seeds: int,
    steps: int | None = None,
    task: Task | None = None,
) -> Confirmation:
    """Run and compare.

    :raises UserError: when there is nothing to compare, numbers cannot be, or a run fails
    """
    if top < 1 or seeds < LEAST_SEEDS:
        raise UserError(f"--top must be at least 1, and --seeds at least {LEAST_SEEDS}: fewer runs cannot tell")
    study, _ = load_study(settings.name, storage)
    if len(study.directions) > 1:
        raise UserError(f"the study '{settings.name}' has {len(study.directions)} objectives; see its report instead")
    full = at_full_budget(settings, steps)
    task = task or make_task(full)
    candidates = [(DEFAULT, task.defaults(), default_value(study)), *best_trials(study, top)]
    # Beyond every trial of the search, and different for every study seed.
    fresh = derive_seeds((settings.seed, FRESH), seeds, bits=31)
    folder = settings.folder / "confirmation"
    scores = _all_runs(task, candidates, fresh, folder / f"steps-{getattr(full, 'steps', 0)}")
    return compare(settings, task, candidates, scores, fresh, getattr(full, "steps", 0))


def at_full_budget(settings: StudySettings, steps: int | None) -> StudySettings:
    """The study's settings with the budget that counts, and nothing that prunes.

    :raises UserError: for a budget below 1
    """
    if isinstance(settings, GravitarStudy):
        settings = dataclasses.replace(settings, steps=full_steps(settings) if steps is None else steps)
        settings.check()
    return dataclasses.replace(settings, pruner="none")


def best_trials(study: optuna.Study, top: int) -> list[tuple[str, dict[str, Any], float | None]]:
    """Name, parameters and value of the best finished trials, the best first; the default is not among them.

    :raises UserError: when no other trial than the default is finished
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    others = [one for one in done if one.user_attrs.get(plan.PLAN) != 0]
    if not others:
        raise UserError(f"the study '{study.study_name}' has no finished trial beside the default; search on")
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    ranked = sorted(others, key=lambda one: (sign * float(one.value or 0), one.number))
    return [(f"trial {one.user_attrs[plan.PLAN]}", dict(one.params), one.value) for one in ranked[:top]]


def default_value(study: optuna.Study) -> float | None:
    """What the default had in the search."""
    found: list[FrozenTrial] = plan.by_plan(study).get(0, [])
    return found[-1].value if found and found[-1].state == TrialState.COMPLETE else None


class _NoProgress:
    """Progress that nobody prunes."""

    def report(self, budget: int, value: float) -> bool:
        return False

    def spent(self, steps: int) -> None:
        pass


def _all_runs(
    task: Task, candidates: Sequence[tuple[str, dict[str, Any], float | None]], seeds: Sequence[int], folder: Path
) -> list[list[float]]:
    """The score of every candidate with every seed; what other processes are at is waited for."""
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
    """Interquartile means, intervals, differences.

    :param candidates: the default first
    :param scores: one of each seed, for each candidate
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
        table.add_column(name, overflow="fold")
    for one in result.compared:
        table.add_row(*cells(one))
    console = Console()
    console.print(table)
    console.print(result.verdict())
