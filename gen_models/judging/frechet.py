"""The Frechet distance between two sets of images, in features of a classifier trained here.

Say "Frechet distance in own features", never "FID": that is the same formula in the features of another network, and
its numbers cannot be compared with these. The distance falls with the number of images; compare equal numbers only.

Credits: Heusel et al. 2017 (arXiv 1706.08500, the distance between normal distributions that are fitted to features).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def frechet_distance(first: NDArray[Any], second: NDArray[Any]) -> float:
    """|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)) for means m and covariances C (Heusel et al. eq. 6).

    :param first: features (N, D), N of 2 or more
    :param second: features (M, D)
    :return: 0 or more, in squared units of the features
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    difference = first.mean(axis=0) - second.mean(axis=0)
    c_1, c_2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # C_1 C_2 has the eigenvalues of the symmetric C_1^(1/2) C_2 C_1^(1/2).
    values, vectors = np.linalg.eigh(np.atleast_2d(c_1))
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ np.atleast_2d(c_2) @ root).clip(min=0)).sum()
    distance = float(difference @ difference + np.trace(np.atleast_2d(c_1 + c_2)) - 2 * cross)
    return max(0.0, distance)
