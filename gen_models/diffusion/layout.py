"""Label maps of what no image shows: an animal, and above its back a part that another kind of animal has there.

The animal's outline comes from a sample of the denoiser itself. The part's outline is the upper part, such as a raised
wing, of an image that the denoiser was trained on. It is set onto the back, leaning away from the head. Only the map is
made here: every pixel of the picture is sampled by the denoiser.

Credits: see gen_models/diffusion/label_maps.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.npz import pack_arrays, unpack_arrays
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.label_maps import BACKGROUND, REGIONS, UNKNOWN, maps_of
from gen_models.images.image_set import ImageSet, to_model_space

Mask = NDArray[np.bool_]

FILE = "silhouettes.npz"  # in a run's folder
MOST = 64  # silhouettes of a region
CHUNK = 256  # images looked at together
REACH = 2  # columns that a part may grow to either side from row to row, going down
TOP = 0.15  # share of an animal's pixels that are highest: its head is on their side
OVERLAP = 2  # rows of a part that lie behind the back


def silhouettes_of(images: ImageSet, labels: Tensor, vocabulary: Vocabulary, seed: int) -> dict[str, Mask]:
    """Foregrounds of training images that stand free of the border, for each region that is more than a class.

    :param labels: of the images, int64 (N, C)
    :param seed: of the choice
    :return: by region, bool (M, S, S) with M at most ``MOST``
    """
    order = np.random.default_rng(seed).permutation(len(images))
    found: dict[str, list[Mask]] = {region: [] for region in vocabulary.regions if "+" in region}
    for start in range(0, len(order), CHUNK):
        chosen = order[start : start + CHUNK]
        maps = maps_of(to_model_space(images.images[chosen], "cpu"), labels[torch.from_numpy(chosen)], vocabulary)
        for region, masks in found.items():
            inside = (maps == REGIONS + vocabulary.regions.index(region)).numpy()
            free = inside.any((1, 2)) & ~(inside[:, 0].any(1) | inside[:, :, 0].any(1) | inside[:, :, -1].any(1))
            masks += list(inside[free][: MOST - len(masks)])
        if all(len(masks) == MOST for masks in found.values()):
            break
    size = images.size
    return {region: np.array(masks, np.bool_).reshape(-1, size, size) for region, masks in found.items()}


def pack_silhouettes(silhouettes: dict[str, Mask]) -> bytes:
    """The content of ``silhouettes.npz``."""
    return pack_arrays(dict(silhouettes), compress=True)


def unpack_silhouettes(content: bytes) -> dict[str, Mask]:
    """What ``pack_silhouettes`` packed.

    :raises ValueError: when it is something else
    """
    arrays = unpack_arrays(content, foreign=True)
    for name, array in arrays.items():
        if array.dtype != np.bool_ or array.ndim != 3 or array.shape[1] != array.shape[2]:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, not bool (M, S, S)")
    return arrays


@dataclass(frozen=True)
class Part:
    """What stands above an animal's body.

    :param mask: bool (S, S)
    :param foot: its lowest row, and the middle of it
    :param lean: -1 where its top is left of its foot, 1 where it is right, 0 above it
    """

    mask: Mask
    foot: tuple[int, float]
    lean: int


def raised_part(mask: Mask) -> Part:
    """The part of a silhouette that stands highest, from its top down to the silhouette's centre.

    Going down, it may widen by ``REACH`` columns a row to either side, so that what stands beside it, such as a head,
    is left out.

    :param mask: bool (S, S), not empty
    """
    rows, columns = np.nonzero(mask)
    top, last = int(rows.min()), int(rows.mean())
    first = left = right = int(np.median(columns[rows == top]))
    part = np.zeros_like(mask)
    foot = (top, float(first))
    for row in range(top, last + 1):
        begin = max(0, left - REACH)
        inside = begin + np.flatnonzero(mask[row, begin : right + REACH + 1])
        if not len(inside):
            break
        left, right = int(inside[0]), int(inside[-1])
        part[row, inside] = True
        foot = (row, (left + right) / 2)
    return Part(part, foot, int(np.sign(first - foot[1])))


def on_back(body: Mask, part: Part) -> Mask:
    """The part's mask moved onto the back of an animal, mirrored if need be so that it leans away from the head.

    :param body: the animal, bool (S, S), not empty
    """
    rows, columns = np.nonzero(body)
    centre = columns.mean()
    head = np.sign(columns[rows <= np.quantile(rows, TOP)].mean() - centre)
    mask, (row, column) = part.mask, part.foot
    if part.lean == head:
        mask, column = mask[:, ::-1], body.shape[1] - 1 - column
    back = int(rows[np.abs(columns - centre) <= 1].min())
    ys, xs = np.nonzero(mask)
    ys, xs = ys + back + OVERLAP - row, xs + round(centre - column)
    kept = (ys >= 0) & (ys < len(body)) & (xs >= 0) & (xs < len(body))
    moved = np.zeros_like(body)
    moved[ys[kept], xs[kept]] = True
    return moved


def layout(body: NDArray[np.int64], silhouette: Mask, region: int) -> NDArray[np.int64]:
    """The map of an animal with a part of another.

    :param body: the animal's own map, int64 (S, S)
    :param silhouette: of the image that has the part, bool (S, S)
    :param region: the value of what is set onto the back
    :return: int64 (S, S); all unknown where the animal's own map is
    """
    animal = body >= REGIONS
    if not animal.any():
        return np.full_like(body, UNKNOWN)
    added = on_back(animal, raised_part(silhouette))
    return np.where(animal, body, np.where(added, region, BACKGROUND))
