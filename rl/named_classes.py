"""Classes that a YAML file names, as in ``rl.wrappers.RamBits``, imported only out of a few known packages.

Credits: the notation is rl-baselines3-zoo's (Raffin 2020).
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import Any

from common.errors import UserError, first_line, nearest

# Class and keyword arguments of a wrapper or callback, not imported yet.
NamedCall = tuple[str, dict[str, Any]]

# Packages that a class may be named from. "rl" and "callbacks" are this project's own. rl_zoo3 is imported
# only where one of its classes is named: its import changes gymnasium's TimeLimit for the whole process.
CLASS_PACKAGES = ("gymnasium", "stable_baselines3", "sb3_contrib", "rl_zoo3", "rl", "callbacks")

# Where a class found in those packages may have been defined: they re-export some of torch's.
_DEFINED_IN = (*CLASS_PACKAGES, "torch")

# Modules of `rl` that lay beside each other before they had rooms, and where they are now. Users' YAML and the
# settings.yml of older runs may name their classes as they were.
_MOVED = {
    "atari_env": "envs.atari_env",
    "atari_view": "envs.atari_view",
    "atari_worker": "envs.atari_worker",
    "episode_vec_env": "envs.episode_vec_env",
    "features": "algorithms.features",
    "frame_ring": "buffers.frame_ring",
    "game": "envs.atari_game",
    "gym_env": "envs.gym_env",
    "make_env": "envs.make_env",
    "pipelined_ppo": "algorithms.pipelined_ppo",
    "playback": "traces.playback",
    "preview": "traces.preview",
    "protocols": "envs.protocols",
    "replay_learning": "algorithms.replay_dqn",
    "replay_memory": "buffers.replay_buffer",
    "rollout_buffer": "buffers.rollout_buffer",
    "sum_tree": "buffers.sum_tree",
    "transition_ring": "buffers.transition_ring",
    "verification": "traces.verification",
    "video": "traces.video",
    "zoo_config": "zoo.config",
}

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_dotted_name(text: str) -> bool:
    """Whether a text has the form of a class's full name, as in ``package.module.Class``."""
    return _DOTTED.fullmatch(text) is not None


def resolve_class(dotted: str, where: str, base: type = object) -> type:
    """The class with a full name, imported only if it comes from one of `CLASS_PACKAGES`.

    :param dotted: for example ``"stable_baselines3.common.atari_wrappers.AtariWrapper"``
    :param where: file and block, for the error message
    :param base: the class must be this one or be derived from it
    :raises UserError: when the package is not one of the known ones or is not installed, when there is no
        such module or class, or when the class is of another kind
    """
    if not is_dotted_name(dotted):
        raise UserError(f"{where}: '{dotted}' is not the full name of a class, as in package.module.Class")
    package = dotted.split(".")[0]
    if package not in CLASS_PACKAGES:
        raise UserError(
            f"{where}: '{dotted}' comes from a package that configurations may not use"
            f"{nearest(package, CLASS_PACKAGES)} (allowed: {', '.join(CLASS_PACKAGES)})"
        )
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{where}: '{dotted}' needs the package {package}, which is not installed")
    module_name, name = dotted.rsplit(".", 1)
    if package == "rl":
        inside = module_name.removeprefix("rl.")
        module_name = f"rl.{_MOVED[inside]}" if inside in _MOVED else module_name
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module that lacks a library of its own raises what it likes
        raise UserError(f"{where}: cannot import {module_name} for '{dotted}': {first_line(error)}") from error
    found = getattr(module, name, None)
    classes = [key for key, value in vars(module).items() if isinstance(value, type)]
    if not isinstance(found, type) or found.__module__.split(".")[0] not in _DEFINED_IN:
        raise UserError(f"{where}: {module_name} has no class '{name}'{nearest(name, classes)}")
    if not issubclass(found, base):
        raise UserError(f"{where}: '{dotted}' is not a kind of {base.__name__}")
    return found
