"""Label maps: what they say of images, what is hidden of them in training, and how a denoiser takes them."""

from __future__ import annotations

import pytest
import torch

from common.errors import UserError
from gen_models.diffusion.conditions import NULL, Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.label_maps import (
    BACKGROUND,
    HALF_HIDDEN,
    HIDDEN,
    REGIONS,
    UNKNOWN,
    UNLABELED,
    hide,
    maps_of,
    planes,
    planes_of,
)
from gen_models.images.image_set import to_model_space
from gen_models.images.sprites import sprite_images
from gen_models.training.data import labels_of, vocabulary_of

WORDS = Vocabulary(("horse", "bird"), ("white", "spread"), (), ("horse", "bird", "bird+spread"))


def test_the_vocabulary_has_a_region_for_each_class_and_each_class_with_the_attribute() -> None:
    images = sprite_images(40)
    assert vocabulary_of(images, True, ("spread",)).regions == WORDS.regions
    assert vocabulary_of(images, True).regions == ()
    with pytest.raises(UserError, match=r"--label-maps spead: no image has that attribute .*did you mean 'spread'"):
        vocabulary_of(images, True, ("spead",))


def test_a_map_says_of_the_foreground_what_the_labels_say() -> None:
    images = sprite_images(40)
    labels = labels_of(images, WORDS)
    maps = maps_of(to_model_space(images.images, "cpu"), labels, WORDS)
    for own, (kind, _, spread, _) in zip(maps, labels.tolist(), strict=True):
        shown = set(own.unique().tolist())
        expected = REGIONS + (0 if kind == 1 else 1 if spread == 1 else 2)
        assert shown == {BACKGROUND, expected}
    unlabeled = torch.zeros_like(labels)
    assert (maps_of(to_model_space(images.images, "cpu"), unlabeled, WORDS) == UNKNOWN).all()


def test_planes_are_one_where_the_value_is() -> None:
    maps = torch.tensor([[[UNKNOWN, BACKGROUND], [REGIONS, REGIONS + 2]]])
    found = planes(maps, planes_of(WORDS))
    assert found.shape == (1, 4, 2, 2) and found.sum() == 3
    assert found[0, 0, 0, 1] == found[0, 1, 1, 0] == found[0, 3, 1, 1] == 1
    assert planes_of(Vocabulary(("horse",))) == 0


def test_what_is_hidden_has_the_stated_shares() -> None:
    n = 4000
    maps = torch.full((n, 8, 8), BACKGROUND)
    labels = torch.ones(n, 4, dtype=torch.int64)
    hidden, kept = hide(maps, labels, torch.rand((n, 4), generator=torch.Generator().manual_seed(0)))
    unknown = (hidden == UNKNOWN).float().mean((1, 2))
    assert (unknown == 1).float().mean() == pytest.approx(HIDDEN, abs=0.03)
    part = (unknown > 0) & (unknown < 1)
    assert part.float().mean() == pytest.approx(HALF_HIDDEN, abs=0.03)
    assert unknown[part].mean() == pytest.approx(0.5, abs=0.05)
    bare = (kept == NULL).all(1)
    assert not bare[unknown == 1].any()
    assert bare[unknown < 1].float().mean() == pytest.approx(UNLABELED, abs=0.03)
    assert (kept[~bare] == 1).all()


def test_a_denoiser_takes_an_unknown_map_for_none_and_answers_to_a_known_one() -> None:
    torch.manual_seed(0)
    shape = DenoiserSettings(size=8, patch=2, channels=(8, 16), layers=1, attention=())
    denoiser = Denoiser(shape, WORDS.sizes, planes_of(WORDS)).eval()
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    x, t, labels = torch.randn(2, 3, 8, 8), torch.tensor([10, 900]), torch.zeros(2, 4, dtype=torch.int64)
    maps = torch.full((2, 8, 8), UNKNOWN)
    without = denoiser(x, t, labels)
    assert denoiser(x, t, labels, planes(maps, 4)).equal(without)
    maps[0, 2:4] = REGIONS
    other = denoiser(x, t, labels, planes(maps, 4))
    assert (other[0] != without[0]).any() and other[1].equal(without[1])
