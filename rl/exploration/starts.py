"""States of an archive for an agent in training to start from.

Credits: T. Salimans, R. Chen 2018 (arXiv 1812.03381) and A. Ecoffet et al. 2021 (arXiv 2004.12919), whose agents start
from states of one good game; here they come from the whole archive.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.npz import join_texts, pack_arrays, split_texts, unpack_arrays
from rl.envs.atari_game import AtariGame
from rl.envs.make_env import EnvironmentSettings, trace_header
from rl.envs.saved_starts import SavedStarts
from rl.exploration.archive import Archive, Entry, Lineage, StateParts
from rl.exploration.settings import load_archive

STARTS = "starts.npz"  # in a training's run folder
MAX_STARTS = 2_000  # states
MIN_SURVIVED_STEPS = 15  # steps of random play that a state has to have been followed by


def lasting(archive: Archive) -> list[Entry]:
    """The entries after which random play went on for a while, so that nothing that is about to crash is among them."""
    lines: dict[int, Lineage] = {}
    for entry in archive.entries:
        step: Lineage | None = entry.line
        while step is not None and id(step) not in lines:
            lines[id(step)] = step
            step = step.parent
    siblings: dict[int, list[bytes]] = defaultdict(list)
    for line in lines.values():
        siblings[id(line.parent)].append(line.actions)

    def lasts(line: Lineage) -> bool:
        if any(len(child) >= MIN_SURVIVED_STEPS for child in siblings.get(id(line), [])):
            return True
        return any(
            len(other) >= len(line.actions) + MIN_SURVIVED_STEPS and other.startswith(line.actions)
            for other in siblings[id(line.parent)]
        )

    return [entry for entry in archive.entries if lasts(entry.line)]


def choose_starts(archive: Archive, generator: np.random.Generator, count: int = MAX_STARTS) -> list[Entry]:
    """States from all stages of a game, the same number of each as far as there are so many.

    :param count: of states
    :return: at most ``count``; fewer from a small archive
    """
    stages: dict[tuple[int, ...], list[Entry]] = defaultdict(list)
    for entry in lasting(archive):
        stages[entry.moment.stage].append(entry)
    shuffled = [[entries[number] for number in generator.permutation(len(entries))] for entries in stages.values()]
    chosen: list[Entry] = []
    depth = 0
    while len(chosen) < count and any(depth < len(entries) for entries in shuffled):
        chosen += [entries[depth] for entries in shuffled if depth < len(entries)]
        depth += 1
    return chosen[:count]


def starts_of(search: Path, environment: EnvironmentSettings, seed: int) -> bytes:
    """The content of ``starts.npz`` for a training.

    :param search: run folder of a search with fresh noise
    :param environment: of the training
    :param seed: of the choice
    :raises UserError: when the search is of another game, has fixed noise, or has found too little
    """
    settings, archive = load_archive(search)
    if settings.environment.env_id != environment.env_id:
        raise UserError(f"{search} explored {settings.environment.env_id}, not {environment.env_id}")
    if settings.game.full_action_space != (trace_header(environment).game or {}).get("full_action_space"):
        raise UserError(f"{search} has another set of actions; remove full_action_space from env_kwargs")
    if settings.noise != "fresh":
        raise UserError(f"{search} has fixed noise, the same in each episode from a state; explore with --noise fresh")
    chosen = choose_starts(archive, np.random.default_rng(seed))
    if not chosen:
        raise UserError(f"{search} has found no states to start from; explore longer")
    parts = StateParts(AtariGame(settings.game).save_state(with_generator=False))
    states = [zlib.compress(parts.join(entry.state), 1) for entry in chosen]
    last_actions = np.array([entry.last_action for entry in chosen], np.uint8)
    return pack_arrays({**join_texts("states", states), "last_actions": last_actions}, compress=False)


def read_starts(content: bytes, environments: int) -> SavedStarts:
    """The states in ``starts.npz``.

    :param environments: number of environments that start from them
    :raises KeyError: when an array is missing
    :raises ValueError: when it is damaged
    """
    arrays = unpack_arrays(content)
    states, last_actions = split_texts("states", arrays), arrays["last_actions"].tolist()
    if len(states) != len(last_actions) or not states:
        raise ValueError(f"{len(states)} states and {len(last_actions)} last actions")
    return SavedStarts(tuple(states), tuple(last_actions), environments)
