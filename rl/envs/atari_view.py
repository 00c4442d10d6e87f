"""What a learner sees of an Atari game: its RAM, or a stack of grey screens.

Credits: Mnih et al. 2015 (Nature 518, doi:10.1038/nature14236) for the preprocessing of screens (grey, the brighter of
the last two frames, 84x84, a stack of four), whose details are those of ale-py's ``AtariVectorEnv``; OpenCV for the
resizing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rl.envs.atari_game import AtariGame

RAM_SIZE = 128
HEIGHT, WIDTH = 210, 160

Observation = NDArray[np.uint8]


class View(Protocol):
    """Plays one game and keeps what the learner sees of it in ``seen``."""

    seen: Observation

    def restart(self, started: bool) -> None:
        """Look at a game that has just begun; ``started`` says whether start actions were done."""

    def step(self, action: int) -> tuple[float, bool, bool]:
        """As ``AtariGame.step``."""


@dataclass(frozen=True)
class RamSettings:
    """The 128 bytes of RAM."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation."""
        return (RAM_SIZE,)

    def view(self, game: AtariGame) -> View:
        """A view of a game."""
        return RamView(game)


@dataclass(frozen=True)
class ScreenSettings:
    """The last screens, grey and small.

    :param size: pixels a side
    :param stack: how many screens, the oldest first; empty ones before a game's first
    """

    size: int = 84
    stack: int = 4

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation."""
        return (self.stack, self.size, self.size)

    def view(self, game: AtariGame) -> View:
        """A view of a game."""
        return ScreenView(game, self)


class RamView:
    """The RAM of one game."""

    def __init__(self, game: AtariGame) -> None:
        self.game = game
        self.seen = np.zeros(RAM_SIZE, np.uint8)

    def restart(self, started: bool) -> None:
        """Read the RAM."""
        self.game.ram(self.seen)

    def step(self, action: int) -> tuple[float, bool, bool]:
        """One action, then read the RAM."""
        result = self.game.step(action)
        self.game.ram(self.seen)
        return result


class ScreenView:
    """The screens of one game."""

    def __init__(self, game: AtariGame, settings: ScreenSettings) -> None:
        import cv2  # here, because the RAM's worker processes start faster without it

        cv2.setNumThreads(0)  # a worker has one core
        self._resize, self._area = cv2.resize, cv2.INTER_AREA
        self.game = game
        self.seen = np.zeros(settings.shape, np.uint8)
        self._size = (settings.size, settings.size)
        self._screens = [np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2)]
        # The emulator's state holds no screen. The first one does not depend on the seed: keep it.
        game.grey(self._screens[0])
        self._first = self._small(self._screens[0])

    def restart(self, started: bool) -> None:
        """The first screen of a game, above empty ones."""
        self.seen[:-1] = 0
        if started:
            self.game.grey(self._screens[0])
            self.seen[-1] = self._small(self._screens[0])
        else:
            self.seen[-1] = self._first

    def step(self, action: int) -> tuple[float, bool, bool]:
        """One action; of its last two frames each pixel's brighter value is seen."""
        last, before = self._screens
        count, score = self.game.draw_frame_skip(), 0.0
        for left in reversed(range(count)):
            score += self.game.frame(action)
            if left == 1:
                self.game.grey(before)
        self.game.grey(last)
        if count > 1:
            np.maximum(last, before, out=last)
        self.seen[:-1] = self.seen[1:]
        self.seen[-1] = self._small(last)
        return score, self.game.game_over(), self.game.truncated()

    def _small(self, screen: Observation) -> Observation:
        return np.asarray(self._resize(screen, self._size, interpolation=self._area), np.uint8)
