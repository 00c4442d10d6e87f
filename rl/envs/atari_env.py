"""Many Atari environments at once, observed through RAM or screens, as a Stable-Baselines3 ``VecEnv``.

Each core's worker process has environments of both halves, so that it steps one half while the learner looks at the
other. Observations, actions and results lie in shared memory, and a pipe carries a few bytes a step each way.
docs/environments.md has the figures against ALE's own vector environment, gymnasium's ``AsyncVectorEnv`` and
Stable-Baselines3's ``SubprocVecEnv``.

Credits: gymnasium's ``AsyncVectorEnv`` (shared memory) and Stable-Baselines3's ``SubprocVecEnv`` (worker processes);
Stable-Baselines3's ``AtariWrapper`` for the meaning of the settings.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any

import ale_py
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from common.errors import UserError
from common.processors import cores
from rl.envs.atari_game import FIRE, AtariGame, GameSettings
from rl.envs.atari_view import RamSettings, ScreenSettings
from rl.envs.atari_worker import CLOSE, REPLAY, RESET, STEP, SharedArrays, StartSettings, work
from rl.envs.episode_vec_env import EpisodeVecEnv, ResetResult, StepResult
from rl.envs.protocols import Protocol, reward_transform
from rl.envs.saved_starts import SavedStarts
from rl.envs.shaping import parse_shaping

HALVED = 8  # environments, from which on they are stepped in halves


def _stop_workers(pipes: list[Connection], processes: list[Any]) -> None:
    for pipe in pipes:
        try:
            pipe.send_bytes(CLOSE)
        except OSError:
            continue
    for process in processes:
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
    processes.clear()


@contextlib.contextmanager
def _workers_alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise UserError("a worker process of the environment died; run again", status=1) from error


@functools.cache
def _actions(settings: GameSettings) -> tuple[ale_py.Action, ...]:
    """A game's actions, from an emulator that is loaded for them alone (0.1 s)."""
    return tuple(AtariGame(settings).actions)


def _expect(pipe: Connection, expected: bytes) -> None:
    answer = pipe.recv_bytes()
    if answer != expected:
        raise RuntimeError(f"a worker process answered {answer!r}, not {expected!r}: wait for steps as they were sent")


class AtariVecEnv(EpisodeVecEnv):
    """N Atari environments. Observations are uint8: RAM (N, 128), or grey screens (N, stack, size, size), the oldest
    first.

    :param game: ALE's name of the game, such as ``gravitar``
    :param num_envs: number of environments N
    :param obs: ``ram`` or ``pixels``
    :param protocol: how the game is presented; stacking RAM is left to ``VecFrameStack``
    :param seed: the run's seed
    :param workers: worker processes; 0 for one a core, at most one an environment
    :param full_action_space: all 18 actions instead of those that the game uses
    :param saved: states from which some of the environments begin their episodes
    :raises UserError: for an unknown game
    """

    def __init__(
        self,
        game: str,
        num_envs: int,
        obs: str,
        protocol: Protocol,
        seed: int,
        workers: int = 0,
        full_action_space: bool = False,
        saved: SavedStarts | None = None,
    ) -> None:
        settings = GameSettings(
            game,
            protocol.frame_skip,
            protocol.sticky,
            protocol.max_frames,
            full_action_space,
            whole_actions=obs == "pixels",
            actions=protocol.actions,
        )
        observation = ScreenSettings(protocol.screen_size, protocol.frame_stack) if obs == "pixels" else RamSettings()
        actions = _actions(settings)
        can_fire = list(actions[FIRE : FIRE + 1]) == [ale_py.Action.FIRE]
        self._start = StartSettings(protocol.noop_max, protocol.fire_reset and can_fire)
        super().__init__(
            num_envs,
            spaces.Box(0, 255, observation.shape, np.uint8),
            spaces.Discrete(len(actions)),
            reward_transform(protocol.reward),
            protocol.life_loss_terminal,
            seed,
            parts=2 if num_envs >= HALVED else 1,
            starts_envs=saved.environments if saved else 0,
            potential=parse_shaping(protocol.shaping, game),
        )
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", work.__module__])  # imported once, not in every worker
        self._shared = SharedArrays.allocate(num_envs, observation.shape, context)
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        # At the interpreter's end, too, and before multiprocessing waits for workers that heed no signal.
        self._stop = Finalize(self, _stop_workers, args=(self._pipes, self._processes), exitpriority=10)
        # To the workers with environments of each part.
        self._part_pipes: list[list[Connection]] = [[] for _ in self.parts]
        # Of each worker, the indices of its environments, part by part.
        self._shares = _shares(self.parts, min(num_envs, workers or cores()))
        for share in self._shares:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(theirs, self._shared, settings, observation, self._start, share, saved), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
            for pipes, indices in zip(self._part_pipes, share, strict=True):
                if indices:
                    pipes.append(ours)

    @property
    def ram(self) -> NDArray[np.uint8]:
        """The console's RAM after the last step of each environment, before a reset, uint8 (N, 128)."""
        return self._shared.ram.copy()

    def _reset_envs(self, indices: NDArray[np.int64], seeds: list[int]) -> ResetResult:
        shared = self._shared
        # After a step the workers have reset those whose games were over already; only reset() has to ask for it.
        asked = indices[~shared.resets[indices]]
        if asked.size:
            shared.seeds[indices] = seeds
            shared.resets[:] = False
            shared.resets[asked] = True
            self._command(RESET, self._pipes)
            self._wait(RESET, self._pipes)
        shared.resets[indices] = False
        shared.seeds[indices] = [self._next_seed(int(index)) for index in indices]
        observations, lives = shared.observations.copy(), shared.lives.copy()
        observations[indices] = shared.reset_observations[indices]
        lives[indices] = shared.reset_lives[indices]
        return ResetResult(observations, lives, [self._start.actions(seed) for seed in seeds])

    def _replay_envs(self, seeds: list[int], actions: Sequence[Sequence[int]]) -> ResetResult:
        shared = self._shared
        shared.seeds[:] = seeds
        with _workers_alive():
            for pipe, share in zip(self._pipes, self._shares, strict=True):
                for index in chain(*share):
                    pipe.send_bytes(REPLAY + bytes(actions[index]))
            for pipe, share in zip(self._pipes, self._shares, strict=True):
                for _ in chain(*share):
                    _expect(pipe, REPLAY)
        shared.resets[:] = False
        shared.seeds[:] = [self._next_seed(index) for index in range(self.num_envs)]
        starts = [self._start.actions(seed) for seed in seeds]
        return ResetResult(shared.observations.copy(), shared.lives.copy(), starts)

    def _send(self, parts: Sequence[slice], actions: NDArray[np.int64]) -> None:
        for part in parts:
            self._shared.actions[part] = actions[part]
        numbers = [self.parts.index(part) for part in parts]
        self._command(STEP + bytes(numbers), self._pipes_of(numbers))

    def _receive(self, envs: slice) -> StepResult:
        numbers = [self.parts.index(envs)] if envs in self.parts else range(len(self.parts))
        self._wait(STEP + bytes(numbers), self._pipes_of(numbers))
        shared = self._shared
        return StepResult(
            shared.observations[envs].copy(),
            shared.rewards[envs].copy(),
            shared.terminated[envs].copy(),
            shared.truncated[envs].copy(),
            shared.lives[envs].copy(),
        )

    def _pipes_of(self, parts: Sequence[int]) -> list[Connection]:
        """To the workers with environments of one part, or of all of them."""
        return self._part_pipes[parts[0]] if len(parts) == 1 else self._pipes

    def _command(self, message: bytes, pipes: Iterable[Connection]) -> None:
        with _workers_alive():
            for pipe in pipes:
                pipe.send_bytes(message)

    def _wait(self, answer: bytes, pipes: Iterable[Connection]) -> None:
        with _workers_alive():
            for pipe in pipes:
                _expect(pipe, answer)

    def close(self) -> None:
        """Stop the worker processes."""
        self._stop()


def _shares(parts: Sequence[slice], workers: int) -> list[list[list[int]]]:
    """The indices of each worker's environments, part by part.

    The second half is shared out the other way round, so that all workers have something to do even where a half has
    fewer environments than there are workers.
    """
    split = [
        np.array_split(np.arange(part.start, part.stop), workers)[:: (-1) ** number]
        for number, part in enumerate(parts)
    ]
    return [[indices.tolist() for indices in share] for share in zip(*split, strict=True)]
