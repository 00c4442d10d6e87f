"""Environment ids: whether they are registered, whether they are Atari games, and the legacy ids with RAM observations.

ale-py no longer registers the latter, such as ``Gravitar-ram-v0``. Importing this module registers, beside every
``<Game>-v0``, ``<Game>-v4``, ``<Game>NoFrameskip-v0`` and ``<Game>NoFrameskip-v4`` of ale-py, the same game with
``obs_type="ram"`` as ``<Game>-ram-v0``, ``<Game>-ram-v4``, ``<Game>-ramNoFrameskip-v0`` and
``<Game>-ramNoFrameskip-v4``. In rl-baselines3-zoo's command line: ``--gym-packages rl.registration``.

Credits: the ids are OpenAI Gym's (Brockman et al. 2016, arXiv:1606.01540); gymnasium and ale-py
(Bellemare et al. 2013, arXiv:1207.4708; Machado et al. 2018, arXiv:1709.06009).
"""

from __future__ import annotations

import re

import ale_py
import gymnasium
from gymnasium.envs.registration import EnvSpec

from common.errors import UserError, nearest

_ATARI = "ale_py.env:AtariEnv"
_LEGACY_ID = re.compile(r"(?P<game>[A-Za-z0-9]+?)(?P<suffix>NoFrameskip)?-(?P<version>v0|v4)")


def register_ram_ids() -> list[str]:
    """Register the RAM variant of each of ale-py's legacy ids, once.

    :return: the ids registered by this call, sorted; empty from the second call on
    """
    gymnasium.register_envs(ale_py)
    added = []
    for spec in list(gymnasium.registry.values()):
        legacy = _LEGACY_ID.fullmatch(spec.id)
        if legacy is None or spec.entry_point != _ATARI:
            continue
        ram_id = f"{legacy['game']}-ram{legacy['suffix'] or ''}-{legacy['version']}"
        if ram_id not in gymnasium.registry:
            gymnasium.register(id=ram_id, entry_point=spec.entry_point, kwargs={**spec.kwargs, "obs_type": "ram"})
            added.append(ram_id)
    return sorted(added)


def find_spec(env_id: str) -> EnvSpec:
    """The registered environment.

    :raises UserError: for an unknown id; the message names the nearest
    """
    gymnasium.register_envs(ale_py)
    if env_id not in gymnasium.registry:
        raise UserError(f"unknown environment '{env_id}'{nearest(env_id, gymnasium.registry)}")
    return gymnasium.registry[env_id]


def is_atari(env_id: str) -> bool:
    """Whether the id is that of an Atari game.

    :raises UserError: for an unknown id; the message names the nearest
    """
    return find_spec(env_id).entry_point == _ATARI


def needs_box2d(env_id: str) -> bool:
    """Whether Box2D simulates the environment, which the extra ``walker`` brings.

    :raises UserError: for an unknown id; the message names the nearest
    """
    return str(find_spec(env_id).entry_point).startswith("gymnasium.envs.box2d")


register_ram_ids()
