"""Settings of the submission's commands: each a dataclass whose field texts are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

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
class BundleSettings(Command):
    """Put the code that trains a run into one notebook or script."""

    run: Positional[Path]
    """The run folder, of an agent or of a generative model."""
    output: Positional[Path]
    """The new file, .ipynb or .py."""
