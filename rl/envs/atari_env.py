"""Many Atari games at once, from their RAM or their screens, as a Stable-Baselines3 ``VecEnv``.

One worker process a core plays some games of each half, so that it plays one while the learner looks at the other.
Observations, actions and results lie in shared memory, and a pipe carries a few bytes a step each way.
docs/environments.md has the figures against ALE's own vector environment, gymnasium's ``AsyncVectorEnv`` and
Stable-Baselines3's ``SubprocVecEnv``.

Credits: gymnasium's ``AsyncVectorEnv`` (shared memory) and Stable-Baselines3's ``SubprocVecEnv`` (worker processes);
Stable-Baselines3's ``AtariWrapper`` for the meaning of the settings.
"""

from __future__ import annotations

import contextlib
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
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.atari_view import RamSettings, ScreenSettings
from rl.envs.atari_worker import CLOSE, REPLAY, RESTART, STEP, SharedGames, Start, work
from rl.envs.episode_vec_env import EpisodeVecEnv, RestartResult, StepResult
from rl.envs.protocols import Protocol, reward_transform

HALVED = 8  # games, from which on they are stepped in halves


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


def _answer(pipe: Connection, expected: bytes) -> None:
    answer = pipe.recv_bytes()
    if answer != expected:
        raise RuntimeError(f"a worker process answered {answer!r}, not {expected!r}: wait for steps as they were sent")


class AtariVecEnv(EpisodeVecEnv):
    """N Atari games. Observations are uint8: RAM (N, 128), or grey screens (N, stack, size, size), the oldest first.

    :param game: ALE's name of the game, such as ``gravitar``
    :param num_envs: number of games N
    :param obs: ``ram`` or ``pixels``
    :param protocol: how the games are presented; stacking RAM is left to ``VecFrameStack``
    :param seed: the run's seed
    :param workers: worker processes; 0 for one a core, at most one a game
    :param full_action_space: all 18 actions instead of those that the game uses
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
    ) -> None:
        settings = GameSettings(
            game,
            protocol.frame_skip,
            protocol.sticky,
            protocol.max_frames,
            full_action_space,
            whole_actions=obs == "pixels",
        )
        observation = ScreenSettings(protocol.screen_size, protocol.frame_stack) if obs == "pixels" else RamSettings()
        actions = AtariGame(settings).actions
        self._start = Start(protocol.noop_max, protocol.fire_reset and ale_py.Action.FIRE in actions)
        super().__init__(
            num_envs,
            spaces.Box(0, 255, observation.shape, np.uint8),
            spaces.Discrete(len(actions)),
            reward_transform(protocol.reward),
            protocol.life_loss_terminal,
            seed,
            parts=2 if num_envs >= HALVED else 1,
        )
        context = multiprocessing.get_context("forkserver")
        self._shared = SharedGames(num_envs, observation.shape, context)
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        # At the interpreter's end, too, and before multiprocessing waits for workers that heed no signal.
        self._stop = Finalize(self, _stop_workers, args=(self._pipes, self._processes), exitpriority=10)
        workers = min(num_envs, workers or cores())
        all_games = np.arange(num_envs)
        # The second half the other way round, so that all workers play even where a half has fewer games than they are.
        split = [np.array_split(all_games[part], workers)[:: (-1) ** number] for number, part in enumerate(self.parts)]
        self._shares = [[share.tolist() for share in shares] for shares in zip(*split, strict=True)]
        for shares in self._shares:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(theirs, self._shared, settings, observation, self._start, shares), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def _restart(self, indices: NDArray[np.int64], seeds: list[int]) -> RestartResult:
        shared = self._shared
        # After a step the workers have restarted the finished games already; only reset() has to ask for it.
        asked = indices[~shared.restart[indices]]
        if asked.size:
            shared.next_seed[indices] = seeds
            shared.restart[:] = False
            shared.restart[asked] = True
            self._tell(RESTART, self._pipes)
            self._wait(RESTART, self._pipes)
        shared.restart[indices] = False
        shared.next_seed[indices] = [self._next_seed(int(index)) for index in indices]
        observations, lives = shared.seen.copy(), shared.lives.copy()
        observations[indices] = shared.first_seen[indices]
        lives[indices] = shared.first_lives[indices]
        return RestartResult(observations, lives, [self._start.actions(seed) for seed in seeds])

    def _replay(self, seeds: list[int], actions: Sequence[Sequence[int]]) -> RestartResult:
        shared = self._shared
        shared.next_seed[:] = seeds
        with _workers_alive():
            for pipe, shares in zip(self._pipes, self._shares, strict=True):
                for index in chain(*shares):
                    pipe.send_bytes(REPLAY + bytes(actions[index]))
            for pipe, shares in zip(self._pipes, self._shares, strict=True):
                for _ in chain(*shares):
                    _answer(pipe, REPLAY)
        shared.restart[:] = False
        shared.next_seed[:] = [self._next_seed(index) for index in range(self.num_envs)]
        return RestartResult(shared.seen.copy(), shared.lives.copy(), [self._start.actions(seed) for seed in seeds])

    def _send(self, parts: Sequence[slice], actions: NDArray[np.int64]) -> None:
        for part in parts:
            self._shared.actions[part] = actions[part]
        numbers = [self.parts.index(part) for part in parts]
        self._tell(STEP + bytes(numbers), self._pipes_of(numbers))

    def _receive(self, games: slice) -> StepResult:
        numbers = [self.parts.index(games)] if games in self.parts else range(len(self.parts))
        self._wait(STEP + bytes(numbers), self._pipes_of(numbers))
        shared = self._shared
        return StepResult(
            shared.seen[games].copy(),
            shared.rewards[games].copy(),
            shared.terminated[games].copy(),
            shared.truncated[games].copy(),
            shared.lives[games].copy(),
        )

    def _pipes_of(self, parts: Iterable[int]) -> list[Connection]:
        """To the workers that play games of some parts."""
        return [
            pipe
            for pipe, shares in zip(self._pipes, self._shares, strict=True)
            if any(shares[number] for number in parts)
        ]

    def _tell(self, command: bytes, pipes: Iterable[Connection]) -> None:
        with _workers_alive():
            for pipe in pipes:
                pipe.send_bytes(command)

    def _wait(self, command: bytes, pipes: Iterable[Connection]) -> None:
        with _workers_alive():
            for pipe in pipes:
                _answer(pipe, command)

    def close(self) -> None:
        """Stop the worker processes."""
        self._stop()
