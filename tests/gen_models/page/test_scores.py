"""The scores of one image: neighbours worked out by hand, with and without training images."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.classifiers.classifier import Classifier, ClassifierSettings
from gen_models.images.image_set import ImageSet
from gen_models.page.scores import Scorer


def grey(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Images of one grey each, (N, 8, 8, 3)."""
    return np.stack([np.full((8, 8, 3), value, np.uint8) for value in values])


def test_neighbours_by_hand() -> None:
    classes = np.array([0, 1, -1], np.int64)
    training = ImageSet(grey(0, 100, 200), classes, ("horse", "bird"), np.zeros(3, np.int64), ("here",))
    scores = Scorer(training)(grey(130)[0])
    assert scores.pixels is not None and scores.features is None and scores.probabilities == {}
    assert scores.pixels.classes == ("bird", "", "horse")
    assert scores.pixels.distances == pytest.approx((30 / 255, 70 / 255, 130 / 255))
    assert scores.pixels.ratio == pytest.approx(3 / 7)
    np.testing.assert_array_equal(scores.pixels.images, grey(100, 200, 0))


def test_a_mirrored_copy_is_found() -> None:
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    training = ImageSet(
        np.stack([grey(90)[0], image]), np.zeros(2, np.int64), ("horse",), np.zeros(2, np.int64), ("here",)
    )
    scores = Scorer(training)(image[:, ::-1])
    assert scores.pixels is not None and scores.pixels.distances[0] == 0 and scores.pixels.ratio == 0
    np.testing.assert_array_equal(scores.pixels.images[0], image)


def test_one_training_image_has_no_ratio() -> None:
    one = ImageSet(grey(90), np.zeros(1, np.int64), ("horse",), np.zeros(1, np.int64), ("here",))
    pixels = Scorer(one)(grey(90)[0]).pixels
    assert pixels is not None and pixels.ratio is None and pixels.distances == (0.0,)


def test_without_training_images() -> None:
    image = grey(20)[0]
    image[2:6, 2:6] = 250  # white on black
    scores = Scorer(None)(image)
    assert scores.pixels is None and scores.whiteness == 1.0


def test_own_features_where_there_is_a_classifier() -> None:
    """A copy is nearest in features too, and a classifier that is often wrong comes with a warning."""
    classes = np.array([0, 1, 0], np.int64)
    training = ImageSet(grey(0, 100, 200), classes, ("horse", "bird"), np.zeros(3, np.int64), ("here",))
    classifier = Classifier(ClassifierSettings(("horse", "bird"), widths=(4, 8), size=8, test_accuracy=(0.625,)))
    scores = Scorer(training, classifier)(grey(100)[0])
    assert scores.features is not None and scores.features.classes[0] == "bird"
    assert scores.features.distances[0] == pytest.approx(0, abs=1e-5)
    assert list(scores.probabilities) == ["horse", "bird"]
    assert sum(scores.probabilities.values()) == pytest.approx(1)
    assert scores.warning is not None and scores.warning.startswith("the classifier is right on 62.5 %")
