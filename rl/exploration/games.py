"""What an explorer has to know of a game: which moments are alike (cells), and which of them are worth more.

To explore another game, add a function that reads its RAM and a row in `EXPLORED_GAMES`.

Credits: A. Ecoffet, J. Huizinga, J. Lehman, K. O. Stanley, J. Clune 2021 (arXiv 2004.12919) for cells, and for those of
Montezuma's Revenge from room, position and inventory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from common.errors import UserError, nearest
from rl.envs.ram import (
    FUEL,
    INVENTORY,
    LEVEL,
    LIVES,
    MONTEZUMA_LIVES,
    MONTEZUMA_SCORE,
    MONTEZUMA_X,
    MONTEZUMA_Y,
    PLACE,
    PLANETS_LEFT,
    ROOM,
    SCORE,
    SCREEN,
    X,
    Y,
    bcd,
)

Cell = tuple[tuple[int, ...], int, tuple[int, int]]


class Moment(NamedTuple):
    """What an explorer sees of a state.

    :param stage: how far the game is, apart from its score, such as the level and the room
    :param position: of the player, coarse
    :param score: points
    :param lives: left, the current one included
    :param fuel: left; 0 in games without
    """

    stage: tuple[int, ...]
    position: tuple[int, int]
    score: int
    lives: int
    fuel: int

    @property
    def cell(self) -> Cell:
        """Stage, score and position. Of states with the same cell the archive keeps one."""
        return self.stage, self.score, self.position

    @property
    def reserve(self) -> int:
        """What decides between two states of one cell: lives and fuel; a life is worth 2,000 units of fuel."""
        return 2000 * self.lives + self.fuel

    @property
    def promise(self) -> float:
        """Which cells to go on from, in points: the score, 400 for each life and 0.2 for each unit of fuel."""
        return self.score + 400 * self.lives + 0.2 * self.fuel


@dataclass(frozen=True)
class ExploredGame:
    """A game that can be explored.

    :param read: what the 128 bytes of RAM say
    :param rare: names of directions or buttons whose actions are drawn a quarter as often
    """

    read: Callable[[bytes], Moment]
    rare: tuple[str, ...] = ()


def gravitar(ram: bytes) -> Moment:
    """The stage is screen, planet and planets left; the position is the ship's, by 8 pixels."""
    stage = (ram[SCREEN], ram[PLACE], ram[PLANETS_LEFT])
    return Moment(stage, (ram[X] >> 3, ram[Y] >> 3), bcd(ram[SCORE]), ram[LIVES] + 1, bcd(ram[FUEL]))


def montezuma_revenge(ram: bytes) -> Moment:
    """The stage is level, room and inventory; the position is the figure's, by 8 pixels."""
    stage = (ram[LEVEL], ram[ROOM], ram[INVENTORY])
    position = (ram[MONTEZUMA_X] >> 3, ram[MONTEZUMA_Y] >> 3)
    return Moment(stage, position, bcd(ram[MONTEZUMA_SCORE]), ram[MONTEZUMA_LIVES] + 1, 0)


# Weights of lives and fuel in ``reserve`` and ``promise`` were chosen on Gravitar and serve both games.
EXPLORED_GAMES: dict[str, ExploredGame] = {
    "gravitar": ExploredGame(gravitar, rare=("DOWN",)),  # down is the shield, which costs 10 units of fuel a frame
    "montezuma_revenge": ExploredGame(montezuma_revenge),
}


def explored_game(game: str) -> ExploredGame:
    """What an explorer knows of a game.

    :param game: ALE's name, such as ``gravitar``
    :raises UserError: when it has no cells; the message names those that have
    """
    if game not in EXPLORED_GAMES:
        known = ", ".join(EXPLORED_GAMES)
        raise UserError(f"{game} has no cells to explore by{nearest(game, EXPLORED_GAMES)} (games that have: {known})")
    return EXPLORED_GAMES[game]
