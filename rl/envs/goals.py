"""Goals: places of a game that an agent may be told to go to, and the critic, which sees from RAM whether it is there.

To give another game goals, add a row to ``GOALS``.

The places of Montezuma's Revenge were read off the RAM on the way of a search to the first door. The figure's x is its
left edge, in pixels; its y grows upwards, and ``SCREEN_Y`` less it is the row of its middle.

Credits: T. D. Kulkarni et al. 2016 (arXiv 1604.06057), section 4.2, for these goals and for masks as their
representation; A. Anand et al. 2019 (arXiv 1906.08226) for addresses of Montezuma's Revenge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, nearest
from rl.envs.atari_view import HEIGHT, WIDTH
from rl.envs.ram import MONTEZUMA_X, MONTEZUMA_Y, PLACE, PLANET, REACTOR, ROOM, SCREEN

RamBatch = NDArray[np.uint8]
SCREEN_Y = 319  # row of the screen of the figure's middle, plus its y
FIRST_ROOM = 1


@dataclass(frozen=True)
class Goal:
    """A place.

    :param name: what it is called in logs
    :param bytes: for each address of RAM that tells, the least and the largest value there
    :param box: where it is on the screen: left, top, right, bottom, pixels of 160 x 210; None where that is not known
    """

    name: str
    bytes: tuple[tuple[int, int, int], ...]
    box: tuple[int, int, int, int] | None = None

    def reached(self, ram: RamBatch) -> NDArray[np.bool_]:
        """Whether the agent is there, (N,).

        :param ram: uint8 (N, 128)
        """
        inside = np.ones(len(ram), np.bool_)
        for address, low, high in self.bytes:
            inside &= (ram[:, address] >= low) & (ram[:, address] <= high)
        return inside


def _room(name: str, x: tuple[int, int], y: tuple[int, int]) -> Goal:
    """A place in the first room of Montezuma's Revenge."""
    box = (x[0] - 1, SCREEN_Y - y[1] - 8, x[1] + 7, SCREEN_Y - y[0] + 8)
    return Goal(name, ((ROOM, FIRST_ROOM, FIRST_ROOM), (MONTEZUMA_X, *x), (MONTEZUMA_Y, *y)), box)


def _planet(number: int) -> Goal:
    """A planet of Gravitar's first solar system."""
    return Goal(f"planet-{number + 1}", ((SCREEN, PLANET, PLANET), (PLACE, number, number)))


GOALS: dict[str, tuple[Goal, ...]] = {
    "montezuma_revenge": (
        _room("middle-ladder", (72, 82), (190, 200)),
        _room("rope", (106, 116), (186, 220)),
        _room("right-ladder", (128, 138), (146, 152)),
        _room("left-ladder", (16, 26), (146, 152)),
        _room("key", (8, 20), (196, 212)),
        _room("left-door", (14, 26), (232, 240)),
        _room("right-door", (126, 138), (232, 240)),
    ),
    "gravitar": (*map(_planet, range(4)), Goal("reactor", ((SCREEN, REACTOR, REACTOR),))),
}


class Critic:
    """The goals of a game, and whether they are reached.

    :param game: ALE's name, such as ``montezuma_revenge``
    :raises UserError: when it has no goals; the message names those that have
    """

    def __init__(self, game: str) -> None:
        if game not in GOALS:
            known = ", ".join(GOALS)
            raise UserError(f"{game} has no goals{nearest(game, GOALS)} (games that have: {known})")
        self.goals = GOALS[game]
        self.game = game

    def __len__(self) -> int:
        """Number of goals G."""
        return len(self.goals)

    @property
    def names(self) -> list[str]:
        """The goals' names."""
        return [goal.name for goal in self.goals]

    def reached(self, ram: RamBatch) -> NDArray[np.bool_]:
        """Which goals are reached, (N, G).

        :param ram: uint8 (N, 128)
        """
        return np.stack([goal.reached(ram) for goal in self.goals], axis=1)

    def inputs(self, obs: str, size: int) -> NDArray[np.uint8]:
        """What the controller sees of each goal, to be appended to its observation along the first axis.

        :param obs: ``pixels``: a mask, uint8 (G, 1, size, size), 255 in the goal's box; ``ram``: bytes, uint8
            (G, bytes), of whose bits one is set
        :param size: side of the mask, pixels
        :raises UserError: for pixels where the goals' places on the screen are not known
        """
        count = len(self.goals)
        if obs == "ram":
            return np.packbits(np.eye(count, dtype=np.uint8), axis=1)
        masks = np.zeros((count, 1, size, size), np.uint8)
        for mask, goal in zip(masks, self.goals, strict=True):
            if goal.box is None:
                raise UserError(f"where the goals of {self.game} are on the screen is not known; add --obs ram")
            left, top, right, bottom = goal.box
            rows = slice(top * size // HEIGHT, bottom * size // HEIGHT + 1)
            mask[0, rows, left * size // WIDTH : right * size // WIDTH + 1] = 255
        return masks
