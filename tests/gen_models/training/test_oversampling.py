"""Oversampling: how often each image comes, and what cannot be oversampled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from gen_models.images.image_set import ImageSet
from gen_models.options import TrainSettings
from gen_models.training.data import Batches, labels_of, vocabulary_of
from gen_models.training.oversampling import parse_oversample, shares, times_of
from gen_models.training.settings import resolve

# Horses 0 to 3, birds 4 to 9; the birds 4 and 5 have spread wings, the horse 0 and the bird 5 are white.
IMAGES = ImageSet(
    np.zeros((10, 8, 8, 3), np.uint8),
    np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1]),
    ("horse", "bird"),
    np.zeros(10, np.int64),
    ("a",),
    {
        "white": np.array([1, 0, 0, -1, 0, 1, 0, 0, -1, 0], np.int8),
        "spread": np.array([0, 0, 0, 0, 1, 1, 0, -1, 0, 0], np.int8),
        "side": np.array([0, 0, 0, 0, -1, -1, -1, -1, -1, -1], np.int8),
    },
)
WORDS = vocabulary_of(IMAGES, attributes=True)
LABELS = labels_of(IMAGES, WORDS)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("spread=8", [1, 1, 1, 1, 8, 8, 1, 1, 1, 1]),
        ("spread=8, white=3", [3, 1, 1, 1, 8, 8, 1, 1, 1, 1]),  # the larger of two
        ("horse+white=5", [5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("bird+no-spread=2", [1, 1, 1, 1, 1, 1, 2, 1, 2, 2]),
    ],
)
def test_how_often_each_image_comes(text: str, times: list[int]) -> None:
    assert times_of(text, IMAGES).tolist() == times


def test_an_epoch_has_each_image_so_often() -> None:
    times = times_of("spread=8", IMAGES)
    learning = dataclasses.replace(resolve(TrainSettings(preset="smoke")).learning, batch_size=6)
    batches = Batches(IMAGES, LABELS, WORDS, learning, 7, times=times)
    seen = np.concatenate([batches.indices(step) for step in range(8)])  # 48 images: two epochs of 10 + 2 * 7
    for epoch in seen.reshape(2, 24):
        assert np.bincount(epoch).tolist() == times.tolist()
    assert seen[:24].tolist() != seen[24:].tolist()
    once = Batches(IMAGES, LABELS, WORDS, learning, 7)
    ones = Batches(IMAGES, LABELS, WORDS, learning, 7, times=times_of("", IMAGES))
    assert once.indices(3).tolist() == ones.indices(3).tolist()


def test_what_a_run_says() -> None:
    text = "spread=8,horse+white=3"
    times = times_of(text, IMAGES)  # 26 in all
    assert shares(text, times, IMAGES) == [
        "oversampled: spread, 2 images, 8 times each: 61.5 % of an epoch instead of 20.0 %",
        "oversampled: horse+white, 1 images, 3 times each: 11.5 % of an epoch instead of 10.0 %",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sprad=8", r"--oversample sprad=8: unknown condition 'sprad' .*did you mean 'spread'\?"),
        ("side=8", r"--oversample side=8: no image is 'side'; leave it out, or label some by hand"),
        ("horse+spread=8", r"--oversample horse\+spread=8: no image is 'horse\+spread'"),
        ("horse+bird=8", "says two things about the class"),
    ],
)
def test_labels_that_no_image_has(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        times_of(text, IMAGES)


@pytest.mark.parametrize("text", ["spread", "spread=", "spread=0", "spread=2.5", "spread=-1", "=3", "spread=1001", ","])
def test_what_is_not_a_number_of_times(text: str) -> None:
    with pytest.raises(UserError, match="is not a label with a whole number from 1 to 1000; write it as in spread=8"):
        parse_oversample(text)


def test_a_label_named_twice() -> None:
    with pytest.raises(UserError, match="'spread' is there twice"):
        parse_oversample("spread=2,spread=3")
