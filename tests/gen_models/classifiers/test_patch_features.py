"""Features of patches: their scale, what a linear classifier can learn from them, and that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gen_models.classifiers.patch_features import patch_features
from gen_models.labelling.ranking import learn


def striped(count: int, size: int = 32) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Stripes of random brightness, phase and colour with noise: half of them upright, half level."""
    rng = np.random.default_rng(0)
    upright = np.arange(count) % 2
    waves = np.sin(np.arange(size)[None] * 32 / size * 0.8 + rng.uniform(0, 6.28, (count, 1)))[:, None, :]
    waves = np.where(upright[:, None, None], waves, waves.transpose(0, 2, 1)) * np.ones((1, size, size))
    pictures = waves[..., None] * rng.uniform(10, 40, (count, 1, 1, 3)) + rng.uniform(80, 160, (count, 1, 1, 3))
    return (pictures + rng.normal(0, 10, pictures.shape)).clip(0, 255).astype(np.uint8), upright.astype(np.int8)


def test_the_direction_of_stripes_is_learned_from_few() -> None:
    images, upright = striped(120)
    calls: list[tuple[int, int]] = []
    features = patch_features(images, forms=16, progress=lambda done, total: calls.append((done, total)))
    assert features.shape == (120, 8 * 16 + 48) and features.dtype == np.float32
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    assert (features.std(axis=0) < 1.001).all() and np.median(features.std(axis=0)) == pytest.approx(1, abs=1e-3)
    assert calls[-1] == (120, 120)
    ranking = learn(features, np.where(np.arange(120) < 20, upright, -1).astype(np.int8), np.zeros(120, np.bool_))
    assert ranking is not None
    assert ((ranking.probability >= 0.5) == upright)[20:].mean() > 0.9


def test_the_seed_decides_and_large_images_are_made_small() -> None:
    images, _ = striped(30)
    first = patch_features(images, seed=1, forms=8)
    np.testing.assert_array_equal(first, patch_features(images, seed=1, forms=8))
    assert np.abs(first - patch_features(images, seed=2, forms=8)).max() > 0.1
    assert patch_features(striped(4, size=48)[0], forms=8).shape == (4, 112)


def test_images_without_any_contrast() -> None:
    features = patch_features(np.full((3, 32, 32, 3), 90, np.uint8), forms=8)
    assert np.isfinite(features).all() and np.abs(features).max() < 1e-2
