"""Episodes that begin in the middle of a game, from saved states of the emulator.

The episode's seed chooses the state and is the seed of the sticky actions from there on, so such an episode is as well
determined as a whole game. It ends with the first lost life.

Credits: C. Florensa et al. 2017 (arXiv 1707.05300), T. Salimans, R. Chen 2018 (arXiv 1812.03381) and A. Ecoffet et al.
2021 (arXiv 2004.12919) for starts from states on the way to rewards.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SavedStarts:
    """States to begin from.

    :param states: of the emulator, saved without the generator behind sticky actions, compressed by zlib
    :param last_actions: the action before each state
    :param environments: the first so many of the vector environment begin all their episodes here, the others at the
        game's start
    """

    states: tuple[bytes, ...]
    last_actions: tuple[int, ...]
    environments: int

    def draw(self, environment: int, seed: int) -> tuple[bytes, int] | None:
        """The state that an episode begins from, and the action before it; None for the game's start.

        :param environment: index of the environment
        :param seed: of the episode
        """
        if environment >= self.environments:
            return None
        number = int(np.random.default_rng(seed).integers(len(self.states)))
        return zlib.decompress(self.states[number]), self.last_actions[number]
