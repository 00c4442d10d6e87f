"""The foreground: against what was drawn, and nothing where there is no even border."""

from __future__ import annotations

import numpy as np
import torch

from gen_models.images.foreground import foreground
from gen_models.images.image_set import to_model_space
from gen_models.images.sprite_drawing import draw_parts, draw_scene
from gen_models.images.sprites import random_scene


def test_the_foreground_of_a_drawing_is_the_animal() -> None:
    scenes = [random_scene(("horse", "bird")[k % 2], np.random.default_rng(k)) for k in range(60)]
    whole = np.stack([draw_scene(scene) for scene in scenes])
    empty = np.stack([draw_parts(scene, []) for scene in scenes])
    truth = (np.abs(whole.astype(int) - empty) > 40).any(axis=3)
    inside, clear = foreground(to_model_space(whole, "cpu"))
    found = inside.numpy()
    assert clear.float().mean() > 0.95
    overlap = (found & truth).sum() / (found | truth).sum()
    assert overlap > 0.85
    assert not foreground(to_model_space(empty, "cpu"))[1].any()


def test_nothing_is_clear_in_noise_or_where_the_subject_fills_the_border() -> None:
    noise = torch.rand((8, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert not foreground(noise)[1].any()
    cut = torch.zeros(1, 3, 16, 16)
    cut[:, :, :8, 3:13] = 1  # reaches the upper border
    assert not foreground(cut)[1].any()
    free = torch.zeros(1, 3, 16, 16)
    free[:, :, 5:11, 4:12] = 1
    free[:, :, 2, 2] = 1  # a speck
    inside, clear = foreground(free)
    assert clear.all() and inside.sum() == 6 * 8 and inside[0, 5:11, 4:12].all()
