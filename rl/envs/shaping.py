"""Shaping: what a game still has in store, lives and fuel, counts for the learner when it changes.

Gravitar's rewards come once in some 550 steps, but it burns fuel and loses lives all the time, and without fuel all
lives are lost at once. The difference of a potential between two states is added to the reward, in points. It is not
discounted, and the potential of a terminal state is not 0, so that the theorem of policy invariance does not hold
exactly: which policy is best depends a little on what lives and fuel are said to be worth. Logs and evaluations count
the game's own score.

Credits: A. Y. Ng, D. Harada, S. Russell 1999 (ICML) for shaping by potentials.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, nearest
from rl.envs.ram import FUEL, bcd

RamBatch = NDArray[np.uint8]


def _gravitar_fuel(ram: RamBatch) -> NDArray[np.float64]:
    return np.array([bcd(row[FUEL].tobytes()) for row in ram], np.float64)


# Fuel left, from RAM (n, 128) to float64 (n,).
FUELS: dict[str, Callable[[RamBatch], NDArray[np.float64]]] = {"gravitar": _gravitar_fuel}


@dataclass(frozen=True)
class Potential:
    """What lives and fuel are worth.

    :param game: ALE's name
    :param life: points a life
    :param fuel: points a unit of fuel
    """

    game: str
    life: float
    fuel: float

    def of(self, ram: RamBatch, lives: NDArray[np.int32]) -> NDArray[np.float64]:
        """The potential in points, float64 (n,).

        :param ram: uint8 (n, 128)
        :param lives: left, (n,)
        """
        value = self.life * lives
        return value + self.fuel * FUELS[self.game](ram) if self.fuel else value.astype(np.float64)


def parse_shaping(spec: str, game: str) -> Potential | None:
    """The potential that a text names.

    :param spec: as in ``life:150,fuel:0.05``; empty for none
    :param game: ALE's name
    :raises UserError: for another text, or fuel in a game without
    """
    if not spec:
        return None
    worth = {"life": 0.0, "fuel": 0.0}
    for part in spec.split(","):
        match = re.fullmatch(r"(\w+):(\d*\.?\d+)", part.strip())
        if match is None or match[1] not in worth:
            name = part.partition(":")[0]
            raise UserError(f"--shaping {spec}: write points as in life:150,fuel:0.05{nearest(name, worth)}")
        worth[match[1]] = float(match[2])
    if worth["fuel"] and game not in FUELS:
        known = ", ".join(FUELS)
        raise UserError(f"--shaping {spec}: where {game} keeps fuel is not known (games of which it is: {known})")
    return Potential(game, **worth)
