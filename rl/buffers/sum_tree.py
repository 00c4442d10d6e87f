"""A sum tree in NumPy: draw an index with probability proportional to its value, change values, both by the batch.

A node has 32 children instead of the usual two. A million values are then four levels instead of twenty, and each level
costs a handful of NumPy calls whatever the batch size, so this is about three times as fast as a binary tree in NumPy.

Credits: T. Schaul et al. 2016 (arXiv 1511.05952), appendix B.2.1, for the sum tree and sampling by stratum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FAN_OUT = 32


class SumTree:
    """Values of indices 0 .. size - 1, all 0 at first.

    A sum is always computed anew from its children, so that rounding errors do not pile up and a tree depends on its
    values alone, not on the order in which they came.

    :param size: number of values, at least 1
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # _levels[0] holds the values, each later level the sums of the one before; (nodes, FAN_OUT), padded with zeros.
        self._levels: list[NDArray[np.float64]] = []
        count = size
        while not self._levels or count > 1:
            nodes = -(-count // FAN_OUT)
            self._levels.append(np.zeros((nodes, FAN_OUT)))
            count = nodes

    @property
    def total(self) -> float:
        """Sum of all values."""
        return float(self._levels[-1].sum())

    @property
    def nbytes(self) -> int:
        """Bytes reserved."""
        return sum(level.nbytes for level in self._levels)

    @property
    def values(self) -> NDArray[np.float64]:
        """All values, float64 (size,); a view, change them with ``update`` only."""
        return self._levels[0].reshape(-1)[: self.size]

    def update(self, indices: NDArray[np.int64], values: NDArray[np.float64] | float) -> None:
        """Set values.

        :param indices: (B,); where an index comes twice, its last value counts
        :param values: at least 0, (B,) or one for all
        """
        self._levels[0].reshape(-1)[indices] = values
        nodes = indices
        for level, above in zip(self._levels[:-1], self._levels[1:], strict=True):
            nodes = nodes // FAN_OUT
            above.reshape(-1)[nodes] = level[nodes].sum(axis=1)

    def restore(self, values: NDArray[np.float64]) -> None:
        """Set all values, (size,), to the same tree bit for bit that single updates lead to."""
        self.values[:] = values
        for level, above in zip(self._levels[:-1], self._levels[1:], strict=True):
            above.reshape(-1)[: len(level)] = level.sum(axis=1)

    def find(self, targets: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each target, 0 <= target < total, the first index whose cumulative sum is above it.

        An index whose value is 0 is never returned while some value is not 0, rounding notwithstanding.

        :param targets: (B,)
        :return: (B,)
        """
        rest = targets
        nodes = np.zeros(len(targets), np.int64)
        batch = np.arange(len(targets))
        for level in reversed(self._levels):
            sums = level[nodes].cumsum(axis=1)
            # The sum kept one level up may exceed this one in its last bit.
            rest = np.minimum(rest, np.nextafter(sums[:, -1], 0.0))
            children = (sums <= rest[:, None]).sum(axis=1)
            before = sums[batch, children - 1]
            before[children == 0] = 0.0
            rest = rest - before
            nodes = nodes * FAN_OUT + children
        return nodes

    def sample(self, batch_size: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Indices drawn in proportion to their values, one from each of ``batch_size`` equal parts of the total."""
        strata = np.arange(batch_size) + generator.random(batch_size)
        return self.find(strata * (self.total / batch_size))
