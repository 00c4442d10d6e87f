"""The live table: what it says of trials that were made by hand."""

from __future__ import annotations

import datetime
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from tests.tune.made_task import MadeStudy
from tune.live_table import LiveTable, running_table, seconds_left, summary
from tune.plan import ATTEMPT, FAILURE, PLAN, STEPS, WORKER, tally

NOON = datetime.datetime(2026, 1, 1, 12, 0, 0)


def trial(place: int, state: TrialState, seconds: float = 0.0, **more: object) -> FrozenTrial:
    """A trial that began at noon, and ended so many seconds later."""
    attributes = {PLAN: place, ATTEMPT: 0, STEPS: 1000 * (place + 1), WORKER: f"host:{place}:ab12"}
    made = create_trial(
        state=state,
        value=float(place) if state == TrialState.COMPLETE else None,
        user_attrs={**attributes, **({FAILURE: "not finite"} if state == TrialState.FAIL else {})},
        **more,  # type: ignore[arg-type]
    )
    made.datetime_start = NOON if state != TrialState.WAITING else None
    if state.is_finished():
        made.datetime_complete = NOON + datetime.timedelta(seconds=seconds)
    return made


TRIALS = [
    trial(0, TrialState.COMPLETE, 60),
    trial(1, TrialState.COMPLETE, 120),
    trial(2, TrialState.PRUNED, 30),
    trial(3, TrialState.FAIL, 1),
    trial(4, TrialState.RUNNING, intermediate_values={10: 1.5, 20: 2.25}),
    trial(5, TrialState.RUNNING),
    trial(6, TrialState.WAITING),
]


@pytest.fixture
def study() -> optuna.Study:
    """A study with these trials."""
    made = optuna.create_study(direction="maximize")
    made.add_trials(TRIALS)
    return made


def test_the_summary_counts_and_estimates(study: optuna.Study) -> None:
    count = tally(study, retries=2)
    # Three of four were not failures and took 70 s each; 3 of 7 are left, for two workers.
    assert seconds_left(count, TRIALS) == pytest.approx(70 * 3 / 2)
    assert summary(study, count, TRIALS, elapsed=150.0) == (
        "4/7 trials, 1 pruned, 1 failed, 2 running, best 1 (trial 1), 28,000 steps, 2.5 min, about 2 min left"
    )


def test_nothing_is_estimated_before_the_first_trial_is_finished() -> None:
    empty = optuna.create_study(direction="maximize")
    empty.add_trials(TRIALS[4:])
    count = tally(empty, retries=2)
    assert seconds_left(count, TRIALS[4:]) is None
    assert summary(empty, count, TRIALS[4:], 0.0) == "0/3 trials, 2 running, 18,000 steps, 0.0 min"


def test_of_two_objectives_the_trials_that_no_other_beats_are_counted() -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    for values in ([1.0, 2.0], [2.0, 1.0], [0.0, 0.0]):
        study.add_trial(create_trial(values=values, user_attrs={PLAN: int(values[0]), ATTEMPT: 0}))
    assert "2 trials that no other beats" in summary(study, tally(study, 2), study.trials, 0.0)


def test_the_table_has_a_row_for_each_worker_at_work() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(running_table(TRIALS, "title", NOON + datetime.timedelta(seconds=90)))
    lines = [line.strip("│┃ \n") for line in console.export_text().splitlines()]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if line.startswith("host")]
    assert rows == [["host:4", "4", "5,000", "2.25", "1.5"], ["host:5", "5", "6,000", "", "1.5"]]


def test_where_there_is_no_terminal_there_are_plain_lines(
    study: optuna.Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LiveTable(study, MadeStudy(name="s", runs=str(tmp_path)), seconds=0.0) as table:
        table.update()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and all(line.startswith("4/7 trials, 1 pruned") and "\x1b" not in line for line in lines)
