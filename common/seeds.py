"""Derivation of seeds from other seeds.

Credits: M. E. O'Neill's seed sequences, as in ``numpy.random.SeedSequence``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def derive_seed(words: Sequence[int], bits: int = 64) -> int:
    """A seed that is statistically independent of those derived from other words.

    :param words: for example a run's seed, a number for the purpose, and a count; each 0 or more
    :param bits: 1 to 64
    :return: 0 to 2**bits - 1
    """
    return derive_seeds(words, 1, bits)[0]


def derive_seeds(words: Sequence[int], count: int, bits: int = 64) -> list[int]:
    """``count`` independent seeds, see ``derive_seed``; the first ones are the same for any ``count``."""
    state = np.random.SeedSequence(words).generate_state(count, np.uint64 if bits > 32 else np.uint32)
    return [int(word) % 2**bits for word in state]
