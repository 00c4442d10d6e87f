"""The options of the commands of ``python -m tune``, one dataclass each; texts of fields are the command line's help.

What takes seconds to import stands in the commands' own modules, so that help and mistakes are answered at once.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tyro.conf import Positional

from common.launch import LaunchSettings
from common.options import Command
from tune.settings import WAIT_SECONDS, GravitarStudy, PegasusStudy


@dataclass(frozen=True)
class GravitarCommand(Command):
    """Search the hyperparameters of an agent; continue the search if the study exists."""

    study: GravitarStudy = field(default_factory=GravitarStudy)
    """Settings of the study."""
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    """How the workers are launched."""


@dataclass(frozen=True)
class PegasusCommand(Command):
    """Search the settings for sampling winged horses with a trained run; continue the search if the study exists."""

    study: PegasusStudy
    """Settings of the study."""
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    """How the workers are launched."""


@dataclass(frozen=True)
class WorkerSettings(Command):
    """Run trials of an existing study."""

    study: Positional[str]
    """The study's folder, or with --storage its name."""
    storage: str = ""
    """Storage of the study. Default: that of the settings in its folder."""
    beat_seconds: float = 20.0
    """Seconds between heartbeats."""
    grace_seconds: float = 120.0
    """Seconds without a heartbeat after which a worker counts as dead and its trial is retried."""
    wait_seconds: float = WAIT_SECONDS
    """Seconds for which an unreachable storage is retried."""


@dataclass(frozen=True)
class ReportSettings(Command):
    """Write a study's report: report.html and PNGs in its folder."""

    study: Positional[Path]
    """The study's folder."""
    top: int = 10
    """Number of best trials in the table."""
    output: Path | None = None
    """Folder for the report. Default: report in the study's folder."""
    storage: str = ""
    """Storage of the study, if it is not that of settings.yml, or if it needs a password."""


@dataclass(frozen=True)
class ConfirmSettings(Command):
    """Run the best trials of a study and the default again, with new seeds and the full budget, and compare them."""

    study: Positional[Path]
    """The study's folder."""
    top: int = 3
    """Number of best trials."""
    seeds: int = 5
    """Runs of each, with new seeds."""
    steps: int | None = None
    """Budget of each training, agent steps. Default: the configuration's n_timesteps."""
    storage: str = ""
    """Storage of the study, if it is not that of settings.yml, or if it needs a password."""


@dataclass(frozen=True)
class ExportSettings(Command):
    """Write the winner of a confirmed study to its configuration file; comments are kept."""

    study: Positional[Path]
    """The study's folder."""
    config: Path | None = None
    """The file to change. Default: the study's configuration, rl_zoo_configs/ALGO.yml."""
    force: bool = False
    """Write the best candidate even if it does not win against the default."""
