"""Settings of a training run: the command line's dataclass, the presets, and what they resolve to.

``TrainSettings`` are the flags of the command line; ``RunSettings`` determine a run completely. They are kept in the
run folder as ``settings.yml``, from which the run can be rebuilt without unpickling anything.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from common.device import check_device, resolve_precision, usable_device
from common.errors import UserError, check_at_least, check_counts, nearest
from common.options import Precision
from common.parallel import default_parts
from common.records import parse_yaml, plain
from common.run_folder import check_name, load_settings
from rl.algorithms.pipelined_ppo import Schedules
from rl.envs.goals import Critic
from rl.envs.make_env import OBSERVATIONS, EnvironmentSettings, is_native, protocol_of, resolve_obs
from rl.envs.protocols import Protocol, protocol
from rl.envs.shaping import parse_shaping
from rl.named_classes import resolve_class
from rl.options import DEFAULT_ENV, Exploration, TrainSettings
from rl.presets import PONG_PRESETS
from rl.registration import find_spec, is_atari
from rl.tasks import TASKS
from rl.zoo.config import ALGORITHMS, CONTINUOUS, ZooHyperparameters, load_config, parse_block, select_block

ENDLESS = 10**12  # steps of a run whose budget is counted in games
EXPLORING = ("dqn", "qrdqn")  # by epsilon
MOST_ENVS = 4_096
MOST_THREADS = 256
MOST_STEPS_AT_ONCE = 10_000_000  # of a rollout, or in a batch
SMALLEST_BATCH = 32  # the smallest default batch size of the algorithms, for configurations without one
CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "rl_zoo_configs"

# Defaults that flags override; `set` has hyperparameters by algorithm.
PRESETS: dict[str, dict[str, Any]] = {
    # For a first try: under five minutes on two cores.
    "demo": {"algo": "ppo", "obs": "ram", "timesteps": 300_000},
    # The assignment: Gravitar-v0's emulator settings, a night on a laptop.
    "coursework": {"algo": "ppo", "obs": "ram", "frame_skip": "2-4", "timesteps": 20_000_000},
    # The literature's 10M agent steps (40M frames), to compare with docs/gravitar.md; for a GPU.
    "literature": {"algo": "ppo", "obs": "pixels", "protocol": "machado", "timesteps": 10_000_000},
    # Seconds, for checking an installation.
    "smoke": {
        "algo": "ppo",
        "obs": "ram",
        "timesteps": 8_000,
        "n_envs": 8,
        "set": {
            "ppo": {"n_steps": 64, "batch_size": 256, "policy_kwargs": "dict(net_arch=[64])"},
            "qrdqn": {"learning_starts": 1_000, "policy_kwargs": "dict(net_arch=[64])"},
            "dqn": {"learning_starts": 1_000, "policy_kwargs": "dict(net_arch=[64])"},
            "hdqn": {"learning_starts": 1_000, "policy_kwargs": "dict(net_arch=[64])"},
        },
    },
}


PRESETS_OF = {"gravitar": PRESETS, "pong": PONG_PRESETS}


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run, resolved.

    :param algo: a key of ``rl.zoo.config.ALGORITHMS``
    :param environment: the environment and its protocol
    :param hyperparameters: the configuration's block after all replacements, in the zoo's format
    :param source: file and block of the configuration, for error messages
    :param threads: number of parts into which each batch is divided on a processor, see ``common.parallel``
    :param starts: the search or training whose states some environments begin from, None for whole games alone; the
        states are in the run folder
    :param starts_envs: number of environments that do so
    :param self_imitation: gradient steps of self-imitation after each update of PPO
    :param exploration: whether DQN's environments take random actions all at once or each by itself
    :param schedules: whether PPO's schedules end with the last step, as those of earlier runs, or the last update
    :param action_probabilities: probabilities of the actions with which DQN and QR-DQN explore; empty for equal ones
    :param epsilon_decay: agent steps over which their epsilon falls; None where the hyperparameters say it
    :param predicted_q: number of held-out states whose mean predicted value is recorded
    :param task: a key of ``rl.tasks.TASKS``
    :param stop_mean: mean score of the last 100 episodes at which the training ends before its budget does
    :param pretrained: the run folder with whose policy training begins, None for an untrained one
    """

    algo: str
    environment: EnvironmentSettings
    hyperparameters: dict[str, Any]
    source: str
    seed: int
    n_envs: int
    timesteps: int
    episodes: int | None
    device: str
    precision: Precision
    name: str
    video_every: int
    checkpoint_every: int
    checkpoint_minutes: float = 5.0
    threads: int = 1
    starts: str | None = None
    starts_envs: int = 0
    self_imitation: int = 0
    predicted_q: int = 0
    pretrained: str | None = None
    exploration: Exploration = "joint"
    schedules: Schedules = "steps"
    task: str = "gravitar"
    action_probabilities: tuple[float, ...] = ()
    epsilon_decay: int | None = None
    stop_mean: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None

    @cached_property
    def parsed(self) -> ZooHyperparameters:
        """The hyperparameters, ready for the algorithm's constructor."""
        return parse_block(self.hyperparameters, self.algo, self.source)

    @property
    def budget(self) -> int:
        """Agent steps that schedules are made for."""
        return ENDLESS if self.episodes else self.timesteps

    def with_budget(
        self, timesteps: int, checkpoint_every: int | None, checkpoint_minutes: float | None = None
    ) -> RunSettings:
        """The same run with another budget, or other intervals between checkpoints."""
        changed = dataclasses.replace(
            self,
            timesteps=timesteps,
            hyperparameters={**self.hyperparameters, "n_timesteps": timesteps},
            checkpoint_every=self.checkpoint_every if checkpoint_every is None else checkpoint_every,
            checkpoint_minutes=self.checkpoint_minutes if checkpoint_minutes is None else checkpoint_minutes,
        )
        changed.check()
        return changed

    def check(self) -> None:
        """:raises UserError: for a number that is out of range, or an unknown name"""
        if self.task not in TASKS:
            raise UserError(f"unknown task '{self.task}' (known: {', '.join(TASKS)})")
        if self.environment.obs not in OBSERVATIONS:
            raise UserError(f"unknown observation '{self.environment.obs}' (known: {', '.join(OBSERVATIONS)})")
        check_device(self.device)
        positive = {"--timesteps": self.timesteps, "--episodes": self.episodes,
                    "--checkpoint-every": self.checkpoint_every, "--epsilon-decay": self.epsilon_decay}  # fmt: skip
        check_at_least(1, positive)
        zero_or_more = {"--seed": self.seed, "--video-every": self.video_every, "--predicted-q": self.predicted_q,
                        "--checkpoint-minutes": self.checkpoint_minutes,
                        "--self-imitation": self.self_imitation}  # fmt: skip
        check_at_least(0, zero_or_more)
        check_counts(MOST_ENVS, {"--n-envs": self.n_envs})
        check_counts(MOST_THREADS, {"--threads": self.threads})
        self.environment.protocol.check()
        if not 0 <= self.starts_envs < self.n_envs:
            raise UserError(f"{self.starts_envs} of {self.n_envs} environments begin from --starts: some must not")
        algorithm = self.parsed.algorithm
        check_counts(MOST_STEPS_AT_ONCE, {f"--set {key}": algorithm.get(key) for key in ("batch_size", "n_steps")})
        if self.epsilon_decay is not None and self.epsilon_decay > self.budget:
            raise UserError(
                f"--epsilon-decay {self.epsilon_decay}: the run ends after {self.timesteps} steps, before epsilon has "
                "come down; give more --timesteps, or a shorter decay"
            )

    def to_yaml(self) -> str:
        """The content of ``settings.yml``; wrappers are in the zoo's format."""
        content = plain(self)
        content["environment"]["wrappers"] = [{name: kwargs} for name, kwargs in self.environment.wrappers]
        return yaml.safe_dump(content, sort_keys=False)

    @staticmethod
    def from_yaml(path: Path) -> RunSettings:
        """Read ``settings.yml``.

        :raises UserError: when it is absent or does not hold a run's settings
        """
        return load_settings(RunSettings, path, _with_pairs)


def _with_pairs(content: Any) -> Any:
    """Wrappers as pairs of name and keyword arguments."""
    if "noise" in content:
        raise UserError("it is a search's, which has no agent")
    environment = content["environment"]
    pairs = [pair for wrapper in environment["wrappers"] for pair in wrapper.items()]
    return {**content, "environment": {**environment, "wrappers": pairs}}


def resolve(user: TrainSettings, task: str = "gravitar") -> RunSettings:
    """Complete the settings from the preset, the configuration file and the defaults.

    :param task: a key of ``rl.tasks.TASKS``
    :raises UserError: for an unknown name or a value out of range
    """
    _check_numbers(user)
    row = _preset(user.preset, task)
    algo = user.algo or row.get("algo", "ppo")
    if algo not in ALGORITHMS:
        raise UserError(f"unknown algorithm '{algo}' (known: {', '.join(ALGORITHMS)}){nearest(algo, ALGORITHMS)}")
    default = row.get("obs") if is_atari(user.env) else None
    obs = resolve_obs(user.env, user.obs or default or ("ram" if user.env == DEFAULT_ENV else None))
    named = row["config"] if "config" in row and user.algo in (None, row["algo"]) else f"{algo}.yml"
    path = user.config or CONFIG_FOLDER / named
    key, block = select_block(load_config(path), user.env, "ram" if obs == "ram" else "pixels", path)
    block = {**block, **row.get("set", {}).get(algo, {})}
    block |= {key: row[name] for key, name in (("n_envs", "n_envs"), ("n_timesteps", "timesteps")) if name in row}
    block |= assignments(user.set)
    flags = {"n_envs": user.n_envs, "n_timesteps": user.timesteps}
    block |= {name: value for name, value in flags.items() if value is not None}
    source = f"{path}, block '{key}'"
    hyperparameters = parse_block(block, algo, source)
    _refuse_unsupported(hyperparameters, source)
    for name, _ in hyperparameters.env_wrapper:  # now, not in worker processes
        resolve_class(name, source)
    full = hyperparameters.env_kwargs.get("full_action_space", False)
    if not isinstance(full, bool):
        raise UserError(f"{source}: full_action_space must be true or false, not {full!r}")
    environment = EnvironmentSettings(
        user.env,
        obs,
        _protocol(user, row, algo, hyperparameters),
        hyperparameters.env_wrapper,
        hyperparameters.env_kwargs,
        goals=algo == "hdqn",
    )
    if environment.goals:
        _check_goals(environment)
        if user.episodes:
            raise UserError("hdqn counts its phases in agent steps; give --timesteps instead of --episodes")
    if environment.protocol.shaping:
        if not is_native(environment) or obs != "ram":
            raise UserError("--shaping reads an Atari game's RAM; add --obs ram, or leave it out")
        if not environment.protocol.reward.startswith(("raw", "scale")):
            raise UserError(f"--shaping adds points, of which --reward {environment.protocol.reward} leaves too little")
        parse_shaping(environment.protocol.shaping, find_spec(user.env).kwargs["game"])
    if user.self_imitation and (algo != "ppo" or not is_native(environment) or obs != "ram"):
        raise UserError("--self-imitation is for PPO on an Atari game's RAM; add --algo ppo --obs ram, or leave it out")
    probabilities, epsilon_decay = _exploration(user, row, algo, hyperparameters, task)
    if environment.protocol.actions and not is_native(environment):
        raise UserError("--actions is for Atari games without wrappers of your own; leave it out")
    if user.exploration and (algo not in ("dqn", "qrdqn") or not is_native(environment)):
        raise UserError("--exploration is for DQN and QR-DQN on an Atari game; add --algo dqn, or leave it out")
    device = usable_device(user.device)
    batch_size = hyperparameters.algorithm.get("batch_size", SMALLEST_BATCH)
    threads = user.threads or default_parts(device, batch_size)
    settings = RunSettings(
        algo=algo,
        environment=environment,
        hyperparameters=block,
        source=source,
        seed=user.seed,
        n_envs=hyperparameters.n_envs,
        timesteps=hyperparameters.n_timesteps,
        episodes=user.episodes,
        device=device,
        precision=_precision(user, algo, device),
        name=check_name(user.name or f"{algo}-{obs}-{user.seed}"),
        video_every=user.video_every,
        checkpoint_every=user.checkpoint_every,
        checkpoint_minutes=user.checkpoint_minutes,
        threads=threads,
        starts=None if user.starts is None else str(user.starts),
        self_imitation=user.self_imitation,
        exploration=user.exploration or (row.get("exploration") if algo in EXPLORING else None) or "joint",
        predicted_q=user.predicted_q,
        schedules="updates",
        task=task,
        action_probabilities=probabilities,
        epsilon_decay=epsilon_decay,
        stop_mean=user.stop_mean,
        pretrained=None if user.pretrained is None else str(user.pretrained),
        starts_envs=_starts_envs(user, environment, hyperparameters.n_envs),
    )
    vars(settings)["parsed"] = hyperparameters  # the cached property: the block is parsed once
    settings.check()
    return settings


def _exploration(
    user: TrainSettings, row: dict[str, Any], algo: str, hyperparameters: ZooHyperparameters, task: str
) -> tuple[tuple[float, ...], int | None]:
    """The probabilities of the actions for exploring, and the steps over which epsilon falls.

    :raises UserError: for an algorithm that does not explore by epsilon, and for a schedule that never ends
    """
    explores = algo in EXPLORING
    given = {"--action-probabilities": user.action_probabilities, "--epsilon-decay": user.epsilon_decay}
    for flag, value in given.items():
        if value is not None and not explores:
            raise UserError(f"{flag} is for {' and '.join(EXPLORING)}, not for {algo}; leave it out")
    decay: int | None = row.get("epsilon_decay") if explores else None
    if decay is not None and user.episodes is None and decay > hyperparameters.n_timesteps:
        decay = None  # a short run: its configuration's share
    if user.epsilon_decay is not None:
        decay = user.epsilon_decay
    if explores and decay is None and task == "pong" and user.episodes is not None:
        raise UserError(
            "epsilon falls over a share of the steps, which never ends with --episodes: add --epsilon-decay"
        )
    return user.action_probabilities or (), decay


def _precision(user: TrainSettings, algo: str, device: str) -> Precision:
    """bfloat16 is for the networks of PPO, DQN and QR-DQN; those of the other algorithms are small."""
    if algo not in CONTINUOUS:
        return resolve_precision(user.precision, device)
    if user.precision == "bfloat16":
        raise UserError(f"--precision bfloat16 is not for {algo}; leave it out")
    return "float32"


def _check_goals(environment: EnvironmentSettings) -> None:
    if not is_native(environment):
        raise UserError("hdqn needs an Atari game with this project's own wrappers, whose RAM says where the goals are")
    critic = Critic(find_spec(environment.env_id).kwargs["game"])
    critic.inputs(environment.obs, environment.protocol.screen_size)  # refuses what cannot be seen
    if environment.obs == "ram" and environment.protocol.frame_stack > 1:
        raise UserError("hdqn sees the RAM of one moment; add --frame-stack 1")


def _starts_envs(user: TrainSettings, environment: EnvironmentSettings, n_envs: int) -> int:
    """The number of environments that begin from the states of a search."""
    if user.starts is None:
        return 0
    if not is_native(environment) or environment.obs != "ram":
        raise UserError("--starts needs an Atari game's RAM as observation, since a state has no screen; add --obs ram")
    if not environment.protocol.life_loss_terminal:
        raise UserError("--starts needs --life-loss True: an episode from a state ends with the first lost life")
    if not isinstance(environment.protocol.frame_skip, int) or environment.protocol.sticky >= 1:
        raise UserError("--starts needs a fixed frame skip and --sticky below 1, or the emulator cannot be put back")
    if not 0 < user.starts_share < 1 or not 1 <= round(user.starts_share * n_envs) < n_envs:
        raise UserError(f"--starts-share {user.starts_share:g} of {n_envs} environments: both kinds need at least one")
    return round(user.starts_share * n_envs)


def _preset(name: str | None, task: str) -> dict[str, Any]:
    if name is None:
        return {}
    presets = PRESETS_OF.get(task, {})
    if name not in presets:
        raise UserError(f"unknown preset '{name}' (known: {', '.join(presets)}){nearest(name, presets)}")
    return presets[name]


def assignments(texts: tuple[str, ...]) -> dict[str, Any]:
    """``("learning_rate=lin_1e-4",)`` as a dictionary; the values are parsed as YAML.

    :raises UserError: for a text that is not ``KEY=VALUE``
    """
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--set {text}: write KEY=VALUE, as in --set learning_rate=lin_1e-4")
        try:
            values[key] = parse_yaml(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {text}: the value is not valid YAML") from error
    return values


def _check_numbers(user: TrainSettings) -> None:
    positive = {"--timesteps": user.timesteps, "--episodes": user.episodes, "--n-envs": user.n_envs,
                "--frame-stack": user.frame_stack, "--checkpoint-every": user.checkpoint_every,
                "--threads": user.threads, "--epsilon-decay": user.epsilon_decay}  # fmt: skip
    check_at_least(1, positive)
    if user.timesteps is not None and user.episodes is not None:
        raise UserError("give either --timesteps or --episodes, not both")


def _frame_skip(text: str) -> int | tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text)
    if match is None or (match[2] and int(match[2]) <= int(match[1])):
        raise UserError(f"--frame-skip {text}: write a number of frames, as in 4, or a range, as in 2-4")
    return (int(match[1]), int(match[2]) + 1) if match[2] else int(match[1])


def _protocol(user: TrainSettings, row: dict[str, Any], algo: str, hyperparameters: ZooHyperparameters) -> Protocol:
    name = user.protocol or row.get("protocol")
    base = protocol_of(user.env, hyperparameters.frame_stack, hyperparameters.env_wrapper, hyperparameters.env_kwargs)
    base = protocol(name) if name else base
    if algo == "hdqn":  # a lost life ends the goal, whatever else the protocol says
        base = dataclasses.replace(base, life_loss_terminal=True)
    frame_skip = user.frame_skip or (None if user.protocol else row.get("frame_skip"))
    changes: dict[str, Any] = {
        "frame_skip": None if frame_skip is None else _frame_skip(frame_skip),
        "sticky": user.sticky,
        "noop_max": user.noop_max,
        "life_loss_terminal": user.life_loss,
        "reward": user.reward,
        "shaping": user.shaping,
        "frame_stack": user.frame_stack,
        "actions": row.get("actions") if user.actions is None else user.actions,
    }
    result = dataclasses.replace(base, **{key: value for key, value in changes.items() if value is not None})
    result.check()
    return result


def _refuse_unsupported(hyperparameters: ZooHyperparameters, source: str) -> None:
    for key in ("normalize", "vec_env_wrapper", "callback", "monitor_kwargs"):
        value = getattr(hyperparameters, key)
        if value or (key == "normalize" and value is not None):
            raise UserError(f"{source}: '{key}' cannot be used in training here; remove it from a copy of the file")
    if hyperparameters.algorithm.get("use_sde"):
        raise UserError(f"{source}: use_sde draws noise that cannot be resumed exactly; add --set use_sde=false")
