"""Observations of an Atari game: its RAM, or a stack of grey screens.

Credits: Mnih et al. 2015 (Nature 518, doi:10.1038/nature14236) for the preprocessing of screens (grey, the brighter of
the last two frames, 84x84, a stack of four), whose details are those of ale-py's ``AtariVectorEnv``; OpenCV for the
resizing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rl.envs.atari_game import AtariGame

RAM_SIZE = 128
HEIGHT, WIDTH = 210, 160

Observation = NDArray[np.uint8]


class View(Protocol):
    """Plays a game and keeps the newest observation in ``observation``, always the same array."""

    game: AtariGame
    observation: Observation

    def reset(self, seed: int, start: Sequence[int]) -> None:
        """Begin a game and observe it; arguments as for ``AtariGame.reset``."""

    def restore_state(self, state: bytes, last_action: int, noise_seed: int) -> None:
        """Put the game back to a saved state and observe it; arguments as for ``AtariGame.restore_state``."""

    def step(self, action: int) -> tuple[float, bool, bool]:
        """Do one action and observe the game; as ``AtariGame.step``."""


@dataclass(frozen=True)
class RamSettings:
    """Observations are the 128 bytes of RAM."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return (RAM_SIZE,)

    def view(self, game: AtariGame) -> View:
        """A view of a game."""
        return RamView(game)


@dataclass(frozen=True)
class ScreenSettings:
    """Observations are the last screens, grey and resized.

    :param size: width and height in pixels
    :param stack: number of screens, the oldest first; before a game's first screen they are zeros
    """

    size: int = 84
    stack: int = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return (self.stack, self.size, self.size)

    def view(self, game: AtariGame) -> View:
        """A view of a game that has just been loaded."""
        return ScreenView(game, self)


class RamView:
    """A game observed through its RAM, uint8 (128,)."""

    def __init__(self, game: AtariGame) -> None:
        self.game = game
        self.observation = np.zeros(RAM_SIZE, np.uint8)

    def reset(self, seed: int, start: Sequence[int]) -> None:
        """Begin a game and read the RAM."""
        self.game.reset(seed, start)
        self.game.ram(self.observation)

    def restore_state(self, state: bytes, last_action: int, noise_seed: int) -> None:
        """Put the game back to a saved state and read the RAM."""
        self.game.restore_state(state, last_action, noise_seed)
        self.game.ram(self.observation)

    def step(self, action: int) -> tuple[float, bool, bool]:
        """Do one action and read the RAM."""
        result = self.game.step(action)
        self.game.ram(self.observation)
        return result


class ScreenView:
    """A game observed through its screens, uint8 (stack, size, size).

    :param game: one that has just been loaded, so that its first screen is drawn
    """

    def __init__(self, game: AtariGame, settings: ScreenSettings) -> None:
        import cv2  # here, because the RAM's worker processes start faster without it

        cv2.setNumThreads(0)  # a worker has one core
        self._resize, self._area = cv2.resize, cv2.INTER_AREA
        self.game = game
        self.observation = np.zeros(settings.shape, np.uint8)
        self._size = (settings.size, settings.size)
        self._screens = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2)]
        # The emulator's state holds no screen. The first one does not depend on the seed: keep it.
        game.grey(self._screens[0])
        self._first = self._small(self._screens[0])

    def reset(self, seed: int, start: Sequence[int]) -> None:
        """Begin a game; its first screen comes after zeros."""
        self.game.reset(seed, start)
        self.observation[:-1] = 0
        if start:
            self.game.grey(self._screens[0])
            self.observation[-1] = self._small(self._screens[0])
        else:
            self.observation[-1] = self._first

    def restore_state(self, state: bytes, last_action: int, noise_seed: int) -> None:
        """Not offered.

        :raises ValueError: always
        """
        raise ValueError("a saved state has no screen")

    def step(self, action: int) -> tuple[float, bool, bool]:
        """Do one action; each pixel is the brighter of the action's last two frames."""
        last, before = self._screens
        frames, reward = self.game.draw_frame_skip(), 0.0
        for left in reversed(range(frames)):
            reward += self.game.frame(action)
            if left == 1:
                self.game.grey(before)
        self.game.grey(last)
        if frames > 1:
            np.maximum(last, before, out=last)
        self.observation[:-1] = self.observation[1:]
        self.observation[-1] = self._small(last)
        return reward, self.game.game_over(), self.game.truncated()

    def _small(self, screen: Observation) -> Observation:
        return np.asarray(self._resize(screen, self._size, interpolation=self._area), np.uint8)
