"""What is measured of images: a training image among them is found, as it is or mirrored; sharpness by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.classifiers.attributes import whiteness
from gen_models.classifiers.classifier import Classifier, ClassifierSettings
from gen_models.images.sprites import draw_sprites, sprite_images
from gen_models.judging.measured import Measurer, first_to_second, grain, memorised, sharpness


def test_a_training_image_in_the_batch_is_memorised_also_if_mirrored_or_a_little_noisy() -> None:
    training = sprite_images(60)
    batch = draw_sprites("bird", 6, seed=77)[0]
    batch[1] = training.images[13]
    batch[4] = training.images[20][:, ::-1]
    noise = np.random.default_rng(0).integers(-2, 3, batch[5].shape)
    batch[5] = (training.images[31].astype(np.int64) + noise).clip(0, 255)
    measured = Measurer(Classifier(ClassifierSettings(("horse", "bird"))), training).measure(batch)
    assert memorised(measured)[[1, 4, 5]].all()
    assert measured.pixel_neighbours.indices[[1, 4, 5], 0].tolist() == [13, 20, 31]
    assert measured.pixel_neighbours.distances[[1, 4], 0].tolist() == [0, 0]
    rmse = np.sqrt(((batch[5].astype(np.float64) - training.images[31]) ** 2).mean()) / 255
    assert measured.pixel_neighbours.distances[5, 0] == pytest.approx(rmse, rel=1e-5)
    assert (first_to_second(measured.pixel_neighbours)[[0, 2, 3]] > 1 / 3).all()
    part = measured.take(np.array([4, 1]))
    assert part.feature_neighbours.indices[:, 0].tolist() == [20, 13]
    np.testing.assert_array_equal(part.images, batch[[4, 1]])


def test_sharpness_by_hand() -> None:
    """A chessboard of 0 and 100: every Laplacian is 4 x 100 up or down, the variance 400^2. A plain image has 0."""
    board = np.indices((8, 8)).sum(axis=0) % 2 * 100
    images = np.stack([np.repeat(board[:, :, None], 3, axis=2), np.full((8, 8, 3), 7)]).astype(np.uint8)
    assert sharpness(images) == pytest.approx([160_000, 0])


def test_grain_by_hand() -> None:
    """Noise keeps its deviation, a chessboard of +-3 has 8/3 of it, a slope none; where all is steep, no number."""
    places = np.arange(64)
    noise = np.random.default_rng(0).normal(128, 6, (64, 64))
    board = 100 + 3 * (1 - np.add.outer(places, places) % 2 * 2)
    greys = np.stack([noise, board, np.add.outer(places, 2 * places)]).round().astype(np.uint8)
    measured = grain(np.repeat(greys[..., None], 3, axis=3))
    assert measured[:2] == pytest.approx([6, 8], rel=0.05) and measured[2] == pytest.approx(0, abs=1e-4)
    steep = np.add.outer(8 * places[:16], 8 * places[:16]).astype(np.uint8)
    assert np.isnan(grain(np.repeat(steep[None, ..., None], 3, axis=3)))


def test_grain_is_that_of_the_even_part() -> None:
    """An edge through a plain image counts for nothing."""
    image = np.full((1, 32, 32, 3), 40, np.uint8)
    image[:, :, 16:] = 200
    assert grain(image) == pytest.approx([0], abs=1e-4)


def test_whiteness_of_a_white_and_of_a_brown_thing() -> None:
    images = np.full((3, 32, 32, 3), (60, 120, 200), np.uint8)
    images[0, 8:24, 8:24] = 245
    images[1, 8:24, 8:24] = (120, 70, 30)
    assert whiteness(images) == pytest.approx([1, 0, 0], abs=0.01)
