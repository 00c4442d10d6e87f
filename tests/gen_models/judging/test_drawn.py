"""Closeness to drawn winged horses: drawings are near, blobs are far, and the numbers say in which way."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.classifiers.sprite_scorer import SpriteScorer
from gen_models.classifiers.wrong_drawings import blurred, wrong_drawings
from gen_models.judging.drawn import DrawnWingedHorses


@pytest.fixture(scope="module")
def drawn(scorer: SpriteScorer) -> DrawnWingedHorses:
    return DrawnWingedHorses(scorer)


def test_other_drawings_are_near(drawn: DrawnWingedHorses) -> None:
    found = drawn.closeness(drawn.others(400))
    blobs = drawn.closeness(wrong_drawings("whole: blur", 400, 1)[0])
    assert found.frechet < 0.05 * blobs.frechet
    assert abs(found.kernel) < 0.02 * blobs.kernel
    assert found.precision > 0.85 and found.recall > 0.85
    assert blobs.precision < found.precision - 0.2 and blobs.recall < 0.5
    assert found.sharpness == pytest.approx(1, rel=0.15) and found.grain == pytest.approx(1, rel=0.3)


def test_few_of_them_again_and_again_lack_recall(drawn: DrawnWingedHorses) -> None:
    few = drawn.others(10)
    found = drawn.closeness(np.tile(few, (20, 1, 1, 1)))
    assert found.precision > 0.5 and found.recall < 0.1


def test_blur_takes_sharpness_and_noise_adds_grain(drawn: DrawnWingedHorses) -> None:
    images = drawn.others(60)
    soft = np.stack([blurred(image, 1.2) for image in images])
    noisy = (images + np.random.default_rng(0).normal(0, 10, images.shape)).round().clip(0, 255).astype(np.uint8)
    assert drawn.closeness(soft).sharpness < 0.5
    assert drawn.closeness(noisy).grain > 2 * drawn.closeness(images).grain
