"""Metrics of a set of images: one small function per metric, and the list of all metrics.

"Own features" and probabilities are those of ``gen_models.classifiers.own_features``. Their numbers cannot be compared
with numbers in the features of another network. Compare each number with the same one of equally many real images:
Vendi score, recall, coverage and distances within the set depend on the number of images.

Credits: Heusel et al. 2017 (arXiv 1706.08500, Frechet distance); Binkowski et al. 2018 (arXiv 1801.01401, kernel
distance); Kynkaanniemi et al. 2019 (arXiv 1904.06991, precision and recall); Naeem et al. 2020 (arXiv 2002.09797,
density and coverage); Friedman and Dieng 2022 (arXiv 2210.02410, Vendi score). Libraries: torchmetrics for the
polynomial kernel, SciPy for the entropy; tests compare with prdc and vendi-score, of the papers' authors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr
from torchmetrics.image.kid import poly_kernel

from gen_models.images.image_set import resized
from gen_models.judging.frechet import frechet_distance
from gen_models.judging.measured import Measured, first_to_second, memorised
from gen_models.judging.neighbours import pairwise, pixel_vectors

Direction = Literal["higher", "lower", "near 1", "near real"]

NEAR_DUPLICATE = 0.08  # RMSE at 32 x 32
COMPARED_SIZE = 32  # side in pixels at which images of a set are compared with each other
NEIGHBOURS = 5  # radius of precision, recall, density and coverage, in neighbours
FRECHET_LEAST = 500  # with fewer images, the distance depends mostly on their number


@dataclass(frozen=True)
class Metric:
    """A metric of a set of images.

    :param name: with the space that it is measured in
    :param direction: which values are better
    :param unit: of the value
    :param least: number of images that it needs
    :param value: computes it
    """

    name: str
    direction: Direction
    unit: str
    least: int
    value: Callable[[Measured], float]

    def of(self, measured: Measured) -> float | None:
        """The value; None where there are too few images."""
        return float(self.value(measured)) if len(measured) >= self.least else None


@dataclass(frozen=True)
class Reference:
    """Real images that other sets are compared with.

    :param features: own features of the reference images of each class, float32 (N, D)
    :param sharpness: of all reference images, (N,)
    :param outputs: names of the classifier's outputs
    """

    features: dict[str, NDArray[np.float32]]
    sharpness: NDArray[np.float32]
    outputs: tuple[str, ...]

    @property
    def union(self) -> NDArray[np.float32]:
        """Own features of the reference images of all classes."""
        return np.concatenate(list(self.features.values()))


def all_metrics(reference: Reference) -> list[Metric]:
    """The metrics, in the order of the table."""
    union = reference.union
    against = dict(reference.features)
    if len(against) > 1:
        against[" and ".join(against)] = union
    metrics: list[Metric] = []
    for name, features in against.items():
        value = partial(_kernel_distance_to, features)
        metrics.append(Metric(f"kernel distance to {name}, own features", "lower", "squared", 2, value))
    for name, features in against.items():
        if len(features) > 1:
            least = FRECHET_LEAST
            value = partial(_frechet_distance_to, features)
            metrics.append(Metric(f"Frechet distance to {name}, own features", "lower", "squared", least, value))
    if len(union) >= NEIGHBOURS + 2:
        for name, direction in _PRDC.items():
            value = partial(_prdc, union, name)
            metrics.append(Metric(f"{name}, own features", direction, "share", NEIGHBOURS + 2, value))
    metrics += [
        Metric("Vendi score, own features", "higher", "images", 2, partial(_vendi_of_features, union.mean(axis=0))),
        Metric("Vendi score, pixels", "higher", "images", 2, lambda m: vendi_score(centred_pixels(m.images))),
        Metric("nearest other image, median", "higher", "RMSE", 2, lambda m: float(np.median(nearest_other(m.images)))),
        Metric("near-duplicate pairs", "lower", "pairs", 2, lambda m: near_duplicates(m.images)),
        Metric("nearest training image, pixels, median", "near real", "RMSE", 1, _median_pixel_distance),
        Metric("nearest training image, own features, median", "near real", "distance", 1, _median_feature_distance),
        Metric("first to second neighbour, pixels, least", "higher", "ratio", 1, _least_pixel_ratio),
        Metric("first to second neighbour, own features, least", "higher", "ratio", 1, _least_feature_ratio),
        Metric("memorised (a ratio below 1/3)", "lower", "images", 1, lambda m: float(memorised(m).sum())),
        Metric("sharpness, median", "near 1", "x real", 1, partial(_sharpness, float(np.median(reference.sharpness)))),
        Metric("whiteness of the foreground, mean", "higher", "share", 1, lambda m: float(m.whiteness.mean())),
    ]
    for index, name in enumerate(reference.outputs):
        value = partial(_mean_probability, index)
        metrics.append(Metric(f"probability of {name}, mean", "near real", "probability", 1, value))
    return metrics


def kernel_distance(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The squared maximum mean discrepancy with the kernel (x . y / D + 1)^3, without bias (Binkowski et al., eq. 4).

    :param first: features (N, D), N of 2 or more
    :param second: features (M, D), M of 2 or more
    :return: around 0, also below 0, for two sets from the same distribution
    """
    x, y = (torch.from_numpy(array.astype(np.float64)) for array in (first, second))
    within = [_mean_off_diagonal(poly_kernel(one, one)) for one in (x, y)]
    return float(sum(within) - 2 * poly_kernel(x, y).mean())


def _mean_off_diagonal(kernel: torch.Tensor) -> torch.Tensor:
    count = len(kernel)
    return (kernel.sum() - kernel.trace()) / (count * (count - 1))


def precision_recall(real: NDArray[Any], generated: NDArray[Any], neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al.), density and coverage (Naeem et al.).

    Precision: the share of generated images within the radius of a real one, the distance of its k-th neighbour.
    Recall: the same with the sets exchanged. Density: how many such radii a generated image lies in, over k; 1 or more
    is good. Coverage: the share of real images with a generated one within their radius. Within is a strict
    inequality, as in the library prdc: copies of one image have the radius 0.

    :param real: features (N, D), N of k + 1 or more
    :param generated: features (M, D), M of k + 1 or more
    :param neighbours: k
    """
    between = pairwise(real, generated)
    within = between < _radii(real, neighbours)[:, None]
    return {
        "precision": float(within.any(axis=0).mean()),
        "recall": float((between < _radii(generated, neighbours)).any(axis=1).mean()),
        "density": float(within.sum(axis=0).mean() / neighbours),
        "coverage": float(within.any(axis=1).mean()),
    }


def _radii(features: NDArray[Any], neighbours: int) -> NDArray[np.float32]:
    """The distance of each image to its k-th neighbour, not counting the image itself."""
    return np.partition(pairwise(features, features), neighbours, axis=1)[:, neighbours]


def vendi_score(vectors: NDArray[Any]) -> float:
    """The effective number of different images: exp of the entropy of the eigenvalues of their cosines over N.

    That is Friedman and Dieng's equation 1 with the cosine as kernel.

    :param vectors: (N, D); one of length 0 is orthogonal to all others and adds nothing
    :return: 1 for copies of one image, N for orthogonal vectors
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0)
    eigenvalues = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    return float(np.exp(entr(eigenvalues.clip(min=0)).sum()))  # rounding leaves some below 0


def centred_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images at 32 x 32 as vectors float32 (N, 3072), each minus its mean, so that brightness does not count."""
    vectors = pixel_vectors(resized(images, COMPARED_SIZE))
    return np.asarray(vectors - vectors.mean(axis=1, keepdims=True), np.float32)


def nearest_other(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The RMSE of each image to the nearest other image of the set, at 32 x 32, float32 (N,)."""
    distances = _rmse_of_pairs(images)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.min(axis=1), np.float32)


def near_duplicates(images: NDArray[np.uint8]) -> int:
    """The number of pairs of images with an RMSE below 0.08 at 32 x 32."""
    distances = _rmse_of_pairs(images)
    return int((distances[np.triu_indices(len(images), k=1)] < NEAR_DUPLICATE).sum())


def _rmse_of_pairs(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    vectors = pixel_vectors(resized(images, COMPARED_SIZE))
    return np.asarray(pairwise(vectors, vectors) / np.float32(np.sqrt(vectors.shape[1])), np.float32)


_PRDC: dict[str, Direction] = {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"}


def _kernel_distance_to(features: NDArray[np.float32], measured: Measured) -> float:
    return kernel_distance(measured.features, features)


def _frechet_distance_to(features: NDArray[np.float32], measured: Measured) -> float:
    return frechet_distance(measured.features, features)


def _prdc(real: NDArray[np.float32], name: str, measured: Measured) -> float:
    return precision_recall(real, measured.features)[name]


def _vendi_of_features(centre: NDArray[np.float32], measured: Measured) -> float:
    return vendi_score(measured.features - centre)


def _median_pixel_distance(measured: Measured) -> float:
    return float(np.median(measured.pixel_neighbours.distances[:, 0]))


def _median_feature_distance(measured: Measured) -> float:
    return float(np.median(measured.feature_neighbours.distances[:, 0]))


def _least_pixel_ratio(measured: Measured) -> float:
    return float(first_to_second(measured.pixel_neighbours).min())


def _least_feature_ratio(measured: Measured) -> float:
    return float(first_to_second(measured.feature_neighbours).min())


def _sharpness(real: float, measured: Measured) -> float:
    return float(np.median(measured.sharpness)) / max(real, 1e-9)


def _mean_probability(index: int, measured: Measured) -> float:
    return float(measured.probabilities[:, index].mean())
