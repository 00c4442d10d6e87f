"""A chain of six states in which the way decides what its end is worth, and what the best policy gets there.

The agent begins in state 2. ``left`` goes left; ``right`` goes right with probability 1/2, otherwise left, and always
left in state 6. State 1 ends the episode: with reward 1 if state 6 was visited before, otherwise with 1/100.

Credits: T. D. Kulkarni, K. R. Narasimhan, A. Saeedi, J. B. Tenenbaum 2016 (arXiv 1604.06057), section 4.1; R. Bellman
1957 for dynamic programming; gymnasium's interface (M. Towers et al. 2024, arXiv 2407.17032).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

STATES = 6
LEFT, RIGHT = 0, 1
START, END, FAR = 1, 0, 5  # states 2, 1 and 6, counted from 0
RICH, POOR = 1.0, 0.01


class ChainEnv(gymnasium.Env[NDArray[np.float32], int]):
    """The chain. Observations are one-hot, float32 (6,): whether state 6 was visited is hidden, as in the paper."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (STATES,), np.float32)
        self.action_space: spaces.Space[Any] = spaces.Discrete(2)
        self.position = START
        self.visited = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin in state 2."""
        super().reset(seed=seed)
        self.position, self.visited = START, False
        return self._observation(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Go one state to the left or to the right."""
        right = action == RIGHT and self.position != FAR and self.np_random.random() < 0.5
        self.position += 1 if right else -1
        self.visited |= self.position == FAR
        over = self.position == END
        return self._observation(), (RICH if self.visited else POOR) if over else 0.0, over, False, {}

    def _observation(self) -> NDArray[np.float32]:
        observation = np.zeros(STATES, np.float32)
        observation[self.position] = 1.0
        return observation


def optimal_values(gamma: float, tolerance: float = 1e-12) -> NDArray[np.float64]:
    """The value of each state under the best policy that knows whether state 6 was visited, by value iteration.

    :param gamma: discount for each step, 0 to 1
    :return: float64 (2, 6): before and after the visit to state 6, which is always after; state 1 is worth 0
    """
    values = np.zeros((2, STATES))
    while True:
        before = values.copy()
        for visited in (0, 1):
            for state in range(1, STATES):
                left = _worth(values, visited, state - 1, gamma)
                right = left if state == FAR else (left + _worth(values, visited, state + 1, gamma)) / 2
                values[visited, state] = max(left, right)
        if np.abs(values - before).max() < tolerance:
            return values


def _worth(values: NDArray[np.float64], visited: int, state: int, gamma: float) -> float:
    """The reward for coming to a state, and what follows."""
    if state == END:
        return RICH if visited else POOR
    return float(gamma * values[int(visited or state == FAR), state])
