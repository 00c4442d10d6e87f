"""Composition of predictions: identities, values worked out by hand, and weights that do not parse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from common.errors import UserError
from common.parallel import PARTS, one_torch_thread, slices
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.guidance import Composition, composed, parse_weights, rescaled
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.sampling import predict_all
from gen_models.request import Method, SampleRequest

VOCABULARY = Vocabulary(("horse", "bird"), ("white", "spread"), ("drawn",))


def tiny_denoiser() -> Denoiser:
    """A denoiser with random weights, so that every condition matters."""
    torch.manual_seed(1)
    denoiser = Denoiser(DenoiserSettings(size=8, patch=1, channels=(8, 16), layers=1, attention=()), VOCABULARY.sizes)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return denoiser.eval()


def labels(text: str) -> Tensor:
    """The label of a condition, repeated for five images."""
    return torch.tensor([VOCABULARY.parse(text).values if text else VOCABULARY.null.values] * 5)


def compose(denoiser: Denoiser, text: str, method: Method = "and", level: float = 0.5) -> Tensor:
    """The composed prediction for five noisy images."""
    x = torch.randn((5, 3, 8, 8), generator=torch.Generator().manual_seed(2))
    conditions, weights = parse_weights(text, VOCABULARY)
    values = torch.tensor([condition.values for condition in (VOCABULARY.null, *conditions)])
    with torch.no_grad():
        null, *embeddings = denoiser.embed(values)
        return Composition(method, weights)(partial(predict_all, denoiser, x, 400), null, embeddings, level)


def plain(denoiser: Denoiser, text: str) -> Tensor:
    """The denoiser's own prediction for the same images, in the halves of sampling, since networks round by them."""
    x = torch.randn((5, 3, 8, 8), generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), one_torch_thread():
        halves = [denoiser(x[half], torch.full((5,), 400)[half], labels(text)[half]) for half in slices(5, PARTS)]
    return torch.cat(halves)


def test_weights_of_0_are_the_unconditional_prediction_to_the_bit() -> None:
    denoiser = tiny_denoiser()
    assert torch.equal(compose(denoiser, "horse=0,bird+white=0"), plain(denoiser, ""))
    assert torch.equal(compose(denoiser, ""), plain(denoiser, ""))
    assert not torch.allclose(plain(denoiser, ""), plain(denoiser, "horse"))


@pytest.mark.parametrize("method", ["and", "mix"])
def test_a_single_weight_of_1_is_the_conditional_prediction_to_the_bit(method: Method) -> None:
    denoiser = tiny_denoiser()
    assert torch.equal(compose(denoiser, "horse+white=1", method), plain(denoiser, "horse+white"))


def test_the_same_condition_twice_with_half_the_weight_is_the_condition_once() -> None:
    denoiser = tiny_denoiser()
    once = compose(denoiser, "horse=3")
    torch.testing.assert_close(compose(denoiser, "horse=1.5,horse=1.5"), once, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(compose(denoiser, "horse=1.5,horse=1.5", "mix"), once, rtol=1e-5, atol=1e-5)


def test_and_is_the_unconditional_prediction_and_the_weighted_differences() -> None:
    denoiser = tiny_denoiser()
    null, horse, bird = (plain(denoiser, text) for text in ("", "horse", "no-white+bird"))
    expected = null + 2 * (horse - null) - 0.5 * (bird - null)
    torch.testing.assert_close(compose(denoiser, "horse=2, no-white+bird=-0.5"), expected, rtol=1e-5, atol=1e-5)


def test_switch_is_one_condition_above_the_switching_point_and_the_other_at_and_below_it() -> None:
    denoiser = tiny_denoiser()
    for level, alone in ((0.81, "bird=2"), (0.8, "horse=3"), (0.1, "horse=3")):
        assert torch.equal(compose(denoiser, "bird=2,horse=3", "switch", level), compose(denoiser, alone))


def test_mix_predicts_for_the_embedding_between_the_conditions() -> None:
    denoiser = tiny_denoiser()
    x = torch.randn((5, 3, 8, 8), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        between = 0.75 * denoiser.embed(labels("horse")) + 0.25 * denoiser.embed(labels("bird"))
        mixed = denoiser.predict(x, torch.full((5,), 400), between)
    null = plain(denoiser, "")
    expected = null + 4 * (mixed - null)
    torch.testing.assert_close(compose(denoiser, "horse=3,bird=1", "mix"), expected, rtol=1e-4, atol=1e-5)


class Numbers:
    """Predictions that are plain numbers, constant over an image, and a count of the calls."""

    def __init__(self) -> None:
        self.asked: list[list[float]] = []

    def __call__(self, embeddings: Sequence[Tensor]) -> Tensor:
        """An embedding is its own prediction."""
        self.asked.append([embedding.item() for embedding in embeddings])
        return torch.stack([embedding.expand(2, 3, 4, 4) for embedding in embeddings])


NULL, HORSE, BIRD = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([7.0])


@pytest.mark.parametrize(
    ("weights", "level", "value", "asked"),
    [
        ((2.0, 0.5), 0.5, 1 + 2 * 2 + 0.5 * 6, [1.0, 3.0, 7.0]),
        ((2.0, -1.0), 0.5, 3 * 2 - 7, [3.0, 7.0]),  # the weights add up to 1: the unconditional one is not needed
        ((2.0, 0.5), 0.8, 1 + 2 * 2 + 0.5 * 6, [1.0, 3.0, 7.0]),
        ((2.0, 0.5), 0.81, (2 * 3 + 0.5 * 7) / 2.5, [3.0, 7.0]),  # outside of the interval: the weighted mean
        ((2.0, -1.0), 0.1, 3.0, [3.0]),
        ((-1.0, -1.0), 0.1, 1.0, [1.0]),
    ],
)
def test_interval_and_what_is_predicted_in_one_call(
    weights: tuple[float, ...], level: float, value: float, asked: list[float]
) -> None:
    predict = Numbers()
    composition = Composition("and", weights, interval=(0.2, 0.8))
    result = composition(predict, NULL, [HORSE, BIRD], level)
    assert result.shape == (2, 3, 4, 4)
    torch.testing.assert_close(result, torch.full((2, 3, 4, 4), float(value)))
    assert predict.asked == [asked]


def test_predictions_of_v_compose_as_those_of_epsilon() -> None:
    t = 300
    alpha = math.sqrt(float(Noise().scheduler().alphas_cumprod[t]))
    sigma = math.sqrt(1 - alpha**2)
    generator = torch.Generator().manual_seed(3)
    x, *eps = (torch.randn((5, 3, 8, 8), generator=generator, dtype=torch.float64) for _ in range(4))
    # v = alpha eps - sigma x_0 with x_0 = (x_t - sigma eps) / alpha
    v = [alpha * one - sigma * (x - sigma * one) / alpha for one in eps]
    composition = Composition("and", (3.0, -1.5))
    composed = {}
    for name, predictions in (("eps", eps), ("v", v)):
        places = [torch.tensor(k) for k in range(3)]

        def predict(chosen: Sequence[Tensor], predictions: list[Tensor] = predictions) -> Tensor:
            return torch.stack([predictions[int(k)] for k in chosen])

        composed[name] = composition(predict, places[0], places[1:], 0.5)
    torch.testing.assert_close(alpha * composed["v"] + sigma * x, composed["eps"], rtol=1e-12, atol=1e-12)


def test_rescale_brings_the_contrast_of_each_image_back() -> None:
    generator = torch.Generator().manual_seed(4)
    reference = torch.randn((2, 3, 8, 8), generator=generator)
    guided = torch.stack([4 * reference[0], 0.5 * reference[1]])
    torch.testing.assert_close(rescaled(guided, reference, 1.0), reference)
    # phi = 0.75: 0.75 of the way from 4 to 1, and from 0.5 to 1
    half_way = torch.stack([1.75 * reference[0], 0.875 * reference[1]])
    torch.testing.assert_close(rescaled(guided, reference, 0.75), half_way)


def test_rescale_takes_the_mean_of_the_conditional_predictions_as_its_aim() -> None:
    generator = torch.Generator().manual_seed(5)
    predictions = torch.randn((3, 2, 3, 8, 8), generator=generator)
    places = [torch.tensor(k) for k in range(3)]
    composition = Composition("and", (6.0, 2.0), rescale=1.0)
    result = composition(lambda chosen: predictions[[int(k) for k in chosen]], places[0], places[1:], 0.5)
    aim = 0.75 * predictions[1] + 0.25 * predictions[2]
    torch.testing.assert_close(result.std((1, 2, 3)), aim.std((1, 2, 3)))


def test_weights_parse() -> None:
    conditions, weights = parse_weights(" horse+white = 3, no-spread=-1.5e0", VOCABULARY)
    assert [condition.values for condition in conditions] == [(1, 2, 0, 0), (0, 0, 1, 0)]
    assert weights == (3.0, -1.5)
    assert parse_weights(" ", VOCABULARY) == ((), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("horse", "'horse' is not a condition with its weight; write it as in horse=3,bird=1.5"),
        ("horse=3,", "'' is not a condition with its weight"),
        ("=3", "'=3' is not a condition with its weight"),
        ("horse=three", "the weight 'three' is not a number"),
        ("horse=nan", "the weight 'nan' is not a number"),
        ("horse=1=2", "the weight '1=2' is not a number"),
        ("hrose=3", "unknown condition 'hrose' .*; did you mean 'horse'"),
        ("horse+bird=3", "'horse\\+bird' says two things about the class"),
    ],
)
def test_weights_that_do_not_parse(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_weights(text, VOCABULARY)
    assert "\n" not in str(caught.value) and caught.value.status == 2


@pytest.mark.parametrize(
    ("composition", "message"),
    [
        (Composition("switch", (1.0,)), "--compose switch takes two conditions"),
        (Composition("mix", (1.0, -1.0)), "--compose mix takes one or more conditions with weights above 0"),
        (Composition("contrast", (1.0, 2.0, 2.0)), "--compose contrast takes a base, a condition with the attribute"),
        (Composition("mix", ()), "--compose mix takes one or more conditions"),
        (Composition("and", (1.0,), interval=(0.8, 0.2)), "--interval 0.8 0.2: give two noise levels"),
        (Composition("and", (1.0,), switch_at=1.5), "--switch-at 1.5 is a noise level"),
        (Composition("contrast", (1.0, 2.0, -2.0), area=0.0), "--area 0 is a share of the image"),
        (Composition("and", (1.0,), rescale=-1), "--rescale -1 is a share"),
    ],
)
def test_compositions_that_cannot_be(composition: Composition, message: str) -> None:
    with pytest.raises(UserError, match=message):
        composition.check()


def test_a_condition_that_stands_twice_is_refused_except_by_switch() -> None:
    for text in ("horse=2,horse=3", "horse+white=1, white+horse=2"):
        for method in ("and", "mix"):
            with pytest.raises(UserError, match="stands there twice; add its weights up"):
                composed(SampleRequest(text, method), VOCABULARY)
        composed(SampleRequest(text, "switch"), VOCABULARY)  # the weight changes on the way


def test_many_conditions_are_refused() -> None:
    with pytest.raises(UserError, match="--weights has 17 conditions: at most 16"):
        parse_weights(",".join(["horse=1"] * 17), VOCABULARY)
