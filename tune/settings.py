"""Settings of a study: the dataclasses of the command line, which are also the content of a study's ``settings.yml``.

``StudySettings`` are common to all studies; ``GravitarStudy`` and ``PegasusStudy`` add those of a task.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from tyro.conf import FlagConversionOff, Positional, arg

from common.errors import UserError, check_at_least
from common.files import write_atomic
from common.records import from_plain, parse_yaml, plain
from common.run_folder import check_name
from rl.options import DEFAULT_ENV

WAIT_SECONDS = 60.0  # for which an unreachable storage is retried

Study = TypeVar("Study", bound="StudySettings")


@dataclass(frozen=True)
class StudySettings:
    """Settings of any study."""

    task: ClassVar[str] = ""

    name: str = ""
    """Name of the study; its folder is RUNS/tune/NAME. Default: made from the task."""
    trials: int = 30
    """Number of trials, including pruned and failed ones; the first has the default values."""
    seeds: int = 3
    """Runs of each trial, each with its own seed."""
    sampler: str = "tpe"
    """Sampler of the values: tpe, cmaes, gp or random."""
    pruner: str = "none"
    """Pruner that stops bad trials early: hyperband, successive-halving, median, wilcoxon or none."""
    search: tuple[str, ...] = ()
    """Parameters to search; the others keep their defaults. Default: all of the space."""
    range: tuple[str, ...] = ()
    """Other bounds of parameters, as in --range learning_rate=1e-4:1e-3 gae_lambda=0.9:0.98."""
    total_steps: int | None = None
    """No trial begins after this number of steps in total (agent steps; for pegasus, denoising steps of images)."""
    hours: float | None = None
    """No trial begins after the command has run for this time; running ones are finished."""
    retries: int = 2
    """Number of times that a trial is retried after the death of its worker."""
    seed: int = 742
    """Seed of the search, from which the seeds of all trials are derived."""
    storage: str = ""
    """Storage of the trials: sqlite:///FILE or postgresql://USER@HOST/NAME. Default: a journal in the folder."""
    workers: int = 1
    """Number of worker processes."""
    runs: str = "runs"
    """Folder of all runs."""
    device: str = "auto"
    """Device of the networks: auto, cpu, cuda, cuda:1, mps."""

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.runs) / "tune" / self.name

    def default_name(self) -> str:
        """The name of a study without ``name``."""
        raise NotImplementedError

    def resolved(self: Study) -> Study:
        """The settings with a name.

        :raises UserError: for a number out of range, or a name that cannot be that of a folder
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
        """The content of ``settings.yml``."""
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
    """Id of an Atari environment."""
    steps: int = 300_000
    """Agent steps of each training, summed over the environments."""
    pruner: str = "median"
    """Pruner that stops bad trials early: hyperband, successive-halving, median, wilcoxon or none."""
    last: float = 0.25
    """Part of the training, at its end, in which games count; above 0, at most 1."""
    config: str = ""
    """File with the default values in rl-baselines3-zoo's format. Default: rl_zoo_configs/ALGO.yml."""
    protocol: str | None = None
    """Named preprocessing of the game (assignment, nature, machado, sb3, v5, ram). Default: as in training."""
    life_loss: FlagConversionOff[bool | None] = None
    """True ends the learner's episode at each lost life, while the game goes on. Default: the protocol's."""
    n_envs: int | None = None
    """Number of parallel environments. Default: the configuration's."""
    set: tuple[str, ...] = ()
    """Fixed hyperparameters in place of the configuration's, as in --set n_epochs=3."""

    def default_name(self) -> str:
        """As in ``ppo-ram-742``."""
        return f"{self.algo}-{self.obs}-{self.seed}"

    def check(self) -> None:
        """:raises UserError: for a number out of range"""
        super().check()
        check_at_least(1, {"--steps": self.steps})
        if not 0 < self.last <= 1:
            raise UserError(f"--last is a share above 0, at most 1, not {self.last:g}")


@dataclass(frozen=True)
class PegasusStudy(StudySettings):
    """Search the settings for sampling winged horses with a trained run: their share and the images' diversity."""

    task: ClassVar[str] = "pegasus"

    run: Positional[str] = field(kw_only=True)
    """The trained run's folder."""
    conditions: tuple[str, ...] = ("horse", "spread")
    """Conditions whose weights are searched, as in run_pegasus.py sample."""
    from_: Annotated[str, arg(name="from")] = ""
    """A class, such as bird: --compose contrast is searched, too, and is the default that the search begins with. The
    first of the two conditions is the base, and what the second one changes in this class is added."""
    images: int = 64
    """Images sampled for each seed."""
    checkpoint: str | None = None
    """Checkpoint of the run. Default: the latest when the study is created."""
    batch_size: int = 32
    """Images in a batch."""
    scorer: str = ""
    """Folder of the scorer of sprites, which is trained if it is missing. Default: sprite-scorer beside the run."""

    def default_name(self) -> str:
        """As in ``pegasus-first-742``."""
        return f"pegasus-{Path(self.run).name}-{self.seed}"

    def check(self) -> None:
        """:raises UserError: for a number out of range"""
        super().check()
        check_at_least(1, {"--images": self.images, "--batch-size": self.batch_size})
        if not self.conditions:
            raise UserError("--conditions needs at least one, as in --conditions horse spread")
        if self.from_ and len(self.conditions) != 2:
            raise UserError(f"--from {self.from_} takes two --conditions, a base and what is added: horse spread")


KINDS: dict[str, type[StudySettings]] = {kind.task: kind for kind in (GravitarStudy, PegasusStudy)}


def from_text(text: str, where: str) -> StudySettings:
    """Settings from the text that ``to_yaml`` returned.

    :param where: file or study, for the error message
    :raises UserError: when the text is not valid
    """
    try:
        content: Any = parse_yaml(text)
        settings = from_plain(KINDS[content.pop("task")], content)
        settings.check()
        return settings
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, UserError) as error:
        raise UserError(f"{where} does not hold a study's settings ({error}); restore it from a copy") from error


def read_settings(folder: Path) -> StudySettings:
    """The settings of the study in a folder.

    :raises UserError: when there is no study, or its settings are not valid
    """
    path = folder / "settings.yml"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder} is not a study's folder: cannot read {path.name}") from error
    return dataclasses.replace(from_text(text, str(path)), runs=str(folder.parent.parent), name=folder.name)


def write_settings(settings: StudySettings) -> None:
    """Write ``settings.yml`` to the study's folder.

    :raises UserError: when the folder cannot be written (status 1)
    """
    write_atomic(settings.folder / "settings.yml", settings.to_yaml())
