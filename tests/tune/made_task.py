"""A task that takes no time: a made objective, for tests of the search itself.

Importing this file registers it, so that settings of it are read from a study's folder and storage as well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from optuna.trial import BaseTrial

from common.errors import UserError
from common.scores.statistics import interquartile_mean
from tune.samplers import rungs
from tune.settings import KINDS, StudySettings
from tune.task import Direction, Outcome, Params, Progress, Pruned
from tune.tasks import TASKS


@dataclass(frozen=True)
class MadeStudy(StudySettings):
    """The objective: ``slope * -(x - 3)^2 + noise * a normal number``, the same for the same x and seed."""

    task: ClassVar[str] = "made"

    steps: int = 90
    slope: float = 1.0
    noise: float = 0.0
    pause: float = 0.0
    """Seconds that each budget takes."""
    high: float = 10.0
    """Upper end of x."""
    broken: float = 11.0
    """From this x on the value is not a number."""

    def default_name(self) -> str:
        """Always the same."""
        return "made"


class MadeTask:
    """See ``tune.task.Task``."""

    metrics = ("height",)
    directions: tuple[Direction, ...] = ("maximize",)

    def __init__(self, study: MadeStudy) -> None:
        self.study = study

    def space(self, trial: BaseTrial) -> Params:
        """Two numbers, of which the second has no effect."""
        return {"x": trial.suggest_float("x", 0.0, self.study.high), "y": trial.suggest_int("y", 1, 64, log=True)}

    def defaults(self) -> dict[str, Any]:
        """Somewhere else than the best."""
        return {"x": 5.0, "y": 8}

    def definition(self) -> Mapping[str, Any]:
        """Everything else."""
        return {"steps": self.study.steps, "slope": self.study.slope, "noise": self.study.noise}

    def run(self, params: Params, seeds: Sequence[int], folder: Path, progress: Progress) -> Outcome:
        """Approach the value, from below."""
        study = self.study
        if params["x"] >= study.broken:
            raise UserError("x is too large")
        height = -study.slope * (params["x"] - 3.0) ** 2
        place = int(params["x"] * 2**32)
        values = [height + study.noise * float(np.random.default_rng((seed, place)).normal()) for seed in seeds]
        for index, budget in enumerate(rungs(study.pruner, study.steps)):
            time.sleep(study.pause)
            progress.spent((index + 1) * len(seeds))
            value = float(interquartile_mean(values)) - (1 - budget / study.steps)
            if progress.report(budget, value) and budget < study.steps:
                raise Pruned
        return Outcome((float(interquartile_mean(values)),), tuple((value,) for value in values))


KINDS["made"] = MadeStudy
TASKS["made"] = MadeTask
