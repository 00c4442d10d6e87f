"""Hyperparameters from YAML files in rl-baselines3-zoo's format, read without ``eval``.

    config = load_config(path)
    key, block = select_block(config, "ALE/Gravitar-v5", "ram", path)
    hyperparameters = parse_block(block, "ppo", f"{path}, block '{key}'")
    model = PPO(hyperparameters.policy, env, **hyperparameters.algorithm)

The files in ``rl_zoo_configs/`` have this format, and those of rl-baselines3-zoo itself load as well. Values that the
zoo would ignore, or fail on later, are errors here that name file, block and key.

Credits: the format is rl-baselines3-zoo's (Raffin 2020); Stable-Baselines3 (Raffin et al. 2021), sb3-contrib.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from sb3_contrib import QRDQN, TQC, CrossQ
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecNormalize

from common.errors import UserError, first_line, nearest
from common.files import read_bounded
from common.records import parse_yaml
from rl.algorithms.activations import activation_of
from rl.algorithms.hdqn import HDQN
from rl.named_classes import NamedCall, is_dotted_name, resolve_class
from rl.registration import is_atari
from rl.zoo.literals import parse_expression
from rl.zoo.values import check_value

# The algorithms for box actions that learn from a replay buffer.
CONTINUOUS: dict[str, type[BaseAlgorithm]] = {"td3": TD3, "sac": SAC, "tqc": TQC, "crossq": CrossQ}
# The algorithms that have hyperparameters for Atari games, all of them; "hdqn" is for those with goals.
ATARI_ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "qrdqn": QRDQN, "dqn": DQN}
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {**ATARI_ALGORITHMS, "hdqn": HDQN, **CONTINUOUS}
NOISES = ("normal", "ornstein-uhlenbeck")

# Keys of a block that are not parameters of the algorithm's constructor.
_ZOO_KEYS = (
    "n_envs",
    "n_timesteps",
    "policy",
    "frame_stack",
    "normalize",
    "env_wrapper",
    "vec_env_wrapper",
    "callback",
    "env_kwargs",
    "monitor_kwargs",
)
_NOISE_KEYS = ("noise_type", "noise_std")  # for the algorithms of CONTINUOUS

# Constructor parameters that come from the command line, or from noise_type and noise_std, as in the zoo.
_COMMAND_LINE = ("env", "tensorboard_log", "verbose", "seed", "device", "_init_setup_model", "action_noise")

# Parameters that the zoo evaluates when they are strings.
_EXPRESSIONS = ("policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs")

_ATARI_ID = re.compile(r"(?:ALE/)?(?P<game>\w+?)(?P<ram>-ram)?(?:NoFrameskip|Deterministic)?-v\d+")


@dataclass(frozen=True)
class ZooHyperparameters:
    """A validated block.

    :param n_envs: number of environments, at least 1
    :param n_timesteps: budget in agent steps, over all environments, at least 1
    :param policy: one of the algorithm's policy names, or a policy class
    :param frame_stack: number of observations stacked, or None for no stacking
    :param normalize: keyword arguments of SB3's `VecNormalize`, or None for no normalisation
    :param env_wrapper: gymnasium wrappers, the innermost first, for `resolve_class`
    :param vec_env_wrapper: wrappers of the whole vector environment
    :param callback: callbacks by name
    :param env_kwargs: keyword arguments for making the environment
    :param monitor_kwargs: keyword arguments of SB3's `Monitor`
    :param action_noise: one of ``NOISES`` and its standard deviation in units of actions from -1 to 1; None for none
    :param algorithm: the remaining keyword arguments of the algorithm's constructor, ready to be passed:
        schedules are callables, ``policy_kwargs`` a dictionary, ``train_freq`` a number or a tuple
    """

    n_envs: int
    n_timesteps: int
    policy: str | type[BasePolicy]
    frame_stack: int | None
    normalize: dict[str, Any] | None
    env_wrapper: tuple[NamedCall, ...]
    vec_env_wrapper: tuple[NamedCall, ...]
    callback: tuple[NamedCall, ...]
    env_kwargs: dict[str, Any]
    monitor_kwargs: dict[str, Any]
    algorithm: dict[str, Any]
    action_noise: tuple[str, float] | None = None


MOST_CONFIG = 10_000_000  # bytes


def load_config(path: Path) -> dict[str, dict[str, Any]]:
    """The blocks of a file, by environment id or by a name such as ``atari``.

    :raises UserError: when the file cannot be read, is not YAML, or is not a mapping of mappings
    """
    try:
        config = parse_yaml(read_bounded(path, MOST_CONFIG).decode())
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: the file must be a mapping of environment ids to hyperparameters")
    for key, block in config.items():
        if not isinstance(key, str) or not isinstance(block, dict) or not block:
            raise UserError(f"{path}, block '{key}': a block must be a mapping of hyperparameters")
    return config


def select_block(
    config: Mapping[str, dict[str, Any]], env_id: str, obs: Literal["pixels", "ram"], path: Path
) -> tuple[str, dict[str, Any]]:
    """The block for an environment and a kind of observation.

    As in the zoo, for pixels and for environments that are not Atari games: the id itself, then ``atari`` or
    ``default``. For RAM: the id itself if it is a RAM environment's, ``<Game>-ram-v0``, ``atari-ram``.

    :return: the block's key and the block
    :raises UserError: when there is none
    """
    match = _ATARI_ID.fullmatch(env_id)
    ram_id = match is not None and match["ram"] is not None
    if obs == "pixels" and ram_id:
        raise UserError(f"{env_id} shows RAM, not pixels; choose RAM observations for it")
    if obs == "ram":
        # The block of an id with pixel observations is for pixels.
        candidates = [env_id] if ram_id else []
        candidates += [f"{match['game']}-ram-v0"] if match else []
        candidates.append("atari-ram")
    else:
        candidates = [env_id, "atari" if is_atari(env_id) else "default"]
    for key in candidates:
        if key in config:
            return key, config[key]
    looked_for = ", ".join(dict.fromkeys(candidates))
    if candidates[-1] == "default":
        raise UserError(
            f"{path} has no hyperparameters for {env_id}; name a file that has some with --config, under the key "
            f"{env_id} or default, such as one of rl-baselines3-zoo's{nearest(env_id, config)}"
        )
    raise UserError(
        f"{path}: no hyperparameters for {env_id} with {obs} (looked for {looked_for}){nearest(env_id, config)}"
    )


def parse_block(block: Mapping[str, Any], algo: str, where: str) -> ZooHyperparameters:
    """The hyperparameters of one block, checked against the algorithm's constructor.

    :param algo: one of `ALGORITHMS`
    :param where: file and block, for the error message
    :raises UserError: for an unknown algorithm or key, a missing key, a value of a wrong type or out of range
    """
    if algo not in ALGORITHMS:
        raise UserError(f"unknown algorithm '{algo}'{nearest(algo, ALGORITHMS)} (known: {', '.join(ALGORITHMS)})")
    constructor = _constructor(ALGORITHMS[algo])
    parameters = {key: value for key, value in constructor.items() if key not in ("self", "policy", *_COMMAND_LINE)}
    known = [*parameters, *_ZOO_KEYS, *(_NOISE_KEYS if algo in CONTINUOUS else ())]
    for key in block:
        if key == "action_noise" and algo in CONTINUOUS:
            raise UserError(f"{where}: 'action_noise' is an object; write noise_type and noise_std")
        if key in _COMMAND_LINE:
            raise UserError(f"{where}: '{key}' is set on the command line, not in the configuration; remove it")
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}' for {algo}{nearest(str(key), known)}")
    for key in ("n_timesteps", "policy"):
        if key not in block:
            raise UserError(f"{where}: the key '{key}' is missing")
    n_envs = check_value("n_envs", block.get("n_envs", 1), int, where)
    policy = _policy(block["policy"], algo, where)
    algorithm = {
        key: check_value(key, _evaluated(key, block[key], where), parameters[key].annotation, where)
        for key in block
        if key in parameters
    }
    if algorithm.get("policy_kwargs"):
        algorithm["policy_kwargs"] = _policy_kwargs(algorithm["policy_kwargs"], policy, algo, where)
    frequency = algorithm.get("train_freq")
    if n_envs > 1 and isinstance(frequency, tuple) and frequency[1] == "episode":
        raise UserError(f"{where}: train_freq in episodes needs n_envs 1, not {n_envs}")
    monitor = _evaluated("monitor_kwargs", block.get("monitor_kwargs", {}), where)
    return ZooHyperparameters(
        n_envs=n_envs,
        n_timesteps=_timesteps(block["n_timesteps"], where),
        policy=policy,
        frame_stack=check_value("frame_stack", block.get("frame_stack"), int | None, where),
        normalize=_normalize(block, where),
        env_wrapper=_named_calls("env_wrapper", block, where),
        vec_env_wrapper=_named_calls("vec_env_wrapper", block, where),
        callback=_named_calls("callback", block, where),
        env_kwargs=check_value("env_kwargs", block.get("env_kwargs", {}), dict[str, Any], where),
        monitor_kwargs=check_value("monitor_kwargs", monitor, dict[str, Any], where),
        algorithm=algorithm,
        action_noise=_action_noise(block, where),
    )


def _action_noise(block: Mapping[str, Any], where: str) -> tuple[str, float] | None:
    kind, std = block.get("noise_type"), block.get("noise_std")
    if kind is None:
        if std is not None:
            raise UserError(f"{where}: noise_std without noise_type; add one of {', '.join(NOISES)}")
        return None
    name = kind.strip() if isinstance(kind, str) else kind
    if name not in NOISES:
        raise UserError(
            f"{where}: unknown noise_type '{kind}' (known: {', '.join(NOISES)}){nearest(str(name), NOISES)}"
        )
    if std is None:
        raise UserError(f"{where}: noise_type needs noise_std, its standard deviation, as in noise_std: 0.1")
    return name, check_value("noise_std", std, float, where)


def _constructor(algorithm: type) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor, and of those of its base classes to which it hands others on."""
    found: dict[str, inspect.Parameter] = {}
    for kind in algorithm.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(kind.__init__, eval_str=True).parameters  # type: ignore[misc]
        for name, parameter in parameters.items():
            if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
                found.setdefault(name, parameter)
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return found


def _evaluated(key: str, value: Any, where: str) -> Any:
    if isinstance(value, str) and key in (*_EXPRESSIONS, "normalize", "monitor_kwargs"):
        return parse_expression(value, f"{where}, {key}")
    return value


def _timesteps(value: Any, where: str) -> int:
    # The zoo calls int() on it, so a string of digits is a number as well.
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return int(check_value("n_timesteps", value, int, where))


def _policy(value: Any, algo: str, where: str) -> str | type[BasePolicy]:
    aliases = ALGORITHMS[algo].policy_aliases
    if isinstance(value, str) and is_dotted_name(value):
        return resolve_class(value, where, BasePolicy)
    if not isinstance(value, str) or value not in aliases:
        raise UserError(
            f"{where}: unknown policy '{value}' for {algo}{nearest(str(value), aliases)} (known: {', '.join(aliases)})"
        )
    return value


def _policy_kwargs(values: dict[str, Any], policy: str | type[BasePolicy], algo: str, where: str) -> dict[str, Any]:
    policy_class = ALGORITHMS[algo].policy_aliases[policy] if isinstance(policy, str) else policy
    parameters = dict(inspect.signature(policy_class.__init__).parameters)
    # The algorithm passes these itself.
    for given in ("self", "observation_space", "action_space", "lr_schedule"):
        parameters.pop(given, None)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    checked = {}
    for key, value in values.items():
        if key not in parameters and not takes_any:
            raise UserError(
                f"{where}: unknown key '{key}' in policy_kwargs of {policy_class.__name__}{nearest(key, parameters)}"
            )
        if key == "activation_fn" and isinstance(value, str):
            checked[key] = activation_of(value, f"{where}, policy_kwargs")
            continue
        annotation = parameters[key].annotation if key in parameters else Any
        checked[key] = check_value(key, value, annotation, f"{where}, policy_kwargs")
    return checked


def _normalize(block: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    value = _evaluated("normalize", block.get("normalize"), where)
    if value is None or value is False:
        return None
    value = {} if value is True else value
    if not isinstance(value, dict):
        raise UserError(f"{where}: normalize must be true, false or a mapping, not {value!r}")
    parameters = inspect.signature(VecNormalize.__init__).parameters
    known = [key for key in parameters if key not in ("self", "venv")]
    for key in value:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}' in normalize{nearest(str(key), known)}")
    checked = {key: check_value(key, item, parameters[key].annotation, where) for key, item in value.items()}
    # Returns are normalised with the algorithm's discount.
    return {**checked, "gamma": float(block["gamma"])} if "gamma" in block else checked


def _named_calls(key: str, block: Mapping[str, Any], where: str) -> tuple[NamedCall, ...]:
    value = block.get(key)
    items = [] if value is None else value if isinstance(value, list) else [value]
    calls: list[NamedCall] = []
    for item in items:
        if isinstance(item, dict) and len(item) == 1:
            name, arguments = next(iter(item.items()))
        else:
            name, arguments = item, {}
        if not isinstance(name, str) or not is_dotted_name(name):
            raise UserError(
                f"{where}: {key} must be the full name of a class, as in package.module.Class, not {name!r}"
            )
        if not isinstance(arguments, dict) or not all(isinstance(argument, str) for argument in arguments):
            raise UserError(f"{where}: the arguments of {name} in {key} must be a mapping, not {arguments!r}")
        calls.append((name, arguments))
    return tuple(calls)
