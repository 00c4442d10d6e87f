"""Random actions that are not all equally probable, for algorithms that explore by epsilon.

    model.action_space = WeightedActions((0.3, 0.6, 0.1), seed=742)

DQN and QR-DQN take the actions with which they explore from their action space, so that a space of other probabilities
is all that it takes. In games where a random walk scores nothing, as in Freeway, a bias towards one action helps.

Credits: gymnasium's ``Discrete``; a homework of 2020 on deep Q-networks for the experiment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from common.errors import UserError

ROUNDING = 1e-6  # by which the sum of probabilities may miss 1


def check_probabilities(probabilities: Sequence[float], actions: int, flag: str) -> None:
    """Check the probabilities of actions.

    :param actions: number of actions
    :param flag: of the command line, for the message
    :raises UserError: for another number of them, one that is negative, and where they do not add to 1
    """
    given = " ".join(f"{one:g}" for one in probabilities)
    if len(probabilities) != actions:
        raise UserError(f"{flag} {given}: {len(probabilities)} probabilities for {actions} actions; give one for each")
    if not all(0 <= one <= 1 for one in probabilities):
        raise UserError(f"{flag} {given}: probabilities go from 0 to 1")
    total = math.fsum(probabilities)
    if abs(total - 1) > ROUNDING:
        raise UserError(f"{flag} {given}: they add to {total:g}, not to 1; leave {flag} out for equal ones")


class WeightedActions(spaces.Discrete):
    """Discrete actions with a probability each.

    :param probabilities: of the actions, adding to 1
    :param seed: of the random actions
    """

    def __init__(self, probabilities: Sequence[float], seed: int | None = None) -> None:
        super().__init__(len(probabilities), seed=seed)
        self.probabilities = np.asarray(probabilities, np.float64) / math.fsum(probabilities)

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """A random action. Neither a mask nor other probabilities are taken.

        :raises ValueError: when one is given
        """
        if mask is not None or probability is not None:
            raise ValueError("these actions have probabilities of their own")
        return np.int64(self.np_random.choice(self.n, p=self.probabilities))
