"""The denoiser: shapes, labels, patches, and settings that cannot be."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn

from common.errors import UserError
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings

SMALL = DenoiserSettings(size=16, patch=2, channels=(16, 32), layers=1, attention=(1,))


def build(settings: DenoiserSettings = SMALL, trained: bool = True) -> Denoiser:
    """A denoiser for two classes and one attribute, without the zeros that an untrained one ends in."""
    torch.manual_seed(0)
    denoiser = Denoiser(settings, (3, 3)).eval()
    if trained:
        for parameter in denoiser.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return denoiser


def images(count: int = 3, size: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


T = torch.tensor([0, 500, 999])
LABELS = torch.tensor([[0, 0], [1, 2], [2, 1]])


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("attention", [(), (0, 1)])
def test_predictions_have_the_images_shape(patch: int, attention: tuple[int, ...]) -> None:
    settings = dataclasses.replace(SMALL, patch=patch, channels=(32, 32), attention=attention)
    predicted = build(settings)(images(), T, LABELS)
    assert predicted.shape == (3, 3, 16, 16) and predicted.dtype == torch.float32


@torch.no_grad()
def test_an_untrained_denoiser_predicts_nothing() -> None:
    assert build(trained=False)(images(), T, LABELS).abs().max() == 0


@torch.no_grad()
def test_each_label_and_the_time_change_the_prediction() -> None:
    denoiser = build()
    x = images(1)
    seen = [
        denoiser(x, torch.tensor([t]), torch.tensor([labels]))
        for t, labels in [(500, [0, 0]), (500, [1, 0]), (500, [2, 0]), (500, [0, 1]), (500, [0, 2]), (400, [0, 0])]
    ]
    for index, first in enumerate(seen):
        assert all((first - second).abs().max() > 1e-4 for second in seen[:index])


@torch.no_grad()
def test_the_embedding_is_the_sum_over_the_columns() -> None:
    denoiser = build()
    first, second = denoiser.embeddings
    assert isinstance(first, nn.Embedding) and isinstance(second, nn.Embedding)
    expected = first.weight[2] + second.weight[1]
    assert denoiser.embed(torch.tensor([[2, 1]]))[0].equal(expected)
    assert denoiser.predict(images(), T, denoiser.embed(LABELS)).equal(denoiser(images(), T, LABELS))


@torch.no_grad()
def test_bfloat16_stays_near_float32_and_returns_float32() -> None:
    denoiser = build()
    exact = denoiser(images(), T, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = denoiser(images(), T, LABELS)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().mean() < 0.03 * exact.abs().mean()


@torch.no_grad()
@pytest.mark.parametrize("t", [10, 900])
def test_the_refinement_is_two_convolutions_scaled_by_the_time(t: int) -> None:
    denoiser = build()
    refinement = denoiser.refinement
    assert refinement is not None
    denoiser.unet.conv_out.weight.zero_()
    x = images(1)
    # With nothing from the U-Net but its bias, what is left is a function of that bias, the image and the time.
    flat = F.pixel_shuffle(denoiser.unet.conv_out.bias[None, :, None, None].expand(1, -1, 8, 8), 2)
    time = denoiser.unet.time_embedding(get_timestep_embedding(torch.tensor([t]), 16, True, 0))
    modulation = (refinement.modulate.weight @ F.silu(time[0]) + refinement.modulate.bias)[:, None, None]
    hidden = refinement.enter(torch.cat([flat, x], dim=1)) * (1 + modulation[:16]) + modulation[16:]
    expected = flat + refinement.leave(F.silu(hidden))
    torch.testing.assert_close(denoiser(x, torch.tensor([t]), LABELS[:1]), expected)


@torch.no_grad()
def test_a_pixel_depends_on_those_of_the_next_patch() -> None:
    denoiser = build(dataclasses.replace(SMALL, patch=4, channels=(32, 32), attention=()))
    refinement = denoiser.refinement
    assert refinement is not None
    out, x, time = images(1), images(1), torch.zeros(1, 128)
    changed = out.clone()
    changed[0, 0, 4, 4] += 1  # the first pixel of a patch
    moved = (refinement(changed, x, time) - refinement(out, x, time)).abs().sum(dim=(0, 1))
    assert (moved[2:7, 2:7] > 0).all() and moved[:2].sum() == 0 and moved[7:].sum() == 0


def test_without_patches_there_is_no_refinement() -> None:
    assert build(dataclasses.replace(SMALL, patch=1)).refinement is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 34}, "--size 34: with patch 2 and 2 resolutions the size has to be a multiple of 4"),
        ({"size": 48, "patch": 4, "channels": (32,) * 4}, "multiple of 32"),
        ({"channels": (20, 32)}, "--channels 20 32: each has to be a multiple of 8"),
        ({"channels": ()}, "multiple of 8"),
        ({"channels": (16, 40)}, "the 40 at resolution 1 has to be a multiple of 32"),
        ({"refinement": 0}, "the refinement needs at least 1 channel"),
        ({"attention": (2,)}, "--attention 2: the resolutions go from 0 to 1"),
    ],
)
def test_shapes_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        dataclasses.replace(SMALL, **change).check()
    assert message in str(raised.value)
