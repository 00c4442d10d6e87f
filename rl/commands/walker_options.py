"""The options of the commands of ``run_walker.py`` that only it has; texts of fields are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from common.launch import LaunchSettings
from common.options import Command, TrackerName

WALKER = "BipedalWalker-v3"
HARDCORE = "BipedalWalkerHardcore-v3"


@dataclass(frozen=True, kw_only=True)
class WalkerTrainSettings(Command):
    """Train an agent to walk and leave a run folder."""

    algo: str = "crossq"
    """Algorithm: crossq, tqc, sac, td3 or ppo."""
    hardcore: bool = False
    """Train in BipedalWalkerHardcore-v3, with pits, stumps and stairs."""
    env: str = WALKER
    """Environment id, another one of gymnasium's with continuous actions."""
    timesteps: int | None = None
    """Budget in environment steps. Default: the configuration's n_timesteps."""
    episodes: int | None = None
    """Budget in episodes instead of steps."""
    stop_mean: float | None = None
    """Mean score of the last 100 episodes at which the training ends before its budget does, such as 300."""
    seed: int = 42
    """Seed of all random generators; the default is the assignment's."""
    config: Path | None = None
    """Hyperparameters in rl-baselines3-zoo's format. Default: rl_zoo_configs/ALGO.yml."""
    set: tuple[str, ...] = ()
    """Hyperparameters that replace the configuration's, as in --set gradient_steps=2 learning_rate=1.0e-3."""
    n_envs: int | None = None
    """Number of environments at once. Default: the configuration's."""
    name: str | None = None
    """Name of the run; its folder is RUNS/walker/NAME. Default: algorithm, hardcore if so, and seed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    pretrained: Path | None = None
    """Run folder with whose policy training begins (its latest checkpoint). Default: an untrained one."""
    video_every: int = 25
    """Episodes between videos, besides those of each new best; 0 for no videos."""
    checkpoint_every: int = 20_000
    """Environment steps between checkpoints."""
    checkpoint_minutes: float = 5.0
    """Minutes after which a checkpoint is due as well; 0 for never."""
    resume_if_exists: bool = False
    """Resume the run if its folder exists, for job scripts that are started again."""
    device: str = "cpu"
    """Device of the networks, which are so small that a processor is usually faster than a GPU."""
    track: TrackerName | None = None
    """Send TensorBoard's numbers to wandb, trackio or mlflow as well."""
    array_seeds: int | None = None
    """Number of runs to launch with --launcher, with the seeds --seed, --seed + 1, ...; each seed is part of its run's
    name."""
    launch: LaunchSettings = field(default_factory=LaunchSettings)


@dataclass(frozen=True)
class TableSettings(Command):
    """How soon runs are good: steps and episodes until the mean of the last 100 episodes reaches a value."""

    runs: Positional[tuple[Path, ...]]
    """Run folders, or bare logs such as agent-log.txt, which do not say steps. Runs whose names differ in the seed at
    their end are one method."""
    means: tuple[float, ...] = (200.0, 250.0, 300.0)
    """Mean scores to reach, points."""
    window: int = 100
    """Episodes in a mean."""
    format: Literal["table", "csv", "json"] = "table"
    """table: for reading; csv and json: one record for each run, for programs."""
