"""Oversampling: images of rare labels come several times in each epoch.

``spread=8,horse+white=3`` reads: in each epoch, images with spread wings come 8 times, white horses 3 times, all others
once. An image that is named twice comes as often as the larger number says.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import UserError
from gen_models.diffusion.conditions import NULL, Vocabulary
from gen_models.images.image_set import ImageSet

EXAMPLE = "write it as in spread=8,horse+white=3"
MOST_TIMES = 1_000


def parse_oversample(text: str) -> dict[str, int]:
    """The number of times by condition.

    :raises UserError: for what is not a condition with a whole number from 1
    """
    times = {}
    for part in text.split(",") if text.strip() else []:
        name, _, number = (piece.strip() for piece in part.partition("="))
        if not name or not number.isascii() or not number.isdigit() or not 1 <= int(number) <= MOST_TIMES:
            raise UserError(
                f"--oversample {text}: '{part.strip()}' is not a label with a whole number from 1 to {MOST_TIMES};"
                f" {EXAMPLE}"
            )
        if name in times:
            raise UserError(f"--oversample {text}: '{name}' is there twice; keep one of them")
        times[name] = int(number)
    return times


def has(images: ImageSet, condition: str) -> NDArray[np.bool_]:
    """Which images have all labels that a condition names, bool (N,).

    :param condition: words for classes, attributes and sources joined by ``+``
    :raises UserError: for an unknown word, with the nearest known one
    """
    sources = images.source_names if len(images.source_names) > 1 else ()
    vocabulary = Vocabulary(images.class_names, tuple(images.attributes), sources)
    attributes = {name: torch.from_numpy(values) for name, values in images.attributes.items()}
    labels = vocabulary.labels(torch.from_numpy(images.classes), attributes, torch.from_numpy(images.sources))
    wanted = torch.tensor(vocabulary.parse(condition).values)
    return np.asarray(((labels == wanted) | (wanted == NULL)).all(dim=1).numpy(), np.bool_)


def times_of(text: str, images: ImageSet) -> NDArray[np.int64]:
    """How often each image comes in an epoch, int64 (N,).

    :param text: as in ``parse_oversample``
    :raises UserError: for an unknown label, and for one that no image has
    """
    times = np.ones(len(images), np.int64)
    for condition, number in parse_oversample(text).items():
        try:
            which = has(images, condition)
        except UserError as error:
            raise UserError(f"--oversample {text}: {error}") from error
        if not which.any():
            raise UserError(f"--oversample {text}: no image is '{condition}'; leave it out, or label some by hand")
        times[which] = np.maximum(times[which], number)
    return times


def shares(text: str, times: NDArray[np.int64], images: ImageSet) -> list[str]:
    """A line for each oversampled label: its images, and their share of an epoch before and after.

    :param times: what ``times_of`` gives
    """
    lines = []
    for condition, number in parse_oversample(text).items():
        which = has(images, condition)
        share = times[which].sum() / times.sum()
        lines.append(
            f"oversampled: {condition}, {which.sum():,} images, {number} times each:"
            f" {100 * share:.1f} % of an epoch instead of {100 * which.mean():.1f} %"
        )
    return lines
