"""The options of the commands of ``run_gravitar.py``, one dataclass each; texts of fields are the command line's help.

What takes seconds to import stands in the commands' own modules, so that help and mistakes are answered at once.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import FlagConversionOff, Positional

from common.launch import LaunchSettings
from common.options import Command, Precision, TrackerName

DEFAULT_ENV = "ALE/Gravitar-v5"
Exploration = Literal["joint", "independent"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run: how long it is, and what it leaves."""

    preset: str | None = None
    """A set of defaults: demo, coursework, literature or smoke. Other flags override it."""
    timesteps: int | None = None
    """Budget in agent steps, summed over the environments. Default: the preset's, else the configuration's
    n_timesteps."""
    episodes: int | None = None
    """Budget in whole games instead of steps."""
    stop_mean: float | None = None
    """Mean score of the last 100 games at which the training ends before its budget does."""
    seed: int = 742
    """Seed of all random generators; the default is the assignment's."""
    name: str | None = None
    """Name of the run; its folder is RUNS/gravitar/NAME. Default: algorithm, observation and seed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    video_every: int = 25
    """Games between videos, besides those of each new best; 0 for no videos."""
    checkpoint_every: int = 100_000
    """Agent steps between checkpoints."""
    checkpoint_minutes: float = 5.0
    """Minutes after which a checkpoint is due as well; 0 for never."""
    predicted_q: int = 0
    """Number of held-out states whose mean predicted value goes into predicted-q.csv every 10,000 steps (500 in Mnih
    et al.); 0 for none."""
    resume_if_exists: bool = False
    """Resume the run if its folder exists, for job scripts that are started again."""
    track: TrackerName | None = None
    """Send TensorBoard's numbers to wandb, trackio or mlflow as well."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentOptions:
    """The environment, and how it is shown to the learner."""

    env: str = DEFAULT_ENV
    """Environment id, Atari or any other of gymnasium's."""
    obs: str | None = None
    """Observation of an Atari game: pixels or ram. Default: the preset's, else ram; the id's own where it has one."""
    n_envs: int | None = None
    """Number of parallel environments. Default: the configuration's."""
    protocol: str | None = None
    """Named preprocessing of the game (assignment, nature, machado, sb3, v5, ram). Default: that of the environment id
    and the configuration's wrappers."""
    frame_skip: str | None = None
    """Frames per action: 4, or 2-4 for a random number from 2 to 4 at each action. Default: the protocol's."""
    sticky: float | None = None
    """Probability that a frame repeats the previous frame's action, 0 to 1. Default: the protocol's."""
    noop_max: int | None = None
    """Largest number of no-op frames at the start of a game; 0 for none. Default: the protocol's."""
    life_loss: FlagConversionOff[bool | None] = None
    """True ends the learner's episode at each lost life, while the game goes on. Default: the protocol's."""
    reward: str | None = None
    """The learner's reward: raw, clip, scale:D, sqrt:D or floor:D. Default: the protocol's."""
    shaping: str | None = None
    """Points of the learner's reward for lives and fuel when they change, as in life:150,fuel:0.05 (RAM only). Default:
    the protocol's."""
    frame_stack: int | None = None
    """Number of stacked observations. Default: the protocol's."""
    actions: tuple[str, ...] | None = None
    """Actions of an Atari game that the learner has, by ALE's names, NOOP first, as in --actions NOOP UP DOWN. Default:
    the preset's, else those that the game uses."""
    starts: Path | None = None
    """Run folder of a search (explore --noise fresh) from whose states some environments begin their episodes; or of a
    training, from whose last games they begin at states from the median score on."""
    starts_share: float = 0.5
    """With --starts: share of the environments that do so; the others, and the log, are of whole games."""


@dataclass(frozen=True, kw_only=True)
class AlgorithmOptions:
    """The algorithm and its hyperparameters."""

    algo: str | None = None
    """Algorithm: ppo, qrdqn, dqn or hdqn. Default: the preset's, else ppo."""
    config: Path | None = None
    """Hyperparameters in rl-baselines3-zoo's format. Default: rl_zoo_configs/ALGO.yml."""
    set: tuple[str, ...] = ()
    """Hyperparameters that replace the configuration's, as in --set learning_rate=lin_1e-4 n_epochs=3."""
    action_probabilities: tuple[float, ...] | None = None
    """Probabilities of the actions with which DQN and QR-DQN explore, in the actions' order, as in
    --action-probabilities 0.3 0.6 0.1. Default: equal ones."""
    epsilon_decay: int | None = None
    """Agent steps over which the epsilon of DQN and QR-DQN falls to its last value. Default: the configuration's share
    of the budget."""
    pretrained: Path | None = None
    """Run folder, or one made by pack, with whose policy training begins (its latest checkpoint). Default: an untrained
    one."""
    self_imitation: int = 0
    """Gradient steps after each update of PPO that imitate its own best past actions (RAM only); 0 for none."""
    exploration: Exploration | None = None
    """Random actions of DQN and QR-DQN on Atari games: at a step in all environments or in none (joint, as
    Stable-Baselines3 does), or in each with the same probability (independent). Default: the preset's, else joint."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What the run computes with."""

    device: str = "auto"
    """Device of the network: auto, cpu, cuda, cuda:1, mps."""
    precision: Precision = "auto"
    """Arithmetic of all layers except the heads: float32, bfloat16, or auto for bfloat16 where it is faster."""
    threads: int | None = None
    """Processor threads among which each batch is divided. It belongs to the run, because it affects how sums are
    rounded. Default: the number of cores, or OMP_NUM_THREADS; 1 on a GPU."""
    array_seeds: int | None = None
    """Number of runs to launch with --launcher, with the seeds --seed, --seed + 1, ...; each seed is part of its run's
    name."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunOptions, EnvironmentOptions, AlgorithmOptions, MachineOptions, Command):
    """Train an agent on the real Atari game and leave a run folder."""

    launch: LaunchSettings = field(default_factory=LaunchSettings)


@dataclass(frozen=True)
class ResumeSettings(Command):
    """Resume a run or a search that was stopped or killed. The results are the same as without the interruption."""

    run: Positional[Path]
    """The run folder."""
    timesteps: int | None = None
    """Another budget in agent steps, to which schedules are stretched. Default: the run's."""
    checkpoint_every: int | None = None
    """Agent steps between checkpoints. Default: the run's."""
    checkpoint_minutes: float | None = None
    """Minutes after which a checkpoint is due as well; 0 for never. Default: the run's."""
    track: TrackerName | None = None
    """Send TensorBoard's numbers to wandb, trackio or mlflow as well."""


@dataclass(frozen=True)
class ExploreSettings(Command):
    """Search a game for high scores: random play from an archive of states, to which the emulator is put back."""

    env: str = DEFAULT_ENV
    """Atari environment id."""
    timesteps: int = 2_000_000
    """Budget in agent steps."""
    minutes: float | None = None
    """Stop after this many minutes; resume continues. Default: at the end of the budget."""
    noise: Literal["fixed", "fresh"] = "fixed"
    """fixed keeps the generator of sticky actions in each state, so that the actions that lead to it replay exactly;
    fresh draws other sticky actions each time, for data to learn from."""
    seed: int = 742
    """Seed of the search and of its game."""
    cells: int = 100_000
    """Largest number of cells, about 1.5 kB each in memory."""
    processes: int | None = None
    """Processes that play. What is found does not depend on their number. Default: one for each core."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints; 0 for only one at the end."""
    video: bool = True
    """Make the video of the best game found."""
    name: str | None = None
    """Name of the run; its folder is RUNS/gravitar/NAME. Default: explore and the seed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    resume_if_exists: bool = False
    """Resume the search if its folder exists."""


@dataclass(frozen=True)
class EvaluateSettings(Command):
    """Play whole games with a trained agent and report its raw scores."""

    run: Positional[Path]
    """The run folder."""
    games: int = 100
    """Whole games to play."""
    policy: Literal["greedy", "sampled"] | None = None
    """greedy: always the best action; sampled: from PPO's policy, or with DQN's and QR-DQN's final epsilon. Default:
    greedy for DQN and QR-DQN, sampled for PPO."""
    sticky: float | None = None
    """Probability of a sticky action, 0 to 1; 0 turns them off. Default: as in training."""
    checkpoint: str | None = None
    """Which checkpoint: best, step-000100000, ... Default: the latest."""
    seed: int = 10_742
    """Seed of the games and of sampled actions; another than in training."""
    n_envs: int = 8
    """Games played at once."""
    json: Path | None = None
    """Where the result goes as JSON. Default: evaluations/ in the run folder."""


@dataclass(frozen=True)
class ReplaySettings(Command):
    """Play traced episodes again: make a video of one, or verify the scores of all."""

    run: Positional[Path]
    """Run folder, such as runs/gravitar/demo."""
    episode: int | None = None
    """Number of the episode to show, counting from 0."""
    best: bool = False
    """Show the episode with the highest score (the first of several)."""
    outtake: bool = False
    """Name the video gravitar-outtake-... instead of gravitar-video-..., for games worth a laugh."""
    output: Path | None = None
    """The video's file (.mp4) or folder. Default: the run's folder videos/."""
    scale: int | None = None
    """Video pixels for each pixel of the game; even. Default: 4 for Atari, else 2."""
    verify: bool = False
    """Play all episodes again and compare their scores with the run's trace, monitor.csv and marking log.
    Where one differs: a list, and exit status 1."""
    sample: int | None = None
    """With --verify: this number of episodes, chosen at random, instead of all."""
    seed: int = 742
    """Seed of that choice."""
    force: bool = False
    """Replay a trace even if it was made with another version of ale-py or gymnasium."""


@dataclass(frozen=True)
class WatchSettings(Command):
    """Let a trained agent play one whole game, in a window, in a terminal without a display, or as a video."""

    run: Positional[Path]
    """The run folder."""
    policy: Literal["greedy", "sampled"] | None = None
    """greedy: always the best action; sampled: from PPO's policy, or with DQN's and QR-DQN's final epsilon. Default:
    greedy for DQN and QR-DQN, sampled for PPO."""
    checkpoint: str | None = None
    """Which checkpoint: best, step-000100000, ... Default: the latest."""
    seed: int = 10_742
    """Seed of the game and of sampled actions; another one makes another game."""
    output: Path | None = None
    """Folder of a video to make instead. Default, where there is neither display nor terminal: runs/watched."""
    speed: float = 1.0
    """How fast it is shown, in times the game's own speed."""


@dataclass(frozen=True)
class PlaySettings(Command):
    """Play an Atari game with the keyboard; each game is recorded, to be replayed and verified like an agent's."""

    env: str = DEFAULT_ENV
    """Id of an Atari environment."""
    name: str = "played"
    """Name of the folder, RUNS/gravitar/NAME. Further games are added to those that it has."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    seed: int = 742
    """Seed from which each game's own follows."""
    sticky: float = 0.25
    """Probability that a frame repeats the action of the one before, 0 to 1; 0.25 as for the agents."""
    speed: float = 1.0
    """How fast it runs, in times the game's own 60 pictures a second."""


@dataclass(frozen=True)
class PackSettings(Command):
    """Make a small copy of a run, with all that shows and plays it."""

    run: Positional[Path]
    """The run folder."""
    output: Positional[Path]
    """The new folder."""
    checkpoint: str | None = None
    """Whose weights: best, step-000100000, ... Default: the latest."""


@dataclass(frozen=True)
class ExportSettings(Command):
    """Export an agent for plain Stable-Baselines3, with a model card."""

    run: Positional[Path]
    """The run folder, or one made by pack."""
    output: Positional[Path]
    """The new folder."""
    format: Literal["sb3"] = "sb3"
    """sb3: a .zip that plain Stable-Baselines3 loads."""
    checkpoint: str | None = None
    """Which checkpoint: best, step-000100000, ... Default: the latest."""


@dataclass(frozen=True)
class InspectSettings(Command):
    """Compare runs and other people's logs: tables, and one figure with all of them."""

    logs: Positional[tuple[Path, ...]]
    """Run folders, or files such as gravitar-log.txt, agent-log.txt and monitor.csv, one or many."""
    output: Path | None = None
    """The figure (.png, .pdf or .svg). Default: inspect.png in the current folder, beside tables; none in a run's."""
    format: Literal["table", "csv", "json"] = "table"
    """table: for reading; csv and json: one record for each log, for programs."""
    window: int = 100
    """Games that a mean covers; marking lines have their own."""
    title: str | None = None
    """Title of the figure."""
    references: FlagConversionOff[bool | None] = None
    """Lines at Gravitar's random and human scores, where in range. Default: when all logs may be of Gravitar."""
