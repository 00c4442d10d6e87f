"""Tests of the scorer on drawings that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gen_models.classifiers.classifier import WEIGHTS_FILE
from gen_models.classifiers.sprite_scorer import (
    MADE_FROM,
    NOTHING,
    SpriteScorer,
    images_of_nothing,
    labelled_drawings,
    train_scorer,
)
from gen_models.images.sprites import draw_sprites


@pytest.fixture(scope="module")
def scorer() -> SpriteScorer:
    """A quick one: a quarter of the drawings."""
    return train_scorer(drawings=1_500, nothings=500, epochs=5)


def test_the_labels_of_the_sprites() -> None:
    images, labels = labelled_drawings(30, 3)
    assert images.shape == (30, 32, 32, 3)
    assert labels[:, 0].tolist() == [1] * 10 + [0] * 10 + [1] * 10  # horses, birds, winged horses
    assert labels[:10, 1].tolist() == [0] * 10
    assert 0 < labels[10:20, 1].sum() < 10  # birds' wings are raised or folded
    assert labels[20:, 1].tolist() == [1] * 10


def test_what_is_no_animal_differs_from_seed_to_seed() -> None:
    for kind in NOTHING:
        images = images_of_nothing(kind, 4, 1)
        assert images.shape == (4, 32, 32, 3)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, images_of_nothing(kind, 4, 1))
        assert (images != images_of_nothing(kind, 4, 2)).any()


def test_even_a_quick_one_is_mostly_right(scorer: SpriteScorer) -> None:
    assert list(scorer.accuracy) == ["horse", "wings", "white"]
    assert min(scorer.accuracy.values()) > 0.95
    images, labels = labelled_drawings(300, 99)
    scores = scorer.score(images)
    for index, name in enumerate(scorer.accuracy):
        assert scores[name].shape == (300,)
        assert (scores[name] == labels[:, index]).mean() > 0.95


def test_what_is_no_animal_is_no_winged_horse(scorer: SpriteScorer) -> None:
    for kind, most in {"blur": 0.03, "noise": 0.03, "empty": 0.03, "blend": 0.15}.items():
        scores = scorer.score(images_of_nothing(kind, 100, 99))
        assert (scores["horse"] & scores["wings"]).mean() <= most, kind


def test_larger_images_are_reduced(scorer: SpriteScorer) -> None:
    images, _ = draw_sprites("winged horse", 40, 99)
    scores = scorer.score(images.repeat(2, axis=1).repeat(2, axis=2))
    assert (scores["horse"] & scores["wings"]).mean() > 0.8


def test_a_scorer_is_kept_and_one_of_another_version_is_not_used(scorer: SpriteScorer, tmp_path: Path) -> None:
    assert SpriteScorer.kept(tmp_path) is None
    scorer.keep(tmp_path)
    kept = SpriteScorer.trained(tmp_path, progress=lambda done, total: pytest.fail("it is trained again"))
    images, _ = draw_sprites("bird", 5, 0)
    np.testing.assert_array_equal(kept.probabilities(images)["wings"], scorer.probabilities(images)["wings"])
    (tmp_path / MADE_FROM).write_text('{"code": "other"}\n')
    assert SpriteScorer.kept(tmp_path) is None
    scorer.keep(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"")
    assert SpriteScorer.kept(tmp_path) is None


@pytest.mark.slow
def test_at_least_98_in_100_on_held_out_sprites(tmp_path: Path) -> None:
    scorer = SpriteScorer.trained(tmp_path)
    assert min(scorer.accuracy.values()) >= 0.98
    for kind in NOTHING:
        scores = scorer.score(images_of_nothing(kind, 300, 99))
        assert (scores["horse"] & scores["wings"]).mean() <= 0.02, kind
    assert SpriteScorer.trained(tmp_path).accuracy == scorer.accuracy
