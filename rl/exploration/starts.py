"""States for an agent in training to start from: of a search's archive, or of games that a training has played.

Of a training's last games those states count where most games end, or beyond: from a score on that half of the games
reach. There an agent that has ceased to improve gets few tries of its own.

Credits: T. Salimans, R. Chen 2018 (arXiv 1812.03381) and A. Ecoffet et al. 2021 (arXiv 2004.12919), whose agents start
from states of one good game.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from common.errors import UserError
from common.npz import join_texts, pack_arrays, split_texts, unpack_arrays
from common.run_folder import RunFolder
from common.traces import TracedEpisode, read_episodes, read_header
from rl.envs.atari_game import NOOP, AtariGame, GameSettings
from rl.envs.make_env import EnvironmentSettings, trace_header
from rl.envs.saved_starts import SavedStarts
from rl.exploration.archive import Archive, Entry, Lineage, StateParts
from rl.exploration.settings import is_search, load_archive

One = TypeVar("One")
Start = tuple[bytes, int]  # a state of the emulator without the generator behind sticky actions, the action before it

STARTS = "starts.npz"  # in a training's run folder
MAX_STARTS = 2_000  # states
MIN_SURVIVED_STEPS = 15  # steps of play that a state has to have been followed by
LAST_GAMES = 200  # of a training, from which states are taken
STRIDE = 5  # steps between two states of a game


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


def even_choice(groups: Mapping[Hashable, Sequence[One]], generator: np.random.Generator, count: int) -> list[One]:
    """The same number from each group, as far as it has so many.

    :param count: of all that are chosen; fewer when there are fewer
    """
    shuffled = [[group[number] for number in generator.permutation(len(group))] for group in groups.values()]
    chosen: list[One] = []
    depth = 0
    while len(chosen) < count and any(depth < len(group) for group in shuffled):
        chosen += [group[depth] for group in shuffled if depth < len(group)]
        depth += 1
    return chosen[:count]


def choose_starts(archive: Archive, generator: np.random.Generator, count: int = MAX_STARTS) -> list[Entry]:
    """States from all stages of a game, the same number of each as far as there are so many.

    :param count: of states
    :return: at most ``count``; fewer from a small archive
    """
    stages: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry in lasting(archive):
        stages[entry.moment.stage].append(entry)
    return even_choice(stages, generator, count)


def states_of_games(game: AtariGame, episodes: Sequence[TracedEpisode]) -> dict[Hashable, list[Start]]:
    """States of games that are played again, every few steps, from the median of their final scores on.

    :param game: an emulator with the games' settings
    :param episodes: with their traces
    :return: by the score at which they were; none within ``MIN_SURVIVED_STEPS`` before a lost life or the end
    """
    least = float(np.median([episode.score for episode in episodes]))
    found: dict[Hashable, list[Start]] = defaultdict(list)
    for episode in episodes:
        game.reset(episode.trace.seed, episode.trace.start.tolist())
        waiting: list[tuple[int, float, Start]] = []  # step, score, state: until they have survived
        score, lives, last_action = 0.0, game.lives(), NOOP
        for step, action in enumerate(episode.trace.actions.tolist()):
            if score >= least and step % STRIDE == 0:
                waiting.append((step, score, (game.save_state(with_generator=False), last_action)))
            score += game.step(action)[0]
            last_action = action
            if game.lives() < lives:
                waiting.clear()
            lives = game.lives()
            while waiting and waiting[0][0] + MIN_SURVIVED_STEPS <= step:
                _, reached, start = waiting.pop(0)
                found[reached].append(start)
    return found


def starts_of(source: Path, environment: EnvironmentSettings, seed: int) -> bytes:
    """The content of ``starts.npz`` for a training.

    :param source: run folder of a search with fresh noise, or of a training
    :param environment: of the training
    :param seed: of the choice
    :raises UserError: when the source is of another game, has fixed noise, or has found too little
    """
    generator = np.random.default_rng(seed)
    of = _starts_of_search if is_search(source) else _starts_of_training
    chosen = of(source, environment, generator)
    if not chosen:
        raise UserError(f"{source} has found no states to start from; let it go on for longer")
    states = [zlib.compress(state, 1) for state, _ in chosen]
    last_actions = np.array([last_action for _, last_action in chosen], np.uint8)
    return pack_arrays({**join_texts("states", states), "last_actions": last_actions}, compress=False)


def _starts_of_search(search: Path, environment: EnvironmentSettings, generator: np.random.Generator) -> list[Start]:
    settings, archive = load_archive(search)
    _check_game(search, settings.environment.env_id, settings.game, environment)
    if settings.noise != "fresh":
        raise UserError(f"{search} has fixed noise, the same in each episode from a state; explore with --noise fresh")
    parts = StateParts(AtariGame(settings.game).save_state(with_generator=False))
    return [(parts.join(entry.state), entry.last_action) for entry in choose_starts(archive, generator)]


def _starts_of_training(run: Path, environment: EnvironmentSettings, generator: np.random.Generator) -> list[Start]:
    traces = RunFolder(run).traces
    if not traces.exists():
        raise UserError(f"{run} has no games yet; train longer")
    header = read_header(traces)
    game = GameSettings(**header.game) if header.game else None
    _check_game(run, header.env_id, game, environment)
    assert game is not None
    episodes = list(read_episodes(traces))[-LAST_GAMES:]
    if not episodes:
        raise UserError(f"{run} has no games yet; train longer")
    return even_choice(states_of_games(AtariGame(game), episodes), generator, MAX_STARTS)


def _check_game(source: Path, env_id: str, game: GameSettings | None, environment: EnvironmentSettings) -> None:
    wanted = trace_header(environment).game or {}
    if env_id != environment.env_id or game is None:
        raise UserError(f"{source} is of {env_id}, not {environment.env_id}")
    if game.full_action_space != wanted.get("full_action_space"):
        raise UserError(f"{source} has another set of actions; remove full_action_space from env_kwargs")


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
