"""Settings of the submission's commands: each a dataclass whose field texts are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from common.launch import LaunchSettings
from common.options import Command


@dataclass(frozen=True)
class CheckSettings(Command):
    """Say what a marker would find wrong with a submission, without running anything in it."""

    what: Positional[Path]
    """The submission: a zip, a folder, or a log alone."""
    edition: int | None = None
    """The year of the rules: 2020 or 2021. Default: by the names of the files."""
    json: bool = False
    """Print JSON instead of text."""


@dataclass(frozen=True)
class BonusSettings(Command):
    """Show the bonus table of an edition, and what of it applies to runs."""

    runs: Positional[tuple[Path, ...]]
    """Run folders of the generative model; several that were trained for one submission."""
    edition: int
    """The year of the table: 2020 or 2021."""
    batch: str | None = None
    """Name of the judged batch in RUN/judge. Default: the last one that was judged."""
    paper: Path | None = None
    """The paper, whose pages are counted."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class PresentSettings(Command):
    """Make what the edition of 2021 wants to see of a model: unselected samples, interpolations, picked examples, and
    the bonus table, in a folder of the run."""

    run: Positional[Path]
    """The run folder, of a denoiser or of a DCGAN."""
    edition: int = 2021
    """The year of the rules."""
    weights: str = ""
    """Conditions of the samples with their weights, as in horse=2. Default: none."""
    draw: int = 256
    """Images to sample, of which the first 64 are the unselected batch."""
    keep: int = 16
    """Examples to pick of these by score."""
    pick: tuple[int, ...] = ()
    """Numbers of the examples to show, picked by eye from drawn.png, instead of by score."""
    seed: int = 0
    """Seed of the images."""
    name: str | None = None
    """Name of the folder in the run folder. Default: edition-YEAR."""
    checkpoint: str | None = None
    """Checkpoint, such as step-000180096. Default: the latest."""
    averaged: bool = True
    """Sample with the moving average of a denoiser's weights."""
    batch_size: int = 16
    """Images at once."""
    device: str = "auto"
    """Device of the networks: auto, cpu, cuda, cuda:1, mps."""


@dataclass(frozen=True)
class BundleSettings(Command):
    """Put the code that trains a run into one notebook or script."""

    run: Positional[Path]
    """The run folder, of an agent or of a generative model."""
    output: Positional[Path]
    """The new file, .ipynb or .py."""


@dataclass(frozen=True)
class PaperSettings(Command):
    """Build the paper of a run from its figures and tables, and from your text."""

    run: Positional[Path]
    """The run folder, of a generative model or of an agent."""
    edition: int
    """The year of the rules: 2020 or 2021."""
    prose: Path | None = None
    """Folder of your text; files that are missing in it are begun. Default: RUN/paper."""
    batch: str | None = None
    """Name of the judged batch in RUN/judge. Default: the last one that was judged."""
    output: Path | None = None
    """The PDF. Default: the edition's name in the folder of your text."""


@dataclass(frozen=True)
class BuildSettings(Command):
    """Make submission.zip from the run of a generative model and the run of an agent."""

    edition: int
    """The year of the rules: 2020 or 2021."""
    images: Path
    """Run folder of the generative model."""
    agent: Path
    """Run folder of the agent."""
    output: Path = Path("submission.zip")
    """The new zip."""
    prose: Path | None = None
    """Folder with your text in its folders images/ and agent/. Default: the folder paper/ of each run."""
    batch: str | None = None
    """Name of the judged batch in IMAGES/judge. Default: the last one that was judged."""
    code: Literal["ipynb", "py"] = "ipynb"
    """Whether the code is a notebook or a script."""
    episode: int | None = None
    """Episode of the video, numbered as in the traces, from 0. Default: the best recorded one."""
    extra: int | None = None
    """2020: another episode, for an outtake."""
    hardcore: Path | None = None
    """2021: run folder of an agent in the hardcore environment, whose best episode is the second video."""


@dataclass(frozen=True)
class AuditSettings(Command):
    """Say which logs deserve a second look, and why: a likelihood with reasons, never a verdict."""

    logs: Positional[tuple[Path, ...]]
    """Logs, or run folders."""
    step: int = 50
    """Points of which every score is a multiple, for marking logs: 50 in Gravitar."""
    others: Path | None = None
    """Folder with other authors' logs: to compare learning curves with, and to look for what walkers' logs share."""
    replay: int | None = None
    """For run folders: play so many games of the traces again and compare their scores; 0 for all."""
    replicates: int | None = None
    """Number of trainings with other seeds whose learning curves are compared with the log's."""
    code: Path | None = None
    """With --replicates: run folder whose settings.yml is trained. Name only a run whose settings you trust."""
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    output: Path = Path("audit")
    """Folder for the figures, audit.json and the replicates."""


@dataclass(frozen=True)
class MarkSettings(Command):
    """Make a table of all submissions in a folder: a page that needs no server, and CSV."""

    folder: Positional[Path]
    """Folder with a zip or a folder for each submission."""
    edition: int | None = None
    """The year of the rules. Default: by the names of each submission's files."""
    means: tuple[float, ...] = (200.0, 300.0, 500.0)
    """Mean scores of 100 episodes: the table has the episode at which each is reached."""
    step: int = 50
    """Points of which every score is a multiple, for marking logs."""
    output: Path = Path("marking")
    """Folder for index.html, submissions.csv and the evidence."""
