"""The report: its numbers, counted by hand, in one file that needs no other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage

from common.errors import UserError
from tests.tune.made_task import MadeStudy
from tune import plan
from tune.figures import ends, height
from tune.report import importances, spent, write_report
from tune.search import open_study, run_trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
MADE = MadeStudy(name="made", trials=24, noise=0.1, pruner="median", sampler="random", broken=9.0)


def test_a_report_says_what_was_found_and_what_it_cost(tmp_path: Path) -> None:
    settings = dataclasses.replace(MADE, runs=str(tmp_path))
    storage = InMemoryStorage()
    study = open_study(settings, storage)
    with pytest.raises(UserError, match="no trial of 'made' is over yet"):
        write_report(settings, storage, tmp_path / "report")
    while run_trial(study, settings):
        pass
    path = write_report(settings, storage, tmp_path / "report", top=3)
    text = path.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", text)  # nothing from elsewhere
    for name in ("history", "importances", "parallel", "cost"):
        picture = (tmp_path / "report" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and f'alt="{name}"' in text
    count = plan.tally(study, 2)
    assert count.failed and count.pruned
    assert f"24 of 24 trials are over: {count.complete} finished, {count.pruned} pruned, {count.failed} failed" in text
    assert text.count("x is too large") == count.failed
    best = max((one for one in study.trials if one.state.name == "COMPLETE"), key=lambda one: one.value or 0.0)
    rows = re.findall(r"<tr[^>]*><td class=n>(\d+)</td>", text.split("<h2>Why")[0])
    assert len(rows) == 4 and rows[0] == str(best.user_attrs["plan"]) and "0" in rows  # three and the default
    parts = spent(study)
    assert parts["finished"] == count.complete * 9 and parts["failed"] == parts["lost or running"] == 0
    assert sum(parts.values()) == count.steps
    shares = importances(study, 0)
    assert shares["x"] > 0.8 and sum(shares.values()) == pytest.approx(1)


def test_places_on_the_axes() -> None:
    assert height(1e-3, FloatDistribution(1e-4, 1e-2, log=True)) == pytest.approx(0.5)
    assert height(3, IntDistribution(1, 5)) == 0.5
    words = CategoricalDistribution(("and", "switch", "mix"))
    assert ends(words) == [(0.0, "and"), (0.5, "switch"), (1.0, "mix")]
    assert ends(FloatDistribution(1e-4, 1e-2, log=True)) == [(0.0, "0.0001"), (1.0, "0.01 (log)")]
