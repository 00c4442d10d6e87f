"""Label maps of what no image shows: an animal, and above its back a part that another kind of animal has there.

The animal's outline comes from a sample of the denoiser itself. The part's outline is the upper part, such as a raised
wing, of an image that the denoiser was trained on. It stands to the animal's body as to its own, behind it, and leans
away from the head. Only the map is made here: every pixel of the picture is sampled by the denoiser.

Credits: see gen_models/diffusion/label_maps.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
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
WIDER, NARROWER = 3, 1  # columns by which a part may grow from row to row, going down
ASIDE, GAP = 3, 1  # pixels
TOP = 0.15  # share of an animal's pixels that are highest: its head is on their side


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
    :param centre: row and column of the body that it belongs to
    :param lean: -1 where its top is left of the body's centre, 1 where it is right, 0 above it
    """

    mask: Mask
    centre: tuple[int, float]
    lean: int


def raised_part(mask: Mask) -> Part:
    """The part of a silhouette that stands highest, from its top down to the middle of its lower half, the body.

    Going down, it may widen by a few columns a row: by more on the side to which it leans, and by fewer on the other,
    so that what stands there, such as a head, is left out.

    :param mask: bool (S, S), not empty
    """
    rows, columns = np.nonzero(mask)
    top, last = int(rows.min()), round(rows[rows >= rows.mean()].mean())
    first, centre = int(np.median(columns[rows == top])), float(columns.mean())
    before, behind = (WIDER, NARROWER) if first < centre else (NARROWER, WIDER)
    left, right = first - WIDER, first + WIDER  # a top of several tips, such as feathers, is one
    part = np.zeros_like(mask)
    for row in range(top, last + 1):
        begin = max(0, left - before)
        inside = begin + np.flatnonzero(mask[row, begin : right + behind + 1])
        if not len(inside):
            break
        left, right = int(inside[0]), int(inside[-1])
        part[row, inside] = True
    return Part(part, (last, centre), int(np.sign(first - centre)))


def on_body(body: Mask, part: Part) -> Mask:
    """The part's mask moved so that it stands to this body as to its own, and mirrored if it leans towards the head.

    It ends ``ASIDE`` columns from the body's middle on the side of the head, and ``GAP`` pixels from what is above the
    back, so that the head stands free.

    :param body: the animal, bool (S, S), not empty
    """
    rows, columns = np.nonzero(body)
    centre = columns.mean()
    head = np.sign(columns[rows <= np.quantile(rows, TOP)].mean() - centre)
    mask, (row, column) = part.mask, part.centre
    if part.lean == head:
        mask, column = mask[:, ::-1], body.shape[1] - 1 - column
    ys, xs = np.nonzero(mask)
    ys, xs = ys + round(rows.mean()) - row, xs + round(centre - column)
    kept = (ys >= 0) & (ys < len(body)) & (xs >= 0) & (xs < len(body))
    kept &= head * (xs - centre) < ASIDE
    moved = np.zeros_like(body)
    moved[ys[kept], xs[kept]] = True
    away = np.abs(columns - centre)  # an animal in pieces may have nothing at its middle
    back = int(rows[away <= max(1, away.min())].min())
    neck = body.copy()
    neck[back - 1 :] = False
    beside = cv2.dilate(neck.astype(np.uint8), np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)) > 0
    return np.asarray(moved & ~beside)


def layout(body: NDArray[np.int64], silhouette: Mask, region: int) -> NDArray[np.int64]:
    """The map of an animal with a part of another, which shows where the animal itself is not.

    :param body: the animal's own map, int64 (S, S)
    :param silhouette: of the image that has the part, bool (S, S)
    :param region: the value of what is set onto the back
    :return: int64 (S, S); all unknown where the animal's own map is
    """
    animal = body >= REGIONS
    if not animal.any():
        return np.full_like(body, UNKNOWN)
    added = on_body(animal, raised_part(silhouette))
    return np.where(animal, body, np.where(added, region, BACKGROUND))
