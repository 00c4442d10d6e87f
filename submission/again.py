"""The options of training again with a submission's settings, for both of its programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.options import Command

SETTINGS = Path(__file__).resolve().parent.parent / "settings.yml"  # beside the program's folders


@dataclass(frozen=True)
class AgainSettings(Command):
    """Train with the settings of a run."""

    settings: Path = SETTINGS
    """The run's settings.yml."""
    seed: int | None = None
    """Another seed. Default: the run's."""
    name: str | None = None
    """Name of the new run. Default: the run's."""
    runs: Path = Path("runs")
    """Folder of all runs."""
