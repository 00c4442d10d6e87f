"""From settings to vector environments, whichever way is fastest for them.

Atari games go through worker processes of our own, everything else (other gymnasium ids, wrappers of the user's own)
through ``gymnasium.make``.

Credits: Stable-Baselines3's ``make_vec_env`` and ``AtariWrapper``; rl-baselines3-zoo for wrappers named in YAML.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common import atari_wrappers
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecFrameStack

from common.errors import UserError, first_line, nearest
from common.extras import check_installed
from common.run_folder import package_versions
from common.traces import TraceHeader
from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import GameSettings
from rl.envs.goal_env import GoalVecEnv
from rl.envs.goals import Critic
from rl.envs.gym_env import LifeLossTerminal, SeededEpisodes
from rl.envs.gym_vec_env import GymVecEnv
from rl.envs.protocols import Protocol, reward_transform
from rl.envs.saved_starts import SavedStarts
from rl.named_classes import NamedCall, resolve_class
from rl.registration import find_spec, is_atari, needs_box2d

ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
RAM_BITS = "rl.wrappers.RamBits"
SCALE_REWARD = "rl.wrappers.ScaleReward"
FLOOR_REWARD = "rl.wrappers.FloorReward"
CLIP_REWARD = "stable_baselines3.common.atari_wrappers.ClipRewardEnv"
REWARD_WRAPPERS = (SCALE_REWARD, FLOOR_REWARD, CLIP_REWARD)
# Wrappers that our own environments replace; any other goes around ``gymnasium.make``.
NATIVE_WRAPPERS = (ATARI_WRAPPER, RAM_BITS, *REWARD_WRAPPERS)
# Keyword arguments of Atari ids that the protocol and the observation stand for.
ATARI_KWARGS = (
    "obs_type", "frameskip", "repeat_action_probability", "max_num_frames_per_episode", "full_action_space",
)  # fmt: skip
OBSERVATIONS = ("pixels", "ram", "vector")


@dataclass(frozen=True)
class EnvironmentSettings:
    """What decides the environment of a run, besides its seed and the number of games.

    :param env_id: a gymnasium id
    :param obs: ``pixels`` or ``ram`` of an Atari game, ``vector`` for every other environment
    :param protocol: how an Atari game is presented; only ``frame_stack`` and ``reward`` count for others
    :param wrappers: gymnasium wrappers by their full names, the innermost first; those that the protocol or the network
        already stands for (``NATIVE_WRAPPERS``) are not applied again
    :param env_kwargs: keyword arguments for ``gymnasium.make`` besides what the protocol says
    :param goals: whether the learner is told goals, as h-DQN is, instead of the game's own rewards
    """

    env_id: str
    obs: str
    protocol: Protocol
    wrappers: tuple[NamedCall, ...] = ()
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    goals: bool = False


def resolve_obs(env_id: str, obs: str | None) -> str:
    """The kind of observation: the one asked for if the environment has it.

    :raises UserError: when it has not
    """
    if obs is not None and obs not in OBSERVATIONS:
        raise UserError(f"unknown observation '{obs}' (known: {', '.join(OBSERVATIONS)}){nearest(obs, OBSERVATIONS)}")
    if not is_atari(env_id):
        if obs in ("pixels", "ram"):
            raise UserError(f"{env_id} is not an Atari game and has no observation '{obs}'; leave --obs out")
        return "vector"
    shows_ram = find_spec(env_id).kwargs.get("obs_type") == "ram"
    if obs == "vector" or (shows_ram and obs == "pixels"):
        raise UserError(f"{env_id} has no observation '{obs}'; choose --obs ram" + ("" if shows_ram else " or pixels"))
    return obs or ("ram" if shows_ram else "pixels")


def protocol_of(
    env_id: str, frame_stack: int | None, wrappers: tuple[NamedCall, ...], env_kwargs: dict[str, Any]
) -> Protocol:
    """The protocol that an id, its keyword arguments and the zoo's wrappers mean together.

    A frame skip of the id's own is kept; ``AtariWrapper``'s counts where the id has none, instead of being multiplied.
    """
    protocol = Protocol(frame_stack=frame_stack or 1)
    if is_atari(env_id):
        kwargs = {**find_spec(env_id).kwargs, **env_kwargs}
        skip = kwargs["frameskip"]
        protocol = replace(
            protocol,
            frame_skip=skip if isinstance(skip, int) else (int(skip[0]), int(skip[1])),
            sticky=float(kwargs["repeat_action_probability"]),
            max_frames=int(kwargs["max_num_frames_per_episode"]),
        )
    for name, arguments in wrappers:
        if name == ATARI_WRAPPER:
            protocol = replace(
                protocol,
                frame_skip=int(arguments.get("frame_skip", 4)) if protocol.frame_skip == 1 else protocol.frame_skip,
                sticky=float(arguments.get("action_repeat_probability", 0.0)) or protocol.sticky,
                noop_max=int(arguments.get("noop_max", 30)),
                screen_size=int(arguments.get("screen_size", 84)),
                life_loss_terminal=bool(arguments.get("terminal_on_life_loss", True)),
                reward="clip" if arguments.get("clip_reward", True) else "raw",
                fire_reset=True,
            )
        elif name == CLIP_REWARD:
            protocol = replace(protocol, reward="clip")
        elif name == SCALE_REWARD:
            protocol = replace(protocol, reward=f"scale:{np.format_float_positional(arguments['divisor'], trim='-')}")
        elif name == FLOOR_REWARD:
            protocol = replace(protocol, reward=f"floor:{np.format_float_positional(arguments['penalty'], trim='-')}")
    return protocol


def is_native(settings: EnvironmentSettings) -> bool:
    """Whether one of our own Atari environments serves these settings."""
    known = all(name in NATIVE_WRAPPERS for name, _ in settings.wrappers)
    return is_atari(settings.env_id) and known


def is_resumable(settings: EnvironmentSettings) -> bool:
    """Whether the environment is one of our own vector environments, which put episodes back where they were.

    That is so for Atari games and for other environments with arrays as observations, where neither has
    wrappers but those that the protocol stands for.
    """
    if is_atari(settings.env_id):
        return is_native(settings)
    if any(name not in REWARD_WRAPPERS for name, _ in settings.wrappers):
        return False
    env = _make(settings.env_id, disable_env_checker=True, **settings.env_kwargs)
    env.close()
    return isinstance(env.observation_space, spaces.Box)


def make_vec_env(settings: EnvironmentSettings, num_envs: int, seed: int, saved: SavedStarts | None = None) -> VecEnv:
    """The training environment.

    :param num_envs: number of games at once, at least 1
    :param seed: the run's seed, from which every game's seed is made
    :param saved: states from which some environments begin; for native environments only
    :return: an environment whose infos hold ``episode`` and ``trace`` where a whole game ended
    """
    protocol = settings.protocol
    if is_atari(settings.env_id):
        for name in settings.env_kwargs:
            if name not in ATARI_KWARGS:
                raise UserError(f"{settings.env_id} is played without '{name}' here; remove it from env_kwargs")
    if is_resumable(settings) and not is_atari(settings.env_id):
        env: VecEnv = GymVecEnv(
            lambda: _make(settings.env_id, disable_env_checker=True, **settings.env_kwargs),
            num_envs,
            reward_transform(protocol.reward),
            seed,
        )
    elif not is_native(settings):
        for name, _ in settings.wrappers:  # now, not in worker processes
            resolve_class(name, "env_wrapper")
        makers = [_gym_maker(settings, seed, index) for index in range(num_envs)]
        several = num_envs > 1 and is_atari(settings.env_id)
        env = SubprocVecEnv(makers) if several else DummyVecEnv(makers)
    else:
        game = find_spec(settings.env_id).kwargs["game"]
        env = AtariVecEnv(
            game,
            num_envs,
            settings.obs,
            protocol,
            seed,
            full_action_space=_full_action_space(settings),
            saved=saved,
        )
        if settings.goals:
            return GoalVecEnv(env, Critic(game), settings.obs)
        if settings.obs == "pixels":  # stacked by itself
            return env
    return VecFrameStack(env, protocol.frame_stack) if protocol.frame_stack > 1 else env


def goal_names(settings: EnvironmentSettings) -> list[str]:
    """The names of the goals of an Atari game.

    :raises UserError: when it has none
    """
    return Critic(find_spec(settings.env_id).kwargs["game"]).names


def trace_header(settings: EnvironmentSettings) -> TraceHeader:
    """What a replay has to know about the environment."""
    protocol = settings.protocol
    versions = {"gymnasium": gym.__version__}
    if not is_atari(settings.env_id):
        if needs_box2d(settings.env_id):
            versions |= package_versions(("box2d",))
        return TraceHeader(settings.env_id, settings.env_kwargs, versions=versions)
    kwargs = find_spec(settings.env_id).kwargs
    game = GameSettings(
        kwargs["game"],
        protocol.frame_skip if is_native(settings) else _base_skip(settings),
        protocol.sticky,
        protocol.max_frames,
        _full_action_space(settings),
        whole_actions=settings.obs == "pixels" and is_native(settings),
        actions=protocol.actions,
    )
    return TraceHeader(settings.env_id, game=game.rules(), versions={"ale-py": ale_py.__version__, **versions})


def _full_action_space(settings: EnvironmentSettings) -> bool:
    return bool({**find_spec(settings.env_id).kwargs, **settings.env_kwargs}.get("full_action_space", False))


def _base_skip(settings: EnvironmentSettings) -> int | tuple[int, int]:
    """The frame skip inside ``gymnasium.make``: a fixed one is left to ``MaxAndSkipEnv``, outside the trace."""
    skip = settings.protocol.frame_skip
    return 1 if isinstance(skip, int) and settings.obs == "pixels" else skip


def _gym_maker(settings: EnvironmentSettings, seed: int, index: int) -> Callable[[], gym.Env[Any, Any]]:
    def make() -> gym.Env[Any, Any]:
        find_spec(settings.env_id)  # registers ALE's ids in a process of its own
        protocol = settings.protocol
        if not is_atari(settings.env_id):
            env: gym.Env[Any, Any] = Monitor(SeededEpisodes(_make(settings.env_id, **settings.env_kwargs), seed, index))
        else:
            kwargs = {
                **settings.env_kwargs,
                "obs_type": "ram" if settings.obs == "ram" else "rgb",
                "frameskip": _base_skip(settings),
                "repeat_action_probability": protocol.sticky,
                "max_num_frames_per_episode": protocol.max_frames,
            }
            env = _make(settings.env_id, **kwargs)
            env = _atari_wrappers(Monitor(SeededEpisodes(env, seed, index)), settings)
        transform = reward_transform(protocol.reward)
        env = gym.wrappers.TransformReward(env, lambda reward: float(transform(np.array([reward], np.float64))[0]))
        for name, arguments in settings.wrappers:
            if name not in (ATARI_WRAPPER, *REWARD_WRAPPERS):  # the protocol has what they do
                env = resolve_class(name, f"the wrapper of {settings.env_id}", gym.Wrapper)(env, **arguments)
        return env

    return make


def _atari_wrappers(env: gym.Env[Any, Any], settings: EnvironmentSettings) -> gym.Env[Any, Any]:
    """Stable-Baselines3's wrappers for what the protocol says; fire only where a game begins."""
    protocol = settings.protocol
    if protocol.noop_max:
        env = atari_wrappers.NoopResetEnv(env, protocol.noop_max)
    if settings.obs == "pixels" and isinstance(protocol.frame_skip, int) and protocol.frame_skip > 1:
        env = atari_wrappers.MaxAndSkipEnv(env, protocol.frame_skip)
    if protocol.fire_reset and "FIRE" in env.unwrapped.get_action_meanings():  # type: ignore[attr-defined]
        env = atari_wrappers.FireResetEnv(env)
    if protocol.life_loss_terminal:
        env = LifeLossTerminal(env)
    if settings.obs == "pixels":
        env = atari_wrappers.WarpFrame(env, protocol.screen_size, protocol.screen_size)
    return env


def _make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    if needs_box2d(env_id):
        check_installed("Box2D")
    try:
        return gym.make(env_id, **kwargs)
    except Exception as error:
        raise UserError(f"cannot make the environment {env_id}: {first_line(error)}", status=1) from error


def check_actions(env: VecEnv, algo: str) -> None:
    """Refuse an algorithm that cannot take the environment's actions.

    :raises UserError: for DQN and QR-DQN with anything but discrete actions, for other off-policy algorithms with
        anything but a box
    """
    needed = {"ppo": None, "dqn": spaces.Discrete, "qrdqn": spaces.Discrete, "hdqn": spaces.Discrete}.get(
        algo, spaces.Box
    )
    if needed is not None and not isinstance(env.action_space, needed):
        kind = "discrete" if needed is spaces.Discrete else "continuous"
        raise UserError(f"{algo} needs {kind} actions, this environment has {env.action_space}; choose --algo ppo")
