"""Tests of the drawn data set: deterministic, labels true, what is shared by the classes shared."""

from __future__ import annotations

import hashlib

import numpy as np

from gen_models.images.sprite_drawing import draw_scene
from gen_models.images.sprites import KINDS, draw_sprites, random_scene, sprite_images


def test_picture_k_depends_on_seed_and_k_alone() -> None:
    few, _ = draw_sprites("bird", 3, 5)
    many, _ = draw_sprites("bird", 6, 5)
    np.testing.assert_array_equal(few, many[:3])
    assert (draw_sprites("bird", 3, 6)[0] != few).any(axis=(1, 2, 3)).all()
    assert len({hashlib.sha256(image.tobytes()).digest() for image in many}) == 6


def test_a_horse_never_has_wings_and_a_bird_has_half_of_the_time() -> None:
    _, horse = draw_sprites("horse", 400, 0)
    _, bird = draw_sprites("bird", 400, 0)
    _, winged = draw_sprites("winged horse", 50, 0)
    assert not horse["spread"].any()
    assert winged["spread"].all()
    assert 0.4 < bird["spread"].mean() < 0.6
    for known in (horse, bird, winged):
        assert 0.2 < known["white"].mean() < 0.5


def test_white_is_what_is_bright_in_the_middle() -> None:
    for kind in KINDS:
        for index in range(60):
            scene = random_scene(kind, np.random.default_rng([3, index]))
            x, y = (round(part) for part in scene.centre)
            middle = draw_scene(scene)[y - 1 : y + 2, x - 1 : x + 2].min(axis=2).max()
            white = min(scene.body) >= 225
            assert (middle > 200) == white, (kind, index, middle)


def test_wings_are_the_only_difference_between_a_horse_and_a_winged_one() -> None:
    scene = random_scene("horse", np.random.default_rng(0))
    winged = type(scene)(**{**vars(scene), "wings": True})
    changed = (draw_scene(scene) != draw_scene(winged)).any(axis=2)
    rows = np.flatnonzero(changed.any(axis=1))
    assert 60 < changed.sum() < 300
    assert rows.min() < scene.centre[1] - 10  # well above the back
    assert rows.max() < scene.centre[1] + 2  # nothing below the body


def test_the_data_set() -> None:
    train = sprite_images(20)
    assert train.class_names == ("horse", "bird")
    assert train.classes.tolist() == [0, 1] * 10
    assert train.images.shape == (20, 32, 32, 3)
    assert (train.attributes["spread"][::2] == 0).all()
    np.testing.assert_array_equal(sprite_images(20).images, train.images)
    test = sprite_images(20, "test")
    assert len(test) == 3
    assert not any((image == train.images).all(axis=(1, 2, 3)).any() for image in test.images)
    np.testing.assert_array_equal(sprite_images(20, "all").images, np.concatenate([train.images, test.images]))
