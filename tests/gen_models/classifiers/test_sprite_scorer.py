"""Tests of the scorer on drawings that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gen_models.classifiers.classifier import WEIGHTS_FILE, Classifier, ClassifierSettings
from gen_models.classifiers.sprite_scorer import (
    HELD_OUT_SEED,
    MADE_FROM,
    MISSED,
    MISTAKES,
    WINGED_HORSE,
    ScorerTraining,
    SpriteScorer,
    held_out_mistakes,
    labelled_drawings,
    roughened,
)
from gen_models.classifiers.wrong_drawings import OUTPUTS, WRONG, wrong_drawings
from gen_models.images.sprites import draw_sprites


def test_the_labels_of_the_sprites() -> None:
    images, labels = labelled_drawings(30, 3)
    assert images.shape == (30, 32, 32, 3) and labels.shape == (30, len(OUTPUTS))
    for part in ("head", "body", "legs"):  # horses, birds, winged horses
        assert labels[:, OUTPUTS.index(part)].tolist() == [1] * 10 + [0] * 10 + [1] * 10
    wings = labels[:, OUTPUTS.index("wings")]
    assert wings[:10].tolist() == [0] * 10 and wings[20:].tolist() == [1] * 10
    assert 0 < wings[10:20].sum() < 10  # birds' wings are raised or folded


def test_half_of_the_images_are_roughened_a_little() -> None:
    images, _ = labelled_drawings(90, 3)
    rough = roughened(images, np.random.default_rng(0))
    changes = np.abs(rough.astype(int) - images).mean(axis=(1, 2, 3))
    assert 30 < (changes > 0).sum() < 60
    assert changes.max() < 20


def test_even_a_quick_one_is_mostly_right(scorer: SpriteScorer) -> None:
    assert tuple(scorer.accuracy) == OUTPUTS
    assert min(scorer.accuracy.values()) > 0.9
    images, labels = labelled_drawings(300, 99)
    scores = scorer.score(images)
    for index, name in enumerate(OUTPUTS):
        assert scores[name].shape == (300,)
        assert (scores[name] == labels[:, index]).mean() > 0.9
    parts = [scores[part] for part in WINGED_HORSE]
    np.testing.assert_array_equal(scores["winged horse"], np.logical_and.reduce(parts))
    np.testing.assert_array_equal(scores["horse"], np.logical_and.reduce(parts[:3]))


def test_what_is_no_animal_is_no_winged_horse(scorer: SpriteScorer) -> None:
    for kind in ("whole: blur", "whole: noise", "whole: empty"):
        assert scorer.score(wrong_drawings(kind, 100, 99)[0])["winged horse"].mean() <= 0.03, kind


def test_its_mistakes_are_counted_on_every_kind(scorer: SpriteScorer) -> None:
    assert list(scorer.mistakes) == [MISSED, *WRONG]
    assert all(0 <= share <= 1 for share in scorer.mistakes.values())
    kind = "wings: folded"
    images, _ = wrong_drawings(kind, 25, HELD_OUT_SEED)
    assert scorer.mistakes[kind] == scorer.score(images)["winged horse"].mean()


def test_a_scorer_that_says_yes_to_all_is_found_out() -> None:
    """Random weights, and a large bias in favour: every wrong drawing is taken for a winged horse, and none missed."""
    network = Classifier(ClassifierSettings(OUTPUTS, True, (8,)))
    network.network.head.bias.data.fill_(50.0)
    scorer = SpriteScorer(network, network, {})
    images, _ = wrong_drawings("head: missing", 20, 0)
    assert scorer.score(images)["winged horse"].all()


def test_kinds_that_are_left_out_are_what_is_counted() -> None:
    tiny = ScorerTraining(drawings=12, wrong=1, epochs=1, held_out=10)
    found = held_out_mistakes(1, 24, tiny)
    assert list(found) == [MISSED, tuple(WRONG)[1], tuple(WRONG)[25]]


def test_larger_images_are_reduced(scorer: SpriteScorer) -> None:
    images, _ = draw_sprites("winged horse", 40, 99)
    twice = images.repeat(2, axis=1).repeat(2, axis=2)
    for name, probability in scorer.probabilities(twice).items():
        np.testing.assert_allclose(probability, scorer.probabilities(images)[name], atol=0.1)
    assert np.corrcoef(scorer.features(twice).ravel(), scorer.features(images).ravel())[0, 1] > 0.95


def test_a_scorer_is_kept_and_one_of_another_version_is_not_used(scorer: SpriteScorer, tmp_path: Path) -> None:
    assert SpriteScorer.kept(tmp_path) is None
    scorer.keep(tmp_path)
    kept = SpriteScorer.trained(tmp_path, progress=lambda done, total: pytest.fail("it is trained again"))
    images, _ = draw_sprites("bird", 5, 0)
    np.testing.assert_array_equal(kept.probabilities(images)["wings"], scorer.probabilities(images)["wings"])
    np.testing.assert_array_equal(kept.features(images), scorer.features(images))
    assert kept.mistakes == scorer.mistakes
    (tmp_path / MADE_FROM).write_text('{"code": "other"}\n')
    assert SpriteScorer.kept(tmp_path) is None
    for name, damage in ((MISTAKES, "[]"), (MISTAKES, "{"), (WEIGHTS_FILE, "")):
        scorer.keep(tmp_path)
        (tmp_path / name).write_text(damage)
        assert SpriteScorer.kept(tmp_path) is None


@pytest.mark.slow
def test_right_on_99_in_100_drawings_and_fooled_by_few(tmp_path: Path) -> None:
    scorer = SpriteScorer.trained(tmp_path)
    assert min(scorer.accuracy.values()) >= 0.99
    assert scorer.mistakes[MISSED] <= 0.01
    assert max(share for kind, share in scorer.mistakes.items() if kind != MISSED) <= 0.03
    assert SpriteScorer.trained(tmp_path).accuracy == scorer.accuracy
