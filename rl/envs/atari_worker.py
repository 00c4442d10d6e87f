"""A worker process that steps several Atari environments and puts the results into shared memory.

It imports the emulator and NumPy alone (for screens OpenCV, too), so that it starts in half a second and needs little
memory.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from ctypes import c_uint8
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from common.signals import SIGNALS
from rl.envs.atari_game import FIRE, NOOP, AtariGame, GameSettings
from rl.envs.atari_view import RAM_SIZE, RamSettings, ScreenSettings
from rl.envs.saved_starts import SavedStarts

# Commands, one byte each. STEP is followed by the numbers of the parts to step, and answered by the same bytes. REPLAY
# is followed by the actions of one episode and comes once for each of the worker's environments, in their order. The
# answer to all but STEP is the command's byte.
STEP, RESET, REPLAY, CLOSE = b"s", b"r", b"p", b"c"


@dataclass(frozen=True)
class StartSettings:
    """The actions at the start of a game, one frame each.

    :param noop_max: at most so many no-ops, their number drawn from 1 to this; 0 for none
    :param fire: whether fire comes before them
    """

    noop_max: int
    fire: bool

    def actions(self, seed: int) -> list[int]:
        """The start actions that belong to an episode's seed."""
        noops = int(np.random.default_rng(seed).integers(1, self.noop_max + 1)) if self.noop_max else 0
        return [FIRE] * self.fire + [NOOP] * noops


@dataclass(frozen=True, eq=False)
class SharedArrays:
    """What the vector environment and its workers share of N environments: arrays over one piece of shared memory.

    Pickled, as an argument of a new process, they are the same memory there.

    :param memory: of ``multiprocessing``, ``nbytes`` long
    :param seeds: of the episodes that begin next, int64 (N,)
    :param actions: of the next step, int64 (N,)
    :param rewards: of the last step, raw, float64 (N,)
    :param lives: left after the last step, before a reset, int32 (N,)
    :param reset_lives: left after the last reset, int32 (N,)
    :param terminated: whether the game ended with the last step, bool (N,)
    :param truncated: whether it was cut with the last step, bool (N,)
    :param resets: which environments RESET resets, and which the worker has reset after the last step, bool (N,)
    :param observations: after the last step, before a reset, uint8 (N, ...)
    :param reset_observations: after the last reset, uint8 (N, ...)
    :param ram: of the console after the last step, before a reset, uint8 (N, 128)
    """

    memory: Any
    seeds: NDArray[np.int64]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    lives: NDArray[np.int32]
    reset_lives: NDArray[np.int32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    resets: NDArray[np.bool_]
    observations: NDArray[np.uint8]
    reset_observations: NDArray[np.uint8]
    ram: NDArray[np.uint8]

    @classmethod
    def allocate(cls, num_envs: int, shape: tuple[int, ...], context: BaseContext) -> SharedArrays:
        """Arrays of zeros.

        :param shape: shape of one observation
        :param context: where the memory comes from
        """
        sizes = [np.dtype(dtype).itemsize * math.prod(of_one) for dtype, of_one in _layout(shape).values()]
        return cls.over(context.RawArray(c_uint8, num_envs * sum(sizes)), num_envs, shape)

    @classmethod
    def over(cls, memory: Any, num_envs: int, shape: tuple[int, ...]) -> SharedArrays:
        """The arrays that lie in some memory."""
        arrays: dict[str, NDArray[Any]] = {}
        offset = 0
        for name, (dtype, of_one) in _layout(shape).items():
            flat = np.frombuffer(memory, dtype, num_envs * math.prod(of_one), offset)
            arrays[name] = flat.reshape(num_envs, *of_one)
            offset += flat.nbytes
        return cls(memory, **arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedArrays.over, (self.memory, len(self.observations), self.observations.shape[1:])


def _layout(shape: tuple[int, ...]) -> dict[str, tuple[DTypeLike, tuple[int, ...]]]:
    """Type, and shape for one environment, of each shared array; the widest type first, so that all are aligned."""
    return {
        "seeds": (np.int64, ()),
        "actions": (np.int64, ()),
        "rewards": (np.float64, ()),
        "lives": (np.int32, ()),
        "reset_lives": (np.int32, ()),
        "terminated": (np.bool_, ()),
        "truncated": (np.bool_, ()),
        "resets": (np.bool_, ()),
        "observations": (np.uint8, shape),
        "reset_observations": (np.uint8, shape),
        "ram": (np.uint8, (RAM_SIZE,)),
    }


class Worker:
    """Some of the environments, and what the worker's process does with them at each command.

    :param shared: of all environments
    :param game: the game in each of them
    :param observation: what is observed of it
    :param start: how episodes start
    :param parts: the indices of the worker's environments, part by part
    :param saved: states from which some environments begin their episodes
    """

    def __init__(
        self,
        shared: SharedArrays,
        game: GameSettings,
        observation: RamSettings | ScreenSettings,
        start: StartSettings,
        parts: Sequence[Sequence[int]],
        saved: SavedStarts | None,
    ) -> None:
        self._shared = shared
        self._start = start
        self._saved = saved
        self._parts = parts
        self._views = {index: observation.view(AtariGame(game)) for index in itertools.chain(*parts)}
        self._to_replay = itertools.cycle(self._views)
        self._handlers = {STEP: self._step, RESET: self._reset, REPLAY: self._replay}

    def handle(self, message: bytes) -> bytes:
        """Carry out a command.

        :return: the answer
        """
        command = message[:1]
        self._handlers[command](message[1:])
        return message if command == STEP else command

    def _step(self, parts: bytes) -> None:
        shared = self._shared
        for index in itertools.chain(*(self._parts[number] for number in parts)):
            view = self._views[index]
            reward, terminated, truncated = view.step(int(shared.actions[index]))
            if self._saved is not None and index < self._saved.environments:
                terminated |= view.game.lives() < shared.reset_lives[index]
            shared.rewards[index] = reward
            shared.terminated[index] = terminated
            shared.truncated[index] = truncated
            shared.lives[index] = view.game.lives()
            shared.observations[index] = view.observation
            view.game.ram(shared.ram[index])
            shared.resets[index] = terminated or truncated
            if terminated or truncated:
                self._begin_episode(index)

    def _reset(self, _: bytes) -> None:
        for index in self._views:
            if self._shared.resets[index]:
                self._begin_episode(index)

    def _replay(self, actions: bytes) -> None:
        index = next(self._to_replay)
        self._begin_episode(index)
        view = self._views[index]
        for action in actions:
            view.step(action)
        self._shared.lives[index] = view.game.lives()
        self._shared.observations[index] = view.observation

    def _begin_episode(self, index: int) -> None:
        view, seed = self._views[index], int(self._shared.seeds[index])
        saved = self._saved.draw(index, seed) if self._saved is not None else None
        if saved is None:
            view.reset(seed, self._start.actions(seed))
        else:
            view.restore_state(*saved, noise_seed=seed)
        self._shared.reset_lives[index] = view.game.lives()
        self._shared.reset_observations[index] = view.observation


def work(
    pipe: Connection,
    shared: SharedArrays,
    game: GameSettings,
    observation: RamSettings | ScreenSettings,
    start: StartSettings,
    parts: Sequence[Sequence[int]],
    saved: SavedStarts | None,
) -> None:
    """A worker's process: answer commands until told to close or until the vector environment's process is gone.

    :param pipe: to the vector environment; the other arguments as for ``Worker``
    """
    for number in SIGNALS:  # Ctrl-C reaches the whole group, SLURM's signals the whole job; the environment decides
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "SCHED_BATCH"):  # a woken worker then waits until the environment has told all others, too
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    threading.Thread(target=end_with_parent, daemon=True).start()
    worker = Worker(shared, game, observation, start, parts, saved)
    for message in _commands(pipe):
        answer = worker.handle(message)
        with contextlib.suppress(OSError):  # nobody is left to answer, as the next receiving finds as well
            pipe.send_bytes(answer)


def end_with_parent() -> None:
    """End this process when the one that started it has died, even while games load (0.1 s each) or are reset."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker's process
    parent.join()
    os._exit(1)


def _commands(pipe: Connection) -> Iterator[bytes]:
    with contextlib.suppress(EOFError, OSError):
        while (message := pipe.recv_bytes()) != CLOSE:
            yield message
