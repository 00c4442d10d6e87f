"""Atari pixels through ALE's own C++ vector environment, as a Stable-Baselines3 ``VecEnv``.

Three things differ from what the C++ environment does by itself, because Stable-Baselines3 expects otherwise:
a finished game restarts within the same step (the C++ default is the next step); a lost life ends the learner's episode
without resetting the game (``AtariVectorEnv(episodic_life=True)`` resets it); every game begins with a seed of its own.

Credits: ale-py's ``AtariVectorEnv``; Stable-Baselines3's ``AtariWrapper`` for the meaning of the settings; Mnih et al.
2015 (Nature 518) for the preprocessing (grey, maximum of two frames, 84x84, stack).
"""

from __future__ import annotations

from collections.abc import Sequence

import ale_py
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium import spaces
from numpy.typing import NDArray

from common.errors import UserError
from rl.episode_vec_env import EpisodeVecEnv, RestartResult, StepResult
from rl.game import FIRE, NOOP, ale_seed, rom_path
from rl.protocols import Protocol, reward_transform

_NEVER = 1_000_000  # frames


class AtariPixelVecEnv(EpisodeVecEnv):
    """N Atari games, grey pixels uint8 (N, stack, size, size), oldest frame first, zeros before the first.

    :param game: ALE's name of the game, such as ``gravitar``
    :param num_envs: number of games N
    :param protocol: how the games are presented
    :param seed: the run's seed
    :param num_threads: emulator threads; 0 lets ALE choose one a core
    :param full_action_space: all 18 actions instead of those that the game uses
    :raises UserError: for an unknown game, or a protocol with a random frame skip, which the C++ environment lacks
    """

    def __init__(
        self,
        game: str,
        num_envs: int,
        protocol: Protocol,
        seed: int,
        num_threads: int = 0,
        full_action_space: bool = False,
    ) -> None:
        rom_path(game)
        if not isinstance(protocol.frame_skip, int):
            raise UserError("pixels need a fixed frame skip; choose another protocol or --obs ram")
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.games = AtariVectorEnv(
            game,
            num_envs,
            num_threads=num_threads,
            # ALE's own limit does not count the start actions and leaves the last observation unfinished.
            max_num_frames_per_episode=protocol.max_frames + _NEVER,
            repeat_action_probability=protocol.sticky,
            full_action_space=full_action_space,
            img_height=protocol.screen_size,
            img_width=protocol.screen_size,
            stack_num=protocol.frame_stack,
            frameskip=protocol.frame_skip,
            noop_max=protocol.noop_max,
            use_fire_reset=protocol.fire_reset,
            reward_clipping=False,  # the raw score is logged; the learner's reward is made from it
        )
        self._max_frames = protocol.max_frames
        self._fires = protocol.fire_reset and ale_py.Action.FIRE in self.games.ale.get_action_set()
        super().__init__(
            num_envs,
            self.games.single_observation_space,
            spaces.Discrete(len(self.games.ale.get_action_set())),
            reward_transform(protocol.reward),
            protocol.life_loss_terminal,
            seed,
        )

    def _restart(self, indices: NDArray[np.int64], seeds: list[int]) -> RestartResult:
        mask = np.zeros(self.num_envs, np.bool_)
        mask[indices] = True
        ale_seeds = np.array([ale_seed(seed) for seed in seeds])
        observations, info = self.games.reset(seed=ale_seeds, options={"reset_mask": mask})
        starts = [self._start(int(info["episode_frame_number"][i])) for i in indices]
        return RestartResult(observations, info["lives"], starts)

    def _replay(self, seeds: list[int], actions: Sequence[Sequence[int]]) -> RestartResult:
        # All games are stepped together, so the shorter ones begin later, such that all end at the same step.
        everybody = np.arange(self.num_envs)
        longest = max(map(len, actions))
        waits = np.array([longest - len(game) for game in actions])
        result = self._restart(everybody, seeds)
        starts, observations, lives = list(result.starts), result.observations, result.lives
        for step in range(longest + 1):
            late = np.flatnonzero((waits == step) & (waits > 0))
            if late.size:
                result = self._restart(late, [seeds[index] for index in late])
                observations, lives = result.observations, result.lives
                for index, start in zip(late, result.starts, strict=True):
                    starts[index] = start
            if step < longest:
                self._send(np.array([game[step - wait] if step >= wait else NOOP
                                     for game, wait in zip(actions, waits, strict=True)]))  # fmt: skip
                played = self._receive()
                observations, lives = played.observations, played.lives
        return RestartResult(observations, lives, starts)

    def _start(self, frames: int) -> list[int]:
        """The start actions that the C++ environment did: fire where the game needs it, then no-ops."""
        return [FIRE] + [NOOP] * (frames - 1) if self._fires else [NOOP] * frames

    def _send(self, actions: NDArray[np.int64]) -> None:
        self.games.send(actions)

    def _receive(self) -> StepResult:
        observations, rewards, terminated, _, info = self.games.recv()
        truncated = (info["episode_frame_number"] >= self._max_frames) & ~terminated
        return StepResult(observations, rewards.astype(np.float64), terminated, truncated, info["lives"])

    def close(self) -> None:
        """Stop the emulator threads."""
        self.games.close()

