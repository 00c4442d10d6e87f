"""Selection of the best sampled images: disclosed and deterministic, with weights as settings.

Every image gets a rank from 0 to 1 in each of three terms. Lift: how much more probable the requested classes are than
in real images, by the own classifier. Whiteness of the foreground. Distance to the training set. The mean of the
ranks, weighted by the terms' weights, is the image's score. The first image kept has the highest score. Each further
one has the highest sum of score and distance, in own features, to the nearest image kept so far: farthest-first
traversal with a preference. Memorised images and near-duplicates of kept images come last.

The result does not depend on the order of the images.

Credits: T. F. Gonzalez 1985 (doi 10.1016/0304-3975(85)90224-5, farthest-first traversal); J. Carbonell and J. Goldstein
1998 (doi 10.1145/290941.291025, score and novelty in turn).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from common.errors import UserError
from gen_models.classifiers.attribute_table import digests
from gen_models.classifiers.attributes import AIRPLANE, BIRD, SPREAD
from gen_models.images.image_set import resized
from gen_models.judging.measured import Measured, memorised
from gen_models.judging.metrics import COMPARED_SIZE, NEAR_DUPLICATE
from gen_models.judging.neighbours import pairwise, pixel_vectors
from gen_models.options import SelectionWeights

LEAST_PROBABILITY = 1e-3  # lower probabilities count as this one


@dataclass(frozen=True)
class Selection:
    """The images kept of N sampled ones, and their scores.

    :param kept: int64 (K,), indices in the order in which they were kept
    :param lift: mean over the conditions of the logarithm of probability over base rate, float64 (N,)
    :param whiteness: share of the foreground, float64 (N,)
    :param distance: RMSE to the nearest training image, float64 (N,)
    :param score: weighted mean of the ranks, 0 to 1, float64 (N,)
    :param memorised: bool (N,)
    """

    kept: NDArray[np.int64]
    lift: NDArray[np.float64]
    whiteness: NDArray[np.float64]
    distance: NDArray[np.float64]
    score: NDArray[np.float64]
    memorised: NDArray[np.bool_]

    @property
    def best(self) -> int:
        """The index of the image with the highest score."""
        return int(self.kept[0])

    def to_csv(self, indices: Sequence[int]) -> str:
        """The score table as CSV, a line for each sampled image.

        :param indices: the images' numbers, by which they can be sampled again
        """
        place = np.zeros(len(self.score), np.int64)
        place[self.kept] = np.arange(1, len(self.kept) + 1)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "kept", "score", "lift", "whiteness", "distance", "memorised"])
        for k, index in enumerate(indices):
            terms = (self.score[k], self.lift[k], self.whiteness[k], self.distance[k])
            table.writerow([index, place[k] or "", *(f"{term:.6g}" for term in terms), int(self.memorised[k])])
        return text.getvalue()


def select(
    measured: Measured,
    keep: int,
    wanted: Sequence[Sequence[int]],
    base_rates: NDArray[np.float32],
    weights: SelectionWeights,
) -> Selection:
    """Keep the best and most different images.

    :param measured: the N sampled images
    :param keep: number of images to keep, 1 to N
    :param wanted: for each condition the classifier's outputs that indicate it, see ``outputs_for``
    :param base_rates: mean probability of each output in real images, float32 (K,)
    :raises UserError: when fewer are sampled than kept, or for invalid weights
    """
    weights.check()
    if not 1 <= keep <= len(measured):
        raise UserError(f"cannot keep {keep} of {len(measured)} images: draw more or keep fewer, at least 1")
    lift = lifts(measured.probabilities, wanted, base_rates)
    whiteness = measured.whiteness.astype(np.float64)
    distance = measured.pixel_neighbours.distances[:, 0].astype(np.float64)
    terms = ((weights.lift_weight, lift), (weights.white_weight, whiteness), (weights.distance_weight, distance))
    total = sum(weight for weight, _ in terms) or 1.0
    score = np.asarray(sum(weight * ranks(values) for weight, values in terms) / total)
    copied = memorised(measured)
    # Sorted by digest, so that ties do not depend on the order of sampling.
    order = np.argsort(digests(measured.images), kind="stable")
    penalised = np.where(copied, -1.0 - weights.diversity_weight, score)  # below all others, however different
    kept = order[_farthest_first(measured.take(order), keep, penalised[order], weights.diversity_weight)]
    return Selection(kept, lift, whiteness, distance, score, copied)


def outputs_for(conditions: Sequence[str], outputs: Sequence[str]) -> list[tuple[int, ...]]:
    """For each word the classifier's outputs that indicate it; words without any are left out.

    A class is indicated by its own output. Spread wings are indicated by bird and airplane together: a bird with spread
    wings looks like an airplane to a classifier.

    :param conditions: words such as horse, spread, no-white
    """
    indicating = {name: (name,) for name in outputs} | {SPREAD: (BIRD, AIRPLANE)}
    found = [tuple(outputs.index(name) for name in indicating.get(word, ()) if name in outputs) for word in conditions]
    return [columns for columns in found if columns]


def lifts(
    probabilities: NDArray[np.float32], wanted: Sequence[Sequence[int]], base_rates: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The mean, over the conditions, of the logarithm of an image's probability over that of real images, (N,)."""
    if not wanted:
        return np.zeros(len(probabilities))
    columns = [
        np.log(np.maximum(probabilities[:, which].sum(axis=1, dtype=np.float64), LEAST_PROBABILITY))
        - np.log(max(float(base_rates[which].sum()), LEAST_PROBABILITY))
        for which in map(list, wanted)
    ]
    return np.asarray(np.mean(columns, axis=0), np.float64)


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value, 0 for the least to 1 for the greatest; equal values share their mean rank.

    Where all are equal, each is 0.5.
    """
    if len(values) == 1:
        return np.full(1, 0.5)
    return np.asarray((rankdata(values) - 1) / (len(values) - 1), np.float64)


def _farthest_first(measured: Measured, keep: int, score: NDArray[np.float64], diversity: float) -> NDArray[np.int64]:
    """Indices (keep,) in the order of selection."""
    between = pairwise(measured.features, measured.features).astype(np.float64)
    between /= max(float(np.median(between[np.triu_indices(len(between), k=1)])) if len(between) > 1 else 0.0, 1e-12)
    pixels = pixel_vectors(resized(measured.images, COMPARED_SIZE))
    rmse = pairwise(pixels, pixels) / np.sqrt(pixels.shape[1])
    kept: list[int] = []
    nearest = np.full(len(score), np.inf)
    double = np.zeros(len(score), np.bool_)
    for _ in range(keep):
        gain = score + diversity * nearest.clip(max=1.0) - 10.0 * (diversity + 1) * double
        gain[kept] = -np.inf
        chosen = int(gain.argmax())
        kept.append(chosen)
        nearest = np.minimum(nearest, between[chosen])
        double |= rmse[chosen] < NEAR_DUPLICATE
    return np.array(kept, np.int64)
