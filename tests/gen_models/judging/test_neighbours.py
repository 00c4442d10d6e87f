"""Nearest neighbours against every pair worked out in double precision.

Credits: SciPy's cdist.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gen_models.judging.neighbours import BLOCK, Neighbours, merged, nearest, pairwise, pixel_vectors


def test_neighbours_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(BLOCK + 7, 5)), rng.normal(size=(2 * BLOCK + 3, 5))
    found = nearest(queries, references, count=3)
    distances = cdist(queries, references)
    order = distances.argsort(axis=1)[:, :3]
    assert (found.indices == order).all()
    assert found.distances == pytest.approx(np.take_along_axis(distances, order, axis=1), rel=1e-5)
    assert found.indices.dtype == np.int64
    assert found.distances.dtype == np.float32


def test_lower_index_wins_ties_also_from_one_piece_to_the_next() -> None:
    references = np.zeros((2 * BLOCK, 2))
    references[: BLOCK - 1] = 9
    assert nearest(np.zeros((1, 2)), references, count=3).indices.tolist() == [[BLOCK - 1, BLOCK, BLOCK + 1]]


def test_copy_of_an_image_is_at_distance_0_and_pixels_give_rmse() -> None:
    images = np.random.default_rng(1).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    vectors = pixel_vectors(images)
    found = nearest(vectors[[13]], vectors)
    assert (found.indices[0, 0], found.distances[0, 0]) == (13, 0)
    darker = np.full((1, 4, 4, 3), 51, np.uint8)  # 0.2 below
    lighter = np.full((1, 4, 4, 3), 102, np.uint8)
    rmse = pairwise(pixel_vectors(darker), pixel_vectors(lighter))[0, 0] / np.sqrt(4 * 4 * 3)
    assert rmse == pytest.approx(0.2, abs=1e-6)


def test_progress_ends_at_all_pairs() -> None:
    calls: list[tuple[int, int]] = []
    nearest(np.zeros((BLOCK + 1, 1)), np.zeros((4, 1)), 1, lambda done, total: calls.append((done, total)))
    assert calls == [(4 * BLOCK, 4 * BLOCK + 4), (4 * BLOCK + 4, 4 * BLOCK + 4)]


def test_no_queries_have_no_neighbours() -> None:
    assert nearest(np.zeros((0, 3)), np.zeros((4, 3))).indices.shape == (0, 2)


def test_too_few_references_and_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 neighbours of 1 references"):
        nearest(np.zeros((1, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="vectors of 3 and of 4 numbers"):
        nearest(np.zeros((1, 3)), np.zeros((2, 4)))


def test_either_of_two_searches_names_no_reference_twice() -> None:
    first = Neighbours(np.array([[3, 5], [1, 2]]), np.array([[0.2, 0.5], [0.4, 0.5]], np.float32))
    second = Neighbours(np.array([[5, 3], [2, 7]]), np.array([[0.1, 0.9], [0.3, 0.45]], np.float32))
    found = merged(first, second)
    assert found.indices.tolist() == [[5, 3], [2, 1]]
    assert found.distances.tolist() == pytest.approx(np.array([[0.1, 0.2], [0.3, 0.4]]))
