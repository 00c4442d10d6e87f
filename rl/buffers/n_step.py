"""n-step returns: the discounted sum of up to n rewards, and what is left to be bootstrapped.

Credits: R. S. Sutton 1988 (Machine Learning 3); M. Hessel et al. 2018 (arXiv 1710.02298), section "Multi-step
learning"; Stable-Baselines3's ``NStepReplayBuffer`` for the meaning of an early end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def n_step_returns(
    rewards: NDArray[np.float32], ends: NDArray[np.bool_], gamma: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Returns from n consecutive steps, of which only those up to the first end count.

    With m steps that count, the return is the sum over i < m of ``gamma**i * rewards[i]``, and the value of what
    follows is discounted by ``gamma**m``.

    :param rewards: (B, n)
    :param ends: whether the step was its episode's last, or the last that is known, (B, n)
    :return: m - 1 (B,), returns (B, 1), discounts gamma**m (B, 1)
    """
    n = rewards.shape[1]
    last = np.where(ends.any(axis=1), ends.argmax(axis=1), n - 1)
    ahead = np.arange(n)
    # float32 throughout and in this order, so that results agree bit for bit with Stable-Baselines3's.
    discounted = rewards * gamma ** ahead.astype(np.float32) * (ahead <= last[:, None])
    discounts = gamma ** (last + 1).astype(np.float32)
    return last, discounted.sum(axis=1, keepdims=True), discounts.reshape(-1, 1)
