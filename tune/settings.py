"""Settings of a study: the command line's dataclasses, which are also what ``settings.yml`` of a study holds.

``StudySettings`` is what every study has; ``GravitarStudy`` and ``PegasusStudy`` say what is searched.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from tyro.conf import Positional

from common.errors import UserError, check_at_least
from common.files import write_atomic
from common.records import from_plain, plain
from common.run_folder import check_name
from rl.envs.make_env import DEFAULT_ENV

Study = TypeVar("Study", bound="StudySettings")


@dataclass(frozen=True)
class StudySettings:
    """What every study has."""

    task: ClassVar[str] = ""

    name: str = ""
    """Name of the study; its folder is RUNS/tune/NAME. Default: made of what is searched."""
    trials: int = 30
    """Trials to finish, pruned and failed ones included; the first has the default values."""
    seeds: int = 3
    """Runs of each trial, each with a seed of its own."""
    sampler: str = "tpe"
    """What chooses the values: tpe, cmaes, gp or random."""
    pruner: str = "none"
    """What stops hopeless trials early: hyperband, successive-halving, median, wilcoxon or none."""
    search: tuple[str, ...] = ()
    """Parameters to search; the others keep their defaults. Default: all of the space."""
    range: tuple[str, ...] = ()
    """Other bounds of parameters, as in --range learning_rate=1e-4:1e-3 gae_lambda=0.9:0.98."""
    total_steps: int | None = None
    """No trial begins once so many steps have been made in all (agent steps; for pegasus, steps of images)."""
    hours: float | None = None
    """No trial begins once this command has run for so long; the ones under way are finished."""
    retries: int = 2
    """How often a trial begins again whose worker died."""
    seed: int = 742
    """Seed of the search, from which those of all trials follow."""
    storage: str = ""
    """Where the trials are kept: sqlite:///FILE or postgresql://USER@HOST/NAME. Default: a journal in the folder."""
    workers: int = 1
    """Processes that work on trials."""
    runs: str = "runs"
    """Folder of all runs."""
    device: str = "auto"
    """Device of the networks: auto, cpu, cuda, cuda:1, mps."""

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.runs) / "tune" / self.name

    def default_name(self) -> str:
        """A name made of what is searched."""
        raise NotImplementedError

    def resolved(self: Study) -> Study:
        """The same with a name.

        :raises UserError: for a number that is out of range, or a name that cannot be a folder's
        """
        self.check()
        return dataclasses.replace(self, name=check_name(self.name or self.default_name()))

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        check_at_least(1, {"--trials": self.trials, "--seeds": self.seeds, "--workers": self.workers})
        check_at_least(0, {"--retries": self.retries, "--seed": self.seed})
        check_at_least(1, {"--total-steps": self.total_steps})
        if self.hours is not None and not 0 < self.hours < math.inf:
            raise UserError(f"--hours must be a number above 0, not {self.hours:g}")

    def to_yaml(self) -> str:
        """``settings.yml``."""
        return yaml.safe_dump({"task": self.task, **plain(self)}, sort_keys=False)


@dataclass(frozen=True)
class GravitarStudy(StudySettings):
    """Search the hyperparameters of an agent."""

    task: ClassVar[str] = "gravitar"

    algo: str = "ppo"
    """Algorithm: ppo, qrdqn or dqn."""
    obs: str = "ram"
    """Observation of an Atari game: pixels or ram."""
    env: str = DEFAULT_ENV
    """Environment id, Atari."""
    steps: int = 300_000
    """Agent steps of each training, summed over the games."""
    pruner: str = "median"
    """What stops hopeless trials early: hyperband, successive-halving, median, wilcoxon or none."""
    last: float = 0.25
    """The share of the training, at its end, whose games count."""
    config: str = ""
    """Hyperparameters in rl-baselines3-zoo's format, which are the defaults. Default: rl_zoo_configs/ALGO.yml."""
    protocol: str | None = None
    """Named way of presenting the game (assignment, nature, machado, sb3, v5, ram). Default: as in training."""
    n_envs: int | None = None
    """Games played at once. Default: the configuration's."""
    set: tuple[str, ...] = ()
    """Hyperparameters that replace the configuration's and stay, as in --set n_epochs=3."""

    def default_name(self) -> str:
        """As in ``ppo-ram-742``."""
        return f"{self.algo}-{self.obs}-{self.seed}"

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        super().check()
        check_at_least(1, {"--steps": self.steps})
        if not 0 < self.last <= 1:
            raise UserError(f"--last is a share above 0, at most 1, not {self.last:g}")


@dataclass(frozen=True)
class PegasusStudy(StudySettings):
    """Search how to draw winged horses with a trained run: two objectives, how many there are and how they differ."""

    task: ClassVar[str] = "pegasus"

    run: Positional[str] = field(kw_only=True)
    """The trained run's folder."""
    conditions: tuple[str, ...] = ("horse", "spread")
    """Conditions whose weights are searched, as run_pegasus.py sample knows them."""
    images: int = 64
    """Images drawn for each seed."""
    checkpoint: str | None = None
    """Which checkpoint of the run. Default: the latest when the study begins."""
    batch_size: int = 32
    """Images at once."""
    scorer: str = ""
    """Folder of the scorer of drawings; it is trained where it is not there. Default: sprite-scorer beside the run."""

    def default_name(self) -> str:
        """As in ``pegasus-first-742``."""
        return f"pegasus-{Path(self.run).name}-{self.seed}"

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        super().check()
        check_at_least(1, {"--images": self.images, "--batch-size": self.batch_size})
        if not self.conditions:
            raise UserError("--conditions needs at least one, as in --conditions horse spread")


KINDS: dict[str, type[StudySettings]] = {kind.task: kind for kind in (GravitarStudy, PegasusStudy)}


def from_text(text: str, where: str) -> StudySettings:
    """Settings from what ``to_yaml`` wrote.

    :param where: for the message
    :raises UserError: when it does not hold a study's settings
    """
    try:
        content: Any = yaml.safe_load(text)
        settings = from_plain(KINDS[content.pop("task")], content)
        settings.check()
        return settings
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, UserError) as error:
        raise UserError(f"{where} does not hold a study's settings ({error}); restore it from a copy") from error


def read_settings(folder: Path) -> StudySettings:
    """The settings of the study in a folder.

    :raises UserError: when there is none
    """
    path = folder / "settings.yml"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder} is not a study's folder: cannot read {path.name}") from error
    return dataclasses.replace(from_text(text, str(path)), runs=str(folder.parent.parent), name=folder.name)


def write_settings(settings: StudySettings) -> None:
    """Write ``settings.yml`` into the study's folder.

    :raises UserError: when the folder cannot be written (status 1)
    """
    write_atomic(settings.folder / "settings.yml", settings.to_yaml())
