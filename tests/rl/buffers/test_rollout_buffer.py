"""The lean rollout buffer against Stable-Baselines3's, on the same stream.

Credits: Stable-Baselines3's ``RolloutBuffer``, the reference.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from rl.buffers.rollout_buffer import LeanRolloutBuffer


@pytest.mark.parametrize("batch_size", [5, 8, None])
def test_two_rollouts_give_the_same_samples_in_the_same_order(batch_size: int | None) -> None:
    space = spaces.Box(0, 255, (2, 3, 3), np.uint8)
    buffers = [kind(6, space, spaces.Discrete(4), "cpu", 0.9, 0.95, 3) for kind in (LeanRolloutBuffer, RolloutBuffer)]
    random = np.random.default_rng(0)
    for _ in range(2):
        for buffer in buffers:
            buffer.reset()
        for _ in range(6):
            step = (
                random.integers(0, 256, (3, 2, 3, 3), dtype=np.uint8),
                random.integers(4, size=(3, 1)),
                random.normal(size=3),
                random.random(3) < 0.3,
                torch.from_numpy(random.normal(size=(3, 1)).astype(np.float32)),
                torch.from_numpy(random.normal(size=3).astype(np.float32)),
            )
            for buffer in buffers:
                buffer.add(*step)
        last, dones = torch.from_numpy(random.normal(size=(3, 1)).astype(np.float32)), random.random(3) < 0.5
        batches = []
        for buffer in buffers:
            buffer.compute_returns_and_advantage(last, dones)
            np.random.seed(1)  # noqa: NPY002
            batches.append([sample for _ in range(2) for sample in buffer.get(batch_size)])
        ours, theirs = batches
        assert len(ours) == len(theirs) == 2 * (-(-18 // (batch_size or 18)))
        for one, other in zip(ours, theirs, strict=True):
            for name, mine, reference in zip(one._fields, one, other, strict=True):
                assert mine.dtype == reference.dtype and torch.equal(mine, reference), name
        assert np.array_equal(buffers[0].values.swapaxes(0, 1).ravel(), buffers[1].values.ravel())  # explained variance
        assert np.array_equal(buffers[0].returns.swapaxes(0, 1).ravel(), buffers[1].returns.ravel())


def test_the_arrays_are_used_again() -> None:
    buffer = LeanRolloutBuffer(4, spaces.Box(0, 255, (2,), np.uint8), spaces.Discrete(2), "cpu")
    place = buffer.observations.ctypes.data
    buffer.reset()
    assert buffer.observations.ctypes.data == place
    with pytest.raises(AssertionError, match="not complete"):
        next(buffer.get())
