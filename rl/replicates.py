"""Trainings in processes of their own or in a SLURM job: one, or replicates that differ only in the seed.

python run_gravitar.py train --preset demo --launcher local --array-seeds 5
python run_gravitar.py train --preset literature --launcher slurm --array-seeds 5 --time 8:00:00 --gpus-per-task 1
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from common.cli import arguments_of
from common.errors import UserError, check_at_least
from common.launch import LaunchSettings, launch
from rl.options import TrainSettings
from rl.settings import RunSettings, resolve
from rl.tasks import TASKS
from rl.train import train

ROOT = Path(__file__).resolve().parent.parent


class TrainOptions(Protocol):
    """Options of the command ``train`` of any program: a dataclass, of which these fields count here."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def seed(self) -> int: ...
    @property
    def name(self) -> str | None: ...
    @property
    def runs(self) -> Path: ...
    @property
    def resume_if_exists(self) -> bool: ...
    @property
    def array_seeds(self) -> int | None: ...
    @property
    def launch(self) -> LaunchSettings: ...


Options = TypeVar("Options", bound=TrainOptions)


def _unchanged(user: TrainSettings) -> TrainSettings:
    return user


def train_or_launch(user: TrainSettings) -> None:
    """Train an agent for Gravitar; see ``train_for``."""
    train_for(user, "gravitar")


def train_for(user: Options, task: str, general: Callable[[Any], TrainSettings] = _unchanged) -> None:
    """Train in this process, or launch trainings if the settings have a launcher.

    :param user: options of the command ``train`` of the task's program
    :param task: a key of ``rl.tasks.TASKS``
    :param general: makes of such options those of any environment
    :raises UserError: before anything is started, for settings with which a training would fail at once
    """
    if user.launch.launcher is None:
        if user.array_seeds is not None:
            raise UserError("--array-seeds: say where the runs are started, with --launcher local or --launcher slurm")
        train(general(user), task)
        return
    runs = replicates(user, task, general)
    commands = {}
    for one, settings in runs:
        if (user.runs / task / settings.name).exists() and not user.resume_if_exists:
            raise UserError(
                f"the run folder {user.runs / task / settings.name} exists and is never overwritten; "
                "choose another --name, or resume it with --resume-if-exists"
            )
        # A task that SLURM starts again resumes its run.
        one = dataclasses.replace(one, resume_if_exists=one.resume_if_exists or user.launch.launcher == "slurm")
        commands[settings.name] = [sys.executable, "-u", str(ROOT / TASKS[task].program), "train", *arguments_of(one)]
    job = user.name or runs[0][1].name
    launch(job, commands, user.runs / "jobs" / job, user.launch)


def replicates(
    user: Options, task: str = "gravitar", general: Callable[[Any], TrainSettings] = _unchanged
) -> list[tuple[Options, RunSettings]]:
    """The settings of each run, as given and as resolved.

    Seeds are ``seed``, ``seed + 1``, ...; each is part of its run's name.

    :raises UserError: for settings that cannot be resolved
    """
    alone = dataclasses.replace(user, launch=LaunchSettings(), array_seeds=None)
    if user.array_seeds is None:
        return [(alone, resolve(general(alone), task))]
    check_at_least(1, {"--array-seeds": user.array_seeds})
    seeds = range(user.seed, user.seed + user.array_seeds)
    ones = [dataclasses.replace(alone, seed=seed, name=user.name and f"{user.name}-{seed}") for seed in seeds]
    return [(one, resolve(general(one), task)) for one in ones]
