"""The options of ``run_pong.py train``; texts of fields are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rl.options import TrainSettings

PONG = "ALE/Pong-v5"


@dataclass(frozen=True, kw_only=True)
class PongTrainSettings(TrainSettings):
    """Train an agent to play Pong and leave a run folder."""

    preset: str | None = "fast"
    """A set of defaults: fast, homework, dqn2013 or smoke. Other flags override it."""
    env: str = PONG
    """Environment id; ALE/Freeway-v5 is the game whose log the homework shows."""
    name: str | None = None
    """Name of the run; its folder is RUNS/pong/NAME. Default: algorithm, observation and seed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
