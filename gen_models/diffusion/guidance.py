"""Composition: combines the predictions for several conditions into one, with one function per method.

The denoiser predicts eps, or v = (eps - sigma_t x_t) / alpha_t, which is eps scaled and shifted by terms of x_t
and t alone. Every combination below is a sum whose coefficients add up to 1, so the shift is unchanged by it:
combining v and converting the result to eps is the same as combining eps. Only ``rescale`` depends on which of the two
the denoiser predicts; it comes from a paper that predicts v.

Noise levels are sigma_t of ``gen_models.diffusion.noise``, from 0 (the image) to 1 (noise), whatever the schedule. The
paper on intervals measures noise by sigma_t / alpha_t: 0.28 to 2.9 there is 0.27 to 0.95 here.

Credits: Ho and Salimans 2022 (arXiv 2207.12598, classifier-free guidance); Liu et al. 2022 (arXiv 2206.01714,
conjunction and negation of concepts); Kynkaanniemi et al. 2024 (arXiv 2404.07724, guidance in an interval of noise
levels); Lin et al. 2023 (arXiv 2305.08891, guidance rescale); Balaji et al. 2022 (arXiv 2211.01324, one text early and
another late, which is the idea of ``switch``); Gandikota et al. 2023 (arXiv 2311.12092, an attribute's direction as the
difference between the predictions with it and without it, which is that of ``contrast``);
Bradley et al. 2025 (arXiv 2502.04549, conditions compose where each acts on pixels of its own).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import Tensor
from torch.nn import functional

from common.errors import UserError
from gen_models.diffusion.conditions import Condition, Vocabulary
from gen_models.diffusion.contrast import contrast_conditions, map_conditions
from gen_models.request import PAIRS, Method, SampleRequest


class Mapped(NamedTuple):
    """A condition that is a label map besides a label.

    :param embedding: of the label, (E,) or (B, E)
    :param planes: of the maps, float (B, planes, S, S)
    """

    embedding: Tensor
    planes: Tensor


Predict = Callable[[Sequence[Any]], Tensor]
"""From P label embeddings, each (E,) or (B, E), or ``Mapped``, to predictions (P, B, 3, S, S) for the same x_t and t,
in one call of the network."""

MOST_CONDITIONS = 16  # of a request; each is one more pass through the network
EXAMPLE = "write it as in horse=3,bird=1.5"


@dataclass(frozen=True)
class Composition:
    """The method that combines the conditions' predictions, and its numbers.

    :param method: ``and``, ``switch``, ``mix``, ``contrast`` or ``map``
    :param weights: one per condition; for ``switch`` the early condition's, then the late one's; for ``contrast`` those
        of the base, of the condition with the attribute, and of the one without it, which is the second's negative; for
        ``map`` those of the base and of the map
    :param switch_at: noise level at which ``switch`` changes to the late condition
    :param interval: lowest and highest noise level with guidance
    :param rescale: phi of Lin et al., 0 for none to 1
    :param area: share of the image in which a contrast acts, see ``strongest``; above 0, at most 1
    """

    method: Method
    weights: tuple[float, ...]
    switch_at: float = 0.8
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    area: float = 1.0

    def check(self) -> None:
        """:raises UserError: when the method cannot take these weights, or a number is out of range"""
        if self.method == "switch" and len(self.weights) != 2:
            raise UserError(
                f"--compose switch takes two conditions, the early one and the late one, not {len(self.weights)}; "
                "one condition may say several things, as in horse+white"
            )
        if self.method == "mix" and (not self.weights or min(self.weights) <= 0):
            raise UserError("--compose mix takes one or more conditions with weights above 0")
        if self.method == "contrast" and (len(self.weights) != 3 or self.weights[1] != -self.weights[2]):
            raise UserError("--compose contrast takes a base, a condition with the attribute and one without it")
        low, high = self.interval
        if not 0 <= low < high <= 1:
            raise UserError(f"--interval {low:g} {high:g}: give two noise levels from 0 to 1, the lower one first")
        if not 0 <= self.switch_at <= 1:
            raise UserError(f"--switch-at {self.switch_at:g} is a noise level, from 0 (the image) to 1 (noise)")
        if not 0 < self.area <= 1:
            raise UserError(f"--area {self.area:g} is a share of the image, above 0, at most 1")
        if not 0 <= self.rescale <= 1:
            raise UserError(f"--rescale {self.rescale:g} is a share, from 0 to 1")

    def __call__(self, predict: Predict, null: Tensor, embeddings: Sequence[Tensor | Mapped], level: float) -> Tensor:
        """The composed prediction at a noise level.

        :param null: embedding of the null label (E,)
        :param embeddings: of the conditions, each (E,), or (B, E) where the images have different conditions; for
            ``map`` the last one with the maps
        :return: (B, 3, S, S)
        """
        if self.method == "switch":
            return switch(self, predict, null, embeddings, level)
        if self.method == "mix":
            return mix(self, predict, null, cast(Sequence[Tensor], embeddings), level)
        if self.method == "contrast":
            return contrast(self, predict, null, embeddings, level)
        return conjunction(self, predict, null, embeddings, self.weights, level)


def conjunction(
    composition: Composition,
    predict: Predict,
    null: Tensor,
    embeddings: Sequence[Tensor | Mapped],
    weights: Sequence[float],
    level: float,
    unguided_weights: Sequence[float] | None = None,
) -> Tensor:
    """``and``: p = p_null + sum_i w_i (p_i - p_null), Liu et al. algorithm 1.

    It is ``map`` as well, p_i being one for a label map, of the unconditional label.

    With one condition it is Ho and Salimans eq. 6, their w being w_1 - 1. A negative weight moves away from a
    condition, which is the negation of Liu et al. The sum is computed as (1 - sum_i w_i) p_null + sum_i w_i p_i, and
    predictions with the coefficient 0 are not computed. Weights of 0 therefore give p_null, and a single weight of 1
    gives p_1, exactly to the last bit.

    :param unguided_weights: used outside the interval, and for the contrast that ``rescale`` aims at; those of
        ``unguided`` if None
    """
    plain = unguided(weights) if unguided_weights is None else unguided_weights
    low, high = composition.interval
    if not low <= level <= high:
        weights = plain
    coefficients = [1.0 - sum(weights), *weights]
    kept = [k for k, coefficient in enumerate(coefficients) if coefficient != 0]
    every: list[Tensor | Mapped] = [null, *embeddings]
    predictions = predict([every[k] for k in kept])
    combined = weighted_sum([coefficients[k] for k in kept], predictions)
    if composition.rescale == 0 or len(kept) == 1:
        return combined
    shares = dict(enumerate(plain, start=1))
    shares[0] = 1.0 - sum(shares.values())
    reference = weighted_sum([shares[k] for k in kept], predictions)
    return rescaled(combined, reference, composition.rescale)


def switch(
    composition: Composition, predict: Predict, null: Tensor, embeddings: Sequence[Tensor | Mapped], level: float
) -> Tensor:
    """``switch``: the first condition decides the layout at high noise levels, the second the details at low ones.

    p = p_null + w_1 (p_1 - p_null) above the switching point, p_null + w_2 (p_2 - p_null) at and below it.
    """
    active = slice(0, 1) if level > composition.switch_at else slice(1, 2)
    return conjunction(composition, predict, null, embeddings[active], composition.weights[active], level)


def mix(composition: Composition, predict: Predict, null: Tensor, embeddings: Sequence[Tensor], level: float) -> Tensor:
    """``mix``: one condition whose embedding is the weighted mean of the others'.

    With W = sum_i w_i and e = sum_i (w_i / W) e_i: p = p_null + W (p(e) - p_null). The weights set both the
    shares and the strength. One condition alone gives the same in ``mix`` and in ``and``.
    """
    total = sum(composition.weights)
    between = weighted_sum([weight / total for weight in composition.weights], embeddings)
    return conjunction(composition, predict, null, [between], [total], level)


def contrast(
    composition: Composition, predict: Predict, null: Tensor, embeddings: Sequence[Tensor | Mapped], level: float
) -> Tensor:
    """``contrast``: p = p_null + b (p_base - p_null) + w (p_with - p_without).

    The last two are conditions of one class, with an attribute and without it (``gen_models.diffusion.contrast``). In
    their difference what the class looks like cancels, and the attribute is left. A weight w of 0 gives the base alone,
    exactly to the last bit; b = w = 1 with the base p_without gives p_with. Outside the interval, the base alone is
    used, without guidance.
    """
    alone = (unguided(composition.weights[:1])[0], 0.0, 0.0)
    low, high = composition.interval
    base_weight, weight, _ = composition.weights
    if composition.area == 1 or weight == 0 or not low <= level <= high:
        return conjunction(composition, predict, null, embeddings, composition.weights, level, alone)
    nothing, base, with_it, without = predict([null, *embeddings])
    guided = nothing + base_weight * (base - nothing) + weight * strongest(with_it - without, composition.area)
    return rescaled(guided, base, composition.rescale) if composition.rescale else guided


def strongest(difference: Tensor, area: float) -> Tensor:
    """A difference of predictions where it is strongest, and 0 elsewhere, with a soft edge.

    Conditions compose well where each acts on pixels of its own (Bradley et al.). The wings are where the difference is
    large; small differences elsewhere, which would change the head, are left out.

    :param difference: (B, 3, S, S)
    :param area: share of the pixels that are kept, above 0 to 1
    """
    strength = difference.abs().mean(dim=1, keepdim=True)
    for _ in range(2):
        strength = functional.avg_pool2d(strength, 5, stride=1, padding=2, count_include_pad=False)
    edge = strength.flatten(1).quantile(1 - area, dim=1)[:, None, None, None]
    return difference * ((strength / edge.clamp(min=1e-12) - 0.75) * 2).clamp(0, 1)


def unguided(weights: Sequence[float]) -> list[float]:
    """The weights outside the interval: positive ones divided by their sum, negative ones 0.

    For one condition that is the weight 1 of Kynkaanniemi et al. (section 3): the conditional prediction without
    guidance. For several it is the mean of the conditional predictions.
    """
    positive = [max(0.0, weight) for weight in weights]
    total = sum(positive)
    return [weight / total for weight in positive] if total else [0.0] * len(positive)


def rescaled(guided: Tensor, reference: Tensor, phi: float) -> Tensor:
    """Bring the contrast of a guided prediction back towards that of an unguided one, Lin et al. eq. 15 and 16.

    :param guided: (B, 3, S, S)
    :param reference: the prediction without guidance (B, 3, S, S), whose standard deviation per image is the target
    :param phi: how far, 0 to 1
    """
    over_image = (1, 2, 3)
    ratio = reference.std(over_image, keepdim=True) / guided.std(over_image, keepdim=True)
    return guided * (phi * ratio + (1 - phi))


def weighted_sum(coefficients: Sequence[float], terms: Sequence[Tensor] | Tensor) -> Tensor:
    """``sum_k coefficients[k] terms[k]``, added in this order."""
    total = coefficients[0] * terms[0]
    for coefficient, term in zip(coefficients[1:], terms[1:], strict=True):
        total = total + coefficient * term
    return total


def composed(request: SampleRequest, vocabulary: Vocabulary) -> tuple[tuple[Condition, ...], Composition]:
    """The conditions of a request, and the composition of the predictions for them.

    :raises UserError: for unknown or missing conditions, weights that the method cannot take, or a number out of range
    """
    words = {"--base": request.base, "--add": request.add, "--from": request.from_}
    given = ", ".join(name for name, text in words.items() if text)
    conditions: tuple[Condition, ...]
    weights: tuple[float, ...]
    if request.compose in PAIRS:
        if request.weights:
            raise UserError(
                f"--compose {request.compose} takes no --weights ({request.weights}); give --base, --add and --from, "
                "and their weights by --base-weight and --add-weight"
            )
        if not all(map(math.isfinite, request.pair_weights)):
            raise UserError("--base-weight and --add-weight have to be numbers")
        weights = request.pair_weights
        if request.compose == "map":
            conditions = (map_conditions(request.base, request.add, request.from_, vocabulary)[0], vocabulary.null)
        else:
            conditions = contrast_conditions(request.base, request.add, request.from_, vocabulary)
            weights = (*weights, -weights[1])
    elif given:
        raise UserError(f"{given}: only for --compose contrast and map; --compose {request.compose} takes --weights")
    else:
        conditions, weights = parse_weights(request.weights, vocabulary)
    for place, condition in enumerate(conditions):
        if request.compose not in ("switch", *PAIRS) and condition.values in [
            other.values for other in conditions[:place]
        ]:
            raise UserError(f"--weights {request.weights}: {condition.name} stands there twice; add its weights up")
    low, high = request.interval
    made = Composition(request.compose, weights, request.switch_at, (low, high), request.rescale, request.area)
    made.check()
    return conditions, made


@functools.lru_cache(maxsize=64)  # commands check a text before they load a network, and parse it again to sample
def parse_weights(text: str, vocabulary: Vocabulary) -> tuple[tuple[Condition, ...], tuple[float, ...]]:
    """Parse conditions and weights such as ``horse+white=3,bird=1.5``; an empty text is the unconditional model.

    :raises UserError: for weights that are not numbers, for unknown conditions, with the nearest known one, and for too
        many
    """
    conditions, weights = [], []
    parts = text.split(",") if text.strip() else []
    if len(parts) > MOST_CONDITIONS:
        raise UserError(f"--weights has {len(parts):,} conditions: at most {MOST_CONDITIONS}")
    for part in parts:
        name, equals, number = part.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--weights {text}: '{part.strip()}' is not a condition with its weight; {EXAMPLE}")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            raise UserError(f"--weights {text}: the weight '{number.strip()}' is not a number; {EXAMPLE}")
        conditions.append(vocabulary.parse(name.strip()))
        weights.append(weight)
    return tuple(conditions), tuple(weights)
