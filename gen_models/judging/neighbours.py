"""Nearest neighbours by exact search: Euclidean distance between vectors of pixels or of features.

Every pair is subtracted, so that the distance of an image to its copy is 0 and equal pairs have equal distances. The
faster way by scalar products is not exact enough near 0, where memorised images are.

Credits: PyTorch (``cdist``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Progress = Callable[[int, int], None]

BLOCK = 500  # references, and queries, at a time


@dataclass(frozen=True)
class Neighbours:
    """The nearest references of each query, the nearest first.

    :param indices: int64 (Q, count), of the references; at equal distances the lower index comes first
    :param distances: float32 (Q, count), Euclidean
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]

    def take(self, which: NDArray[np.int64]) -> Neighbours:
        """The neighbours of some of the queries, in this order."""
        return Neighbours(self.indices[which], self.distances[which])


def nearest(
    queries: NDArray[Any],
    references: NDArray[Any],
    count: int = 2,
    progress: Progress | None = None,
) -> Neighbours:
    """The nearest references of each query.

    :param queries: (Q, ...), flattened to vectors
    :param references: (R, ...), flattened to vectors of the same length
    :param count: neighbours of each query, 1 to R
    :param progress: called with the number of pairs done and of all pairs
    :raises ValueError: when there are fewer references than neighbours, or the vectors differ in length
    """
    a, b = _flat(queries), _flat(references)
    if not 1 <= count <= len(b):
        raise ValueError(f"{count} neighbours of {len(b)} references")
    if len(a) and a.shape[1] != b.shape[1]:
        raise ValueError(f"vectors of {a.shape[1]} and of {b.shape[1]} numbers")
    indices = np.empty((len(a), count), np.int64)
    distances = np.empty((len(a), count), np.float32)
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        indices[rows], distances[rows] = _nearest(a[rows], b, count)
        if progress is not None:
            progress(min(start + BLOCK, len(a)) * len(b), len(a) * len(b))
    return Neighbours(indices, distances)


def _nearest(a: NDArray[Any], b: NDArray[Any], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    indices = np.empty((len(a), 0), np.int64)
    distances = np.empty((len(a), 0), np.float32)
    for start in range(0, len(b), BLOCK):
        found = pairwise(a, b[start : start + BLOCK])
        distances = np.concatenate([distances, found], axis=1)
        places = np.broadcast_to(np.arange(start, start + found.shape[1]), found.shape)
        indices = np.concatenate([indices, places], axis=1)
        # A stable sort: earlier references have the lower indices.
        best = np.argsort(distances, axis=1, kind="stable")[:, :count]
        indices = np.take_along_axis(indices, best, axis=1)
        distances = np.take_along_axis(distances, best, axis=1)
    return indices, distances


def merged(first: Neighbours, second: Neighbours) -> Neighbours:
    """Merge two searches among the same references, such as of images and of their mirror images.

    :param first: (Q, count); at equal distances its neighbours come first
    :param second: (Q, count)
    :return: (Q, count), no reference twice for a query
    """
    count = first.indices.shape[1]
    indices = np.concatenate([first.indices, second.indices], axis=1)
    distances = np.concatenate([first.distances, second.distances], axis=1)
    for column in range(count, 2 * count):
        twin = first.indices == indices[:, [column]]
        both = np.where(twin, np.minimum(first.distances, distances[:, [column]]), distances[:, :count])
        distances[:, :count] = both
        distances[twin.any(axis=1), column] = np.inf
    best = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return Neighbours(np.take_along_axis(indices, best, axis=1), np.take_along_axis(distances, best, axis=1))


def nearest_either_way(
    queries: NDArray[Any],
    mirrored: NDArray[Any],
    references: NDArray[Any],
    count: int,
    progress: Progress | None = None,
) -> Neighbours:
    """The nearest references of each query or of its mirror image; the other arguments are those of ``nearest``.

    :param mirrored: the queries' mirror images, or their features
    """
    report = progress or (lambda done, total: None)
    as_they_are = nearest(queries, references, count, lambda done, total: report(done, 2 * total))
    as_mirrored = nearest(mirrored, references, count, lambda done, total: report(total + done, 2 * total))
    return merged(as_they_are, as_mirrored)


def pairwise(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    """Euclidean distances, float32 (A, B), between vectors (A, ...) and (B, ...)."""
    first, second = (torch.from_numpy(_flat(array).astype(np.float32)) for array in (a, b))
    return np.asarray(torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").numpy(), np.float32)


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(len(array), int(np.prod(array.shape[1:])))


def pixel_vectors(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images uint8 (N, S, S, 3) as vectors float32 (N, S * S * 3) in [0, 1].

    A distance divided by the square root of S * S * 3 is the root of the mean squared error (RMSE).
    """
    return _flat(images).astype(np.float32) / np.float32(255)
