"""A live table of a search: workers, trials, the best value, the time left.

Credits: rich.
"""

from __future__ import annotations

import datetime
import time
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tune.plan import PLAN, STEPS, WORKER, Tally, tally
from tune.settings import StudySettings


class LiveTable:
    """Shows a table in a terminal; elsewhere (a SLURM log, a file) prints a line every ``seconds``.

    :param seconds: time between the lines
    """

    def __init__(self, study: optuna.Study, settings: StudySettings, seconds: float = 30.0) -> None:
        self.study = study
        self.settings = settings
        self.began = time.monotonic()
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.seconds = 2.0 if self.live else seconds
        self._shown = float("-inf") if self.live else self.began

    def __enter__(self) -> LiveTable:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._show()
        finally:
            if self.live:
                self.live.stop()

    def update(self) -> None:
        """Refresh the table if it is due; to be called often."""
        if time.monotonic() - self._shown >= self.seconds:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        trials = self.study.get_trials(deepcopy=False)
        line = summary(self.study, tally(self.study, self.settings.retries), trials, self._shown - self.began)
        if self.live:
            self.live.update(running_table(trials, line, datetime.datetime.now()), refresh=True)
        else:
            self.console.print(line, soft_wrap=True, highlight=False)


def summary(study: optuna.Study, count: Tally, trials: list[FrozenTrial], elapsed: float) -> str:
    """One line of text: numbers of trials by state, the best value, steps, time.

    :param elapsed: seconds since the start of the command
    """
    parts = [f"{count.finished}/{count.planned} trials"]
    for number, name in ((count.pruned, "pruned"), (count.failed, "failed"), (count.running, "running")):
        parts += [f"{number} {name}"] if number else []
    parts += [*_best(study, trials), f"{count.steps:,} steps", f"{elapsed / 60:.1f} min"]
    left = seconds_left(count, trials)
    return ", ".join(parts) + (f", about {left / 60:.0f} min left" if left is not None else "")


def seconds_left(count: Tally, trials: list[FrozenTrial]) -> float | None:
    """Seconds until all trials are finished, estimated from the mean duration and the number of running trials.

    :return: None while no trial is finished or none is running
    """
    lengths = [
        (trial.datetime_complete - trial.datetime_start).total_seconds()
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.datetime_complete and trial.datetime_start
    ]
    if not lengths or not count.running:
        return None
    return sum(lengths) / len(lengths) * (count.planned - count.finished) / count.running


def running_table(trials: list[FrozenTrial], title: str, now: datetime.datetime) -> Table:
    """A table with a row for each running trial."""
    table = Table("worker", "trial", "steps", "value so far", "min", title=title, title_justify="left")
    for trial in trials:
        if trial.state == TrialState.RUNNING:
            worker = str(trial.user_attrs.get(WORKER, "")).rpartition(":")[0]
            value = trial.intermediate_values[trial.last_step] if trial.last_step is not None else None
            minutes = (now - trial.datetime_start).total_seconds() / 60 if trial.datetime_start else 0.0
            table.add_row(
                worker,
                str(trial.user_attrs.get(PLAN, trial.number)),
                f"{int(trial.user_attrs.get(STEPS, 0)):,}",
                "" if value is None else f"{value:.4g}",
                f"{minutes:.1f}",
            )
    return table


def _best(study: optuna.Study, trials: list[FrozenTrial]) -> list[str]:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return []
    if len(study.directions) > 1:
        return [f"{len(study.best_trials)} trials that no other beats"]
    best = study.best_trial
    return [f"best {best.value:.4g} (trial {best.user_attrs.get(PLAN, best.number)})"]
