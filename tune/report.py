"""``python -m tune report``: results and cost of a study as one HTML file and PNGs.

Importances are those of PED-ANOVA: how much each parameter distinguishes the better trials from the others.

Credits: Optuna (Akiba et al. 2019, arXiv 1907.10902); Watanabe et al. 2023 (arXiv 2304.10255, PED-ANOVA).
"""

from __future__ import annotations

import base64
import html
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from common.errors import UserError
from common.files import write_atomic
from tune import figures, plan
from tune.confirmation import EVIDENCE, HEADER, Confirmation, cells
from tune.options import ReportSettings
from tune.search import PER_SEED, load_study
from tune.settings import StudySettings, read_settings
from tune.storage import open_storage

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;
text-align:left;white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}
img{max-width:100%;height:auto}h2{margin-top:2.2rem}tr.default{background:#eef7f3}p.note{color:#555}"""
NAME = "report.html"


def report(user: ReportSettings) -> None:
    """Write the report.

    :raises UserError: when there is no such study, or no trial is over yet
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = read_settings(user.study)
    storage = open_storage(settings, user.storage)
    folder = user.output or settings.folder / "report"
    path = write_report(settings, storage, folder, user.top)
    print(f"{path}, and each picture beside it")


def write_report(settings: StudySettings, storage: BaseStorage, folder: Path, top: int = 10) -> Path:
    """Write ``report.html`` and the PNGs.

    :return: the path of ``report.html``
    :raises UserError: when no trial is over yet
    """
    study, _ = load_study(settings.name, storage)
    last = {number: attempts[-1] for number, attempts in plan.by_plan(study).items()}
    if not any(one.state.is_finished() for one in last.values()):
        raise UserError(f"no trial of '{settings.name}' is over yet; run the search first")
    pictures = {name: figures.png(figure) for name, figure in make_figures(study, last).items()}
    for name, content in pictures.items():
        write_atomic(folder / f"{name}.png", content)
    path = folder / NAME
    write_atomic(path, page(study, settings, last, pictures, top))
    return path


def make_figures(study: optuna.Study, last: Mapping[int, FrozenTrial]) -> dict[str, Figure]:
    """All figures for which there are enough trials, by file name without ``.png``.

    :param last: the latest attempt of each trial, by its place in the plan
    """
    complete = [one for one in last.values() if one.state == TrialState.COMPLETE]
    metrics = study.metric_names or [f"objective {k}" for k in range(len(study.directions))]
    made = {}
    if len(metrics) == 2 and complete:
        made["front"] = figures.front(complete, study.best_trials, metrics, _number)
    for k, (metric, sign) in enumerate(zip(metrics, signs(study), strict=True)):
        end = f"-{k + 1}" if len(metrics) > 1 else ""
        made[f"history{end}"] = figures.history(last, k, metric, sign)
        shares = importances(study, k)
        if shares:
            made[f"importances{end}"] = figures.importances(shares, metric)
        if complete:
            made[f"parallel{end}"] = figures.parallel(complete, kinds_of(complete), k, metric, sign)
    made["cost"] = figures.cost(spent(study), "steps")
    return made


def importances(study: optuna.Study, objective: int) -> dict[str, float]:
    """The importance of each parameter, which sum to 1; empty for too few trials."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # PED-ANOVA takes the trials with the lowest targets as the better ones.
            sign = -signs(study)[objective]
            shares = optuna.importance.get_param_importances(study, target=lambda one: sign * one.values[objective])
    except (ValueError, RuntimeError, ZeroDivisionError):
        return {}
    finally:
        optuna.logging.set_verbosity(before)
    return shares if sum(shares.values()) > 0 else {}


def kinds_of(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """The distributions of all parameters of the trials."""
    return {name: kind for one in trials for name, kind in one.distributions.items()}


def signs(study: optuna.Study) -> list[float]:
    """For each objective 1 if it is maximised, -1 if it is minimised."""
    return [1.0 if way == StudyDirection.MAXIMIZE else -1.0 for way in study.directions]


def spent(study: optuna.Study) -> dict[str, int]:
    """Steps of finished, pruned, failed, and lost or running attempts."""
    parts = {"finished": 0, "pruned": 0, "failed": 0, "lost or running": 0}
    names = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned"}
    for one in study.get_trials(deepcopy=False):
        kind = names.get(one.state, "failed" if plan.FAILURE in one.user_attrs else "lost or running")
        parts[kind] += int(one.user_attrs.get(plan.STEPS, 0))
    return parts


def ranked(study: optuna.Study, last: Mapping[int, FrozenTrial]) -> list[FrozenTrial]:
    """Finished trials, the best first; with two objectives those of the Pareto front and the default, by the first."""
    sign = signs(study)[0]
    done = [one for one in last.values() if one.state == TrialState.COMPLETE]
    if len(study.directions) > 1:
        best = {one.number for one in study.best_trials}
        done = [one for one in done if one.number in best or _number(one) == 0]
    return sorted(done, key=lambda one: (-sign * one.values[0], one.number))


def page(
    study: optuna.Study,
    settings: StudySettings,
    last: Mapping[int, FrozenTrial],
    pictures: Mapping[str, bytes],
    top: int,
) -> str:
    """The report as one HTML file."""
    count = plan.tally(study, settings.retries)
    metrics = study.metric_names or []
    lines = [f"<h1>{html.escape(settings.name)}</h1>"]
    lines.append(
        f"<p>{count.finished} of {count.planned} trials are over: {count.complete} finished, {count.pruned} pruned, "
        f"{count.failed} failed; {count.steps:,} steps, {_hours(study):.2f} hours of work. Sampler "
        f"{html.escape(settings.sampler)}, pruner {html.escape(settings.pruner)}, seeds a trial: {settings.seeds}, "
        f"the study's own seed: {settings.seed}.</p>"
    )
    if settings.folder.joinpath(EVIDENCE).exists():
        result = Confirmation.load(settings.folder)
        lines += ["<h2>Confirmation</h2>", f"<p>{html.escape(result.verdict())}</p>"]
        lines.append(table(HEADER, [cells(one) for one in result.compared]))
    best = ranked(study, last)
    title = "Best trials" if len(metrics) == 1 else "Trials that no other beats in both, and the default"
    lines += [f"<h2>{title}</h2>", trial_table(best, list(metrics), top)]
    if len(metrics) == 1:
        lines.append(
            "<p class=note>The best of many owes a part of its value to luck; python -m tune confirm says what is left."
            "</p>"
        )
    for name, content in pictures.items():
        lines.append(f"<h2>{html.escape(TITLES[name.split('-')[0]])}</h2>")
        lines.append(f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(content).decode()}">')
    failures = [(k, one.user_attrs[plan.FAILURE]) for k, one in last.items() if plan.FAILURE in one.user_attrs]
    if failures:
        lines += ["<h2>Why trials failed</h2>", table(("trial", "reason"), [[str(k), why] for k, why in failures])]
    head = f"<meta charset=utf-8><title>{html.escape(settings.name)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(lines)}</body></html>\n"


TITLES = {
    "front": "Both objectives",
    "history": "History",
    "importances": "Importances of the parameters",
    "parallel": "Parallel coordinates",
    "cost": "Cost",
}


def trial_table(trials: Sequence[FrozenTrial], metrics: Sequence[str], top: int) -> str:
    """The first ``top`` trials and the default as an HTML table."""
    shown = [one for rank, one in enumerate(trials) if rank < top or _number(one) == 0]
    names = list(kinds_of(shown))
    header = ["trial", *metrics, "each seed", "steps", *names]
    rows = [[str(_number(one)), *(f"{value:.4g}" for value in one.values), _each_seed(one),
             f"{one.user_attrs.get(plan.STEPS, 0):,}", *(_short(one.params.get(name, "")) for name in names)]
            for one in shown]  # fmt: skip
    return table(header, rows, default=[_number(one) == 0 for one in shown])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], default: Sequence[bool] = ()) -> str:
    """An HTML table.

    :param rows: columns of numbers are aligned to the right
    :param default: which rows are shaded
    """
    numeric = [all(_is_number(row[k]) for row in rows) for k in range(len(header))]
    kind = [" class=n" if number else "" for number in numeric]
    head = "".join(f"<th{kind[k]}>{html.escape(name)}</th>" for k, name in enumerate(header))
    body = []
    for index, row in enumerate(rows):
        shade = " class=default" if index < len(default) and default[index] else ""
        body.append(f"<tr{shade}>{''.join(f'<td{kind[k]}>{html.escape(c)}</td>' for k, c in enumerate(row))}</tr>")
    return f"<div class=wide><table><tr>{head}</tr>{''.join(body)}</table></div>"


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "") or 0)
    except ValueError:
        return False
    return True


def _each_seed(one: FrozenTrial) -> str:
    values: list[list[float]] = one.user_attrs.get(PER_SEED, [])
    return " ".join("/".join(f"{value:.3g}" for value in seed) for seed in values)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(one: FrozenTrial) -> int:
    return int(one.user_attrs[plan.PLAN])


def _hours(study: optuna.Study) -> float:
    """Duration of all attempts in hours."""
    return sum(one.duration.total_seconds() for one in study.get_trials(deepcopy=False) if one.duration) / 3600
