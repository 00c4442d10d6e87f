"""Seeds out of other seeds: the streams of earlier versions, which runs depend on.

Credits: numpy (SeedSequence).
"""

from __future__ import annotations

import numpy as np

from common.seeds import derive_seed, derive_seeds


def test_seeds_are_words_of_numpys_seed_sequence() -> None:
    words = np.random.SeedSequence((742, 3)).generate_state(4)
    assert derive_seeds((742, 3), 4, bits=32) == words.tolist()
    assert derive_seeds((742, 3), 2, bits=31) == [int(word) % 2**31 for word in words[:2]]
    assert derive_seed((742, 3)) == int(np.random.SeedSequence((742, 3)).generate_state(1, np.uint64)[0])


def test_values_that_runs_depend_on() -> None:
    assert derive_seed((0, 0)) == 15793235383387715774
    assert derive_seeds((742, 5), 2, bits=31) == [2050919272, 1794830827]


def test_other_words_other_seeds() -> None:
    seeds = [derive_seed(words) for words in ((1, 2), (2, 1), (1, 2, 1), (1, 3))]
    assert len(set(seeds)) == 4
