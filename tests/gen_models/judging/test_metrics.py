"""Metrics by hand, against other libraries, of a set against itself and against a shifted copy.

Credits: torchmetrics as the second library for the kernel distance; prdc 0.2 (Naeem et al. 2020) and vendi-score 0.0.3
(Friedman and Dieng 2022), which gave the numbers of those metrics.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.image.kid import poly_mmd

from gen_models.judging.measured import Measured
from gen_models.judging.metrics import (
    NEAR_DUPLICATE,
    Reference,
    all_metrics,
    centred_pixels,
    kernel_distance,
    near_duplicates,
    nearest_other,
    precision_recall,
    vendi_score,
)
from gen_models.judging.neighbours import Neighbours


def greys(*levels: int, size: int = 32) -> NDArray[np.uint8]:
    return np.stack([np.full((size, size, 3), level, np.uint8) for level in levels])


def normal(n: int, shift: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(n, 6)) + shift).astype(np.float32)


def measured(n: int, shift: float = 0.0, seed: int = 0) -> Measured:
    images = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    neighbours = Neighbours(np.zeros((n, 2), np.int64), np.tile(np.array([[0.1, 0.2]], np.float32), (n, 1)))
    numbers = np.linspace(0, 1, n, dtype=np.float32)
    probabilities = np.stack([numbers, 1 - numbers], axis=1)
    return Measured(images, normal(n, shift, seed), probabilities, numbers, numbers, neighbours, neighbours)


def test_kernel_distance_by_hand() -> None:
    """With one feature k(a, b) = (a b + 1)^3: 0 between 1 and -1, 1 between 0 and anything: 0 + 1 - 2."""
    assert kernel_distance(np.array([[1.0], [-1.0]]), np.array([[0.0], [0.0]])) == pytest.approx(-1)


def test_kernel_distance_is_that_of_torchmetrics_for_equal_numbers() -> None:
    first, second = normal(30), normal(30, 0.5, seed=1)
    expected = poly_mmd(torch.from_numpy(first).double(), torch.from_numpy(second).double())
    assert kernel_distance(first, second) == pytest.approx(float(expected), rel=1e-9)
    assert kernel_distance(first, second[:20]) == pytest.approx(kernel_distance(second[:20], first), rel=1e-9)


def test_kernel_distance_grows_with_the_shift_and_is_about_0_for_one_distribution() -> None:
    same, near, far = (kernel_distance(normal(400), normal(400, shift, seed=1)) for shift in (0.0, 0.5, 1.0))
    assert abs(same) < 0.05 * near < 0.05 * far


def test_a_set_against_itself_and_far_from_itself() -> None:
    features = normal(50)
    itself = precision_recall(features, features)
    assert (itself["precision"], itself["recall"], itself["coverage"]) == (1, 1, 1)
    assert itself["density"] >= 1
    assert set(precision_recall(features, features + 100).values()) == {0}


def test_precision_recall_density_coverage_by_hand() -> None:
    """One feature, k = 1. Radii of the real 0, 1, 3, 7: 1, 1, 2, 4; of the generated 0.5, 1.5, 20: 1, 1, 18.5.

    In the radius of a real one are 0.5 (of 0 and 1) and 1.5 (of 1 and 3), not 20: precision 2/3, density 4/3. In the
    radius of a generated one are 0, 1 (of 0.5, 1.5), 3 (of 20, by 17) and 7 (of 20): recall 1. Real ones with a
    generated one in their radius: 0, 1, 3, not 7, from which 1.5 is 5.5 away: coverage 3/4.
    """
    real, generated = np.array([[0.0], [1.0], [3.0], [7.0]]), np.array([[0.5], [1.5], [20.0]])
    found = precision_recall(real, generated, neighbours=1)
    assert found == pytest.approx({"precision": 2 / 3, "recall": 1, "density": 4 / 3, "coverage": 3 / 4})


def clouds() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """60 and 40 vectors of 4 numbers, the second set narrower and moved."""
    rng = np.random.default_rng(742)
    return rng.normal(size=(60, 4)).astype(np.float32), (rng.normal(size=(40, 4)) * 0.8 + 0.4).astype(np.float32)


def test_precision_recall_density_coverage_are_those_of_prdc() -> None:
    """``prdc.compute_prdc`` of prdc 0.2 gave these numbers."""
    wide, narrow = clouds()
    expected = {"precision": 0.95, "recall": 5 / 6, "density": 0.935, "coverage": 0.85}
    assert precision_recall(wide, narrow, 5) == pytest.approx(expected, abs=1e-12)
    expected = {"precision": 47 / 60, "recall": 0.9, "density": 29 / 36, "coverage": 0.775}
    assert precision_recall(narrow, wide, 3) == pytest.approx(expected, abs=1e-12)


def test_copies_of_an_image_are_not_within_each_other() -> None:
    """Three images six times each: with five neighbours every radius is 0, with seven it reaches another image."""
    copies = np.repeat(np.array([[0.0], [1.0], [3.0]]), 6, axis=0)
    assert set(precision_recall(copies, copies, 5).values()) == {0}
    found = precision_recall(copies, copies, 7)  # as prdc 0.2 has it: the six copies of seven lie nearer
    assert found == pytest.approx({"precision": 1, "recall": 1, "density": 6 / 7, "coverage": 1})


def test_vendi_scores_are_those_of_the_library() -> None:
    """``vendi_score.vendi.score_X`` of vendi-score 0.0.3 gave these numbers."""
    wide, narrow = clouds()
    assert vendi_score(wide) == pytest.approx(3.8551846539057353, rel=1e-12)
    assert vendi_score(narrow) == pytest.approx(3.8969817874481425, rel=1e-12)
    assert vendi_score(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])) == pytest.approx(2**0.5, rel=1e-12)


def test_vendi_score_of_repeated_images_is_their_number() -> None:
    images = np.eye(5)
    assert vendi_score(np.repeat(images, 4, axis=0)) == pytest.approx(5)
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1)


def test_vendi_score_of_pixels_counts_no_brightness() -> None:
    image = np.random.default_rng(0).integers(50, 150, (32, 32, 3), dtype=np.uint8)
    brighter = np.stack([image, image + 40, image + 80]).astype(np.uint8)
    assert vendi_score(centred_pixels(brighter)) == pytest.approx(1, abs=1e-6)


def test_nearest_other_and_near_duplicates_by_hand() -> None:
    """10 and 20 levels apart are an RMSE of 0.039 and 0.078, 21 are 0.082; at any size they are the same."""
    images = greys(0, 10, 31, 231)
    assert nearest_other(images) == pytest.approx(np.array([10, 10, 21, 200]) / 255, abs=2e-5)
    assert near_duplicates(images) == 1
    assert near_duplicates(greys(0, 20, size=64)) == 1
    assert near_duplicates(greys(0, 21)) == 0
    assert NEAR_DUPLICATE == 0.08
    assert near_duplicates(greys(7, 7, 7)) == 3


def test_every_metric_of_real_images_against_themselves_and_of_a_shifted_set() -> None:
    real = measured(40)
    reference = Reference({"horse": normal(20), "bird": normal(20, seed=1)}, real.sharpness, ("horse", "bird"))
    metrics = {metric.name: metric for metric in all_metrics(reference)}
    assert {"kernel distance to horse and bird, own features", "recall, own features"} < metrics.keys()
    close, shifted = (
        {name: metric.of(one) for name, metric in metrics.items()} for one in (real, measured(40, shift=3.0))
    )
    for kind in ("horse", "bird", "horse and bird"):
        name = f"kernel distance to {kind}, own features"
        small, large = close[name], shifted[name]
        assert small is not None and large is not None and small < large
        assert close[f"Frechet distance to {kind}, own features"] is None  # it takes 500
    assert shifted["precision, own features"] == 0
    assert close["sharpness, median"] == pytest.approx(1)
    assert close["whiteness of the foreground, mean"] == pytest.approx(0.5)
    assert close["probability of horse, mean"] == pytest.approx(0.5)
    assert close["first to second neighbour, pixels, least"] == pytest.approx(0.5)
    assert close["memorised (a ratio below 1/3)"] == 0


def test_a_batch_smaller_than_a_metric_needs_has_no_number() -> None:
    reference = Reference({"horse": normal(20)}, np.ones(20, np.float32), ("horse", "bird"))
    alone, few = ({metric.name: metric.of(measured(n)) for metric in all_metrics(reference)} for n in (1, 6))
    assert alone["Vendi score, pixels"] is None and few["Vendi score, pixels"] is not None
    assert few["precision, own features"] is None
    assert alone["sharpness, median"] is not None
