"""Composition by contrast: its conditions, its identities, and what it cannot be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from common.errors import UserError
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.contrast import contrast_conditions
from gen_models.diffusion.guidance import Composition, composed, strongest
from gen_models.diffusion.sampling import embed_conditions, predict_all
from gen_models.request import SampleRequest
from tests.gen_models.diffusion.test_guidance import VOCABULARY, Numbers, compose, plain, tiny_denoiser

WINGS = SampleRequest(compose="contrast", base="horse", add="spread", from_="bird", base_weight=2, add_weight=3)


def contrasted(level: float = 0.5, **changes: Any) -> Tensor:
    """The prediction of a contrast for the same noisy images as ``compose`` and ``plain``."""
    denoiser = tiny_denoiser()
    x = torch.randn((5, 3, 8, 8), generator=torch.Generator().manual_seed(2))
    conditions, composition = composed(replace(WINGS, **changes), VOCABULARY)
    with torch.no_grad():
        null, *embeddings = embed_conditions(denoiser, [VOCABULARY.null, *conditions])
        return composition(partial(predict_all, denoiser, x, 400), null, embeddings, level)


def test_conditions_differ_in_what_is_added_alone() -> None:
    values = [condition.values for condition in contrast_conditions("horse", "spread", "bird", VOCABULARY)]
    assert values == [(1, 0, 0, 0), (2, 0, 2, 0), (2, 0, 1, 0)]  # class, white, spread, source
    values = [condition.values for condition in contrast_conditions("horse+white", "no-spread", "bird", VOCABULARY)]
    assert values == [(1, 2, 0, 0), (2, 0, 1, 0), (2, 0, 2, 0)]
    values = [c.values for c in contrast_conditions("horse", "spread+white", "bird+drawn", VOCABULARY)]
    assert values == [(1, 0, 0, 0), (2, 2, 2, 1), (2, 1, 1, 1)]


def test_a_weight_of_0_is_the_base_alone_to_the_bit() -> None:
    assert torch.equal(contrasted(add_weight=0), compose(tiny_denoiser(), "horse=2"))
    assert torch.equal(contrasted(base_weight=1, add_weight=0), plain(tiny_denoiser(), "horse"))
    assert not torch.allclose(contrasted(), compose(tiny_denoiser(), "horse=2"))


def test_a_class_without_the_attribute_and_the_contrast_of_that_class_is_the_class_with_it() -> None:
    """Base and from are the same class: nothing is moved from one class to another, and nothing is changed by it."""
    denoiser = tiny_denoiser()
    moved = contrasted(base="bird+no-spread", base_weight=1, add_weight=1)
    torch.testing.assert_close(moved, plain(denoiser, "bird+spread"), rtol=1e-5, atol=1e-5)
    guided = contrasted(base="bird+no-spread", base_weight=3, add_weight=3)
    torch.testing.assert_close(guided, compose(denoiser, "bird+spread=3"), rtol=1e-5, atol=1e-5)


def test_it_is_the_base_and_the_difference_of_two_predictions() -> None:
    denoiser = tiny_denoiser()
    null, horse, spread, folded = (plain(denoiser, text) for text in ("", "horse", "bird+spread", "bird+no-spread"))
    expected = null + 2 * (horse - null) + 3 * (spread - folded)
    torch.testing.assert_close(contrasted(), expected, rtol=1e-4, atol=1e-5)


def test_outside_its_area_a_contrast_changes_nothing() -> None:
    here = contrasted(area=0.25)
    base = compose(tiny_denoiser(), "horse=2")
    untouched = torch.isclose(here, base, rtol=1e-5, atol=1e-5).all(dim=1).float().mean()
    assert 0.05 < untouched < 0.9
    assert torch.equal(contrasted(area=0.25, add_weight=0), base)


def test_the_strongest_part_of_a_difference_is_kept_and_the_rest_is_0() -> None:
    difference = torch.full((1, 3, 16, 16), 0.01)
    difference[:, :, 2:8, 2:8] = -1.0
    kept = strongest(difference, 0.14)  # 36 of 256 pixels
    torch.testing.assert_close(kept[:, :, 4:6, 4:6], difference[:, :, 4:6, 4:6])
    assert (kept[:, :, 12:, 12:] == 0).all()
    assert torch.equal(strongest(torch.zeros(1, 3, 16, 16), 0.5), torch.zeros(1, 3, 16, 16))


NULL, BASE, WITH, WITHOUT = (torch.tensor([number]) for number in (1.0, 3.0, 7.0, 5.5))


@pytest.mark.parametrize(
    ("weights", "level", "value", "asked"),
    [
        ((2.0, 4.0, -4.0), 0.5, 1 + 2 * 2 + 4 * 1.5, [1.0, 3.0, 7.0, 5.5]),
        ((1.0, 4.0, -4.0), 0.5, 3 + 4 * 1.5, [3.0, 7.0, 5.5]),
        ((2.0, 4.0, -4.0), 0.1, 3.0, [3.0]),  # outside of the interval: the base alone, without guidance
        ((0.0, 4.0, -4.0), 0.1, 1.0, [1.0]),
    ],
)
def test_interval_and_what_is_predicted_in_one_call(
    weights: tuple[float, ...], level: float, value: float, asked: Sequence[float]
) -> None:
    predict = Numbers()
    result = Composition("contrast", weights, interval=(0.2, 0.8))(predict, NULL, [BASE, WITH, WITHOUT], level)
    torch.testing.assert_close(result, torch.full((2, 3, 4, 4), float(value)))
    assert predict.asked == [asked]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from_": ""}, "--compose contrast needs --from, as in --compose contrast --base horse --add spread --from b"),
        ({"base": " "}, "--compose contrast needs --base"),
        ({"add": ""}, "--compose contrast needs --add"),
        ({"add": "spraed"}, "unknown condition 'spraed' .*did you mean 'spread'"),
        ({"add": "bird"}, "--add bird changes nothing in --from bird: give an attribute"),
        ({"add": "horse"}, "'bird\\+horse' says two things about the class"),
        ({"from_": "bird+no-spread"}, "--from bird\\+no-spread says already whether it is spread"),
        ({"weights": "horse=2"}, "--compose contrast takes no --weights \\(horse=2\\); give --base"),
        (
            {"compose": "and"},
            "--base, --add, --from: only for --compose contrast and map; --compose and takes --weights",
        ),
        ({"add_weight": float("nan")}, "--base-weight and --add-weight have to be numbers"),
    ],
)
def test_what_cannot_be_contrasted_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        composed(replace(WINGS, **changes), Vocabulary(("horse", "bird"), ("white", "spread")))
    assert "\n" not in str(caught.value) and caught.value.status == 2
