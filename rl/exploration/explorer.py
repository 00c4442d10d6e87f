"""The search for high scores: rounds of random rollouts from the promising cells of an archive.

A round's starts are chosen together and its rollouts are taken up in that order, whichever process plays them. So the
archive depends on the seed and the number of rounds, not on the number of processes.

Credits: A. Ecoffet et al. 2021 (arXiv 2004.12919), Go-Explore: first return, then explore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np

from common.errors import UserError
from common.seeds import derive_seed, derive_seeds
from rl.envs.atari_game import NOOP, GameSettings
from rl.exploration.archive import Archive, Entry, Lineage
from rl.exploration.rollouts import Rollout, RolloutPlayer, Start, init_worker, play_rollout

ROUND = 64  # rollouts
ROLLOUT_STEPS = 60  # at most
_CHOICES, _PLAY, _GAME = range(3)  # what seeds are for


class Explorer:
    """Explores a game.

    :param game: the game and its settings
    :param seed: of everything
    :param fixed_noise: whether the generator behind sticky actions belongs to a state, so that each way to a state is
        a game that can be played again; else each rollout draws other sticky actions
    :param max_cells: the largest number of cells
    :param processes: number of processes that play; 1 plays in this one
    """

    def __init__(self, game: GameSettings, seed: int, fixed_noise: bool, max_cells: int, processes: int = 1) -> None:
        self.seed = seed
        self.rounds = 0
        self.steps = 0
        self.archive = Archive(max_cells)
        self._player = RolloutPlayer(game, fixed_noise)
        self.game = self._player.game  # free between rounds: every rollout begins with a state
        self.game.reset(self.game_seed)
        self.archive.offer(Entry(self._player.moment(), self._player.state(), NOOP, Lineage(None, b"")))
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, context, init_worker, (game, fixed_noise))

    @property
    def game_seed(self) -> int:
        """The seed of the game in which everything is found, as for ``gymnasium.Env.reset``."""
        return derive_seed((self.seed, _GAME), bits=31)

    def play_round(self) -> None:
        """Play a round of rollouts and keep what they found.

        :raises UserError: when a process died (status 1)
        """
        chosen = self._choose()
        seeds = derive_seeds((self.seed, _PLAY, self.rounds), ROUND, bits=63)
        starts = [
            Start(entry.state, entry.last_action, entry.moment.lives, seed)
            for entry, seed in zip(chosen, seeds, strict=True)
        ]
        try:
            for entry, rollout in zip(chosen, self._rollouts(starts), strict=True):  # kept while others are played
                self._keep(entry.line, rollout)
        except BrokenProcessPool as error:
            raise UserError("a process of the search died; resume it, with fewer --processes", status=1) from error
        self.rounds += 1

    def _choose(self) -> list[Entry]:
        generator = np.random.default_rng(derive_seed((self.seed, _CHOICES, self.rounds)))
        return [self.archive.choose(generator) for _ in range(ROUND)]

    def _rollouts(self, starts: Iterable[Start]) -> Iterator[Rollout]:
        if self._pool is None:
            return (self._player.play(start, ROLLOUT_STEPS) for start in starts)
        return self._pool.map(play_rollout, starts, [ROLLOUT_STEPS] * ROUND)

    def _keep(self, parent: Lineage, rollout: Rollout) -> None:
        self.steps += len(rollout.actions)
        for found in rollout.found:
            line = Lineage(parent, rollout.actions[: found.step])
            self.archive.offer(Entry(found.moment, found.state, rollout.actions[found.step - 1], line))

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
