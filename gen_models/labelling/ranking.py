"""Which images are shown next: a classifier that learns from the labels, and the choice by what it says.

A screen's images are of three kinds. The most probable ones find what is rare. The most uncertain ones, whose
probability is nearest to one half, teach the classifier most. Some at random find what it knows nothing of.

One labelled image in five, by a digest of its name, is held out: it is never trained on, and tells the accuracy.

Credits: D. D. Lewis, W. A. Gale 1994, arXiv cmp-lg/9407020, and B. Settles 2009, *Active Learning Literature Survey*
(section 3.1, uncertainty sampling); R. Garnett et al. 2012, arXiv 1206.6406 (active search: taking the most probable
ones to find many of a rare class). SciPy's L-BFGS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from gen_models.classifiers.attributes import NO, YES
from gen_models.images.image_set import UNKNOWN

PROBABLE, UNCERTAIN = 1 / 2, 1 / 3  # shares of a screen; the rest is at random
HELD_OUT = 5  # one in so many
STRENGTH = 10.0  # of the labels, against weights of 0
ITERATIONS = 200


def held_out(names: Iterable[str]) -> NDArray[np.bool_]:
    """Which images are for testing only, bool (N,), by their names alone."""
    digests = (hashlib.sha256(name.encode()).digest() for name in names)
    return np.array([int.from_bytes(digest[:8]) % HELD_OUT == 0 for digest in digests], np.bool_)


@dataclass(frozen=True)
class Accuracy:
    """Right answers among the labelled images that are held out.

    :param yes: images labelled yes, and those of them that the classifier calls so
    :param no: the same of no
    """

    yes: tuple[int, int]
    no: tuple[int, int]

    @property
    def images(self) -> int:
        """Their number."""
        return self.yes[0] + self.no[0]

    @property
    def right(self) -> int:
        """The number that the classifier is right about."""
        return self.yes[1] + self.no[1]


@dataclass(frozen=True)
class Ranking:
    """What a classifier says of all images.

    :param probability: of yes, float (N,)
    :param learned: number of labels that it learned from
    """

    probability: NDArray[np.float64]
    learned: int

    def accuracy(self, labels: NDArray[np.int8], held: NDArray[np.bool_]) -> Accuracy:
        """Compare with the labels of images that are held out.

        :param labels: int8 (N,): 1 yes, 0 no, -1 unknown
        :param held: bool (N,)
        """
        says = self.probability >= 0.5
        yes, no = held & (labels == YES), held & (labels == NO)
        return Accuracy((int(yes.sum()), int(says[yes].sum())), (int(no.sum()), int((~says[no]).sum())))


def learn(features: NDArray[np.float32], labels: NDArray[np.int8], held: NDArray[np.bool_]) -> Ranking | None:
    """Train a logistic regression, and rank all images by it.

    :param features: float32 (N, D)
    :param labels: int8 (N,): 1 yes, 0 no, -1 unknown
    :param held: images that are not trained on, bool (N,)
    :return: None as long as there are not both, yes and no
    """
    known = (labels != UNKNOWN) & ~held
    x, y = features[known], (labels[known] == YES).astype(np.float64)
    if not 0 < y.sum() < len(y):
        return None
    strength = STRENGTH / features.shape[1]

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = parameters[:-1], parameters[-1]
        logits = x @ weights.astype(np.float32) + bias
        value = strength * np.logaddexp(0, np.where(y == 1, -logits, logits)).sum() + weights @ weights / 2
        errors = expit(logits) - y
        gradient = strength * (x.T @ errors.astype(np.float32)) + weights
        return float(value), np.append(gradient, strength * errors.sum())

    first = np.zeros(features.shape[1] + 1)
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return Ranking(expit(features @ found[:-1].astype(np.float32) + found[-1]).astype(np.float64), len(y))


def choose(
    ranking: Ranking | None, candidates: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose the images that are shown next, see the beginning of this file.

    :param ranking: None for all at random
    :param candidates: indices of the images to choose among
    :return: indices, int64 (count,), or as many as there are
    """
    rest = rng.permutation(candidates)
    if ranking is None:
        return rest[:count]
    chosen = []
    probability = ranking.probability
    for share, score in ((PROBABLE, -probability), (UNCERTAIN, np.abs(probability - 0.5))):
        order = rest[np.lexsort((rest, score[rest]))]
        chosen.append(order[: round(share * count)])
        rest = rest[~np.isin(rest, chosen[-1])]
    return np.concatenate([*chosen, rest[: count - sum(map(len, chosen))]])
