"""Grids of samples during training: the same noise each time, one row per condition.

Credits: Ho and Salimans 2022 (arXiv 2207.12598, guidance); see gen_models/diffusion/sampling.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.options import Precision
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.sampling import sample
from gen_models.images.grids import grid, tiles_of
from gen_models.request import SampleRequest

COLUMNS = 8
STEPS = 25
GUIDANCE = 2.0


def preview_rows(vocabulary: Vocabulary) -> dict[str, str]:
    """The weights of each row, as for --weights, by its label: unconditional, each class, each attribute."""
    words = (*vocabulary.classes, *vocabulary.attributes)
    return {"nothing": "", **{word: f"{word}={GUIDANCE:g}" for word in words}}


def preview(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    noise: Noise,
    seed: int,
    precision: Precision,
    stop_at: float | None = None,
) -> Image.Image:
    """Eight samples of each of ``preview_rows``.

    :param denoiser: with the weights to sample with
    :param seed: of the samples
    :param precision: ``float32`` or ``bfloat16``
    :param stop_at: see ``SampleRequest``
    """
    device = next(denoiser.parameters()).device
    images, labels = [], []
    for name, weights in preview_rows(vocabulary).items():
        request = SampleRequest(
            weights,
            steps=STEPS,
            stop_at=stop_at,
            seed=seed,
            precision="bfloat16" if precision == "bfloat16" else "float32",
        )
        images.append(sample(denoiser, vocabulary, noise, request, range(COLUMNS), COLUMNS, device))
        labels += [name] * COLUMNS
    return grid(np.concatenate(images), COLUMNS, scale(denoiser.settings.size), labels=labels)


def scale(size: int) -> int:
    """The factor by which images of this size are enlarged in the grid."""
    return max(1, 64 // size)


def samples_of(picture: Image.Image, vocabulary: Vocabulary, size: int) -> NDArray[np.uint8]:
    """Cut the samples out of a grid made by ``preview``, uint8 (rows, COLUMNS, S, S, 3).

    :param size: side of an image in pixels
    :raises ValueError: for any other picture
    """
    side = size * scale(size)
    tiles = tiles_of(picture, COLUMNS, side, labelled=True)[:, :: scale(size), :: scale(size)]
    return tiles.reshape(len(preview_rows(vocabulary)), COLUMNS, size, size, 3)
