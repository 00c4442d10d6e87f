"""A worker process that plays several Atari games and leaves what they show in shared memory.

It imports the emulator and NumPy alone (for screens OpenCV, too), so that it starts in half a second and needs little
memory.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import signal
from collections.abc import Sequence
from ctypes import c_bool, c_double, c_int32, c_int64, c_uint8
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np

from common.signals import SIGNALS
from rl.envs.atari_game import FIRE, NOOP, AtariGame, GameSettings
from rl.envs.atari_view import RamSettings, ScreenSettings, View

# Commands, one byte each. A step is followed by the numbers of the parts that go on, and answered by the same bytes; a
# replay by the actions of one game, once for each of the worker's games in their order. Other answers are the command.
STEP, RESTART, REPLAY, CLOSE = b"s", b"r", b"p", b"c"


@dataclass(frozen=True)
class Start:
    """How a game starts: at most ``noop_max`` no-op frames, and fire for one frame before them or not."""

    noop_max: int
    fire: bool

    def actions(self, seed: int) -> list[int]:
        """The start actions that belong to a seed."""
        noops = int(np.random.default_rng(seed).integers(1, self.noop_max + 1)) if self.noop_max else 0
        return [FIRE] * self.fire + [NOOP] * noops


class SharedGames:
    """What the environment and its workers share of N games, as NumPy arrays over shared memory.

    :param count: number of games N
    :param shape: of one observation
    :param context: where the memory comes from
    """

    def __init__(self, count: int, shape: tuple[int, ...], context: BaseContext) -> None:
        def array(ctype: Any, size: int = 1) -> Any:
            return context.RawArray(ctype, count * size)

        self.shapes = {"seen": (count, *shape), "first_seen": (count, *shape)}
        self._memory: dict[str, Any] = {
            "next_seed": array(c_int64),  # of the game that begins at the next restart
            "actions": array(c_int64),
            "rewards": array(c_double),
            "terminated": array(c_bool),
            "truncated": array(c_bool),
            "lives": array(c_int32),  # after the step, before a restart
            "seen": array(c_uint8, math.prod(shape)),  # likewise
            "restart": array(c_bool),  # asked for by the environment, or done by the worker after a game's end
            "first_lives": array(c_int32),  # after a restart
            "first_seen": array(c_uint8, math.prod(shape)),
        }
        self._map()

    def _map(self) -> None:
        for name, memory in self._memory.items():
            view = np.frombuffer(memory, dtype=memory._type_)
            setattr(self, name, view.reshape(self.shapes.get(name, view.shape)))

    next_seed: Any
    actions: Any
    rewards: Any
    terminated: Any
    truncated: Any
    lives: Any
    seen: Any
    restart: Any
    first_lives: Any
    first_seen: Any

    def __getstate__(self) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
        return self.shapes, self._memory

    def __setstate__(self, state: tuple[dict[str, tuple[int, ...]], dict[str, Any]]) -> None:
        self.shapes, self._memory = state
        self._map()


def work(
    pipe: Connection,
    shared: SharedGames,
    settings: GameSettings,
    observation: RamSettings | ScreenSettings,
    start: Start,
    parts: Sequence[Sequence[int]],
) -> None:
    """Play the games of some indices, given part by part, until told to stop or until the environment's process is
    gone."""
    for number in SIGNALS:  # Ctrl-C reaches the whole group, SLURM's signals the whole job; the environment decides
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "SCHED_BATCH"):  # a woken worker then waits until the environment has told all others, too
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    indices = list(itertools.chain(*parts))
    games = {index: AtariGame(settings) for index in indices}
    views = {index: observation.view(game) for index, game in games.items()}
    replayed = itertools.cycle(indices)
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        command = message[:1]
        if command == CLOSE:
            return
        if command == REPLAY:
            index = next(replayed)
            _begin(games[index], views[index], index, shared, start)
            for action in message[1:]:
                views[index].step(action)
            shared.lives[index] = games[index].lives()
            shared.seen[index] = views[index].seen
        told = itertools.chain(*(parts[number] for number in message[1:])) if command == STEP else indices
        for index in told if command != REPLAY else ():
            game, view = games[index], views[index]
            if command == STEP:
                reward, terminated, truncated = view.step(int(shared.actions[index]))
                shared.rewards[index] = reward
                shared.terminated[index] = terminated
                shared.truncated[index] = truncated
                shared.lives[index] = game.lives()
                shared.seen[index] = view.seen
                shared.restart[index] = terminated or truncated
            if shared.restart[index]:
                _begin(game, view, index, shared, start)
                shared.first_lives[index] = game.lives()
                shared.first_seen[index] = view.seen
        try:
            pipe.send_bytes(message if command == STEP else command)
        except OSError:
            return


def _begin(game: AtariGame, view: View, index: int, shared: SharedGames, start: Start) -> None:
    seed = int(shared.next_seed[index])
    actions = start.actions(seed)
    game.reset(seed, actions)
    view.restart(bool(actions))
