"""Interpolation between two sampled images: spherical, of their DDIM latents and of their conditions.

DDIM without noise in its steps (eta 0) is a function of the latent and the conditions. The images in between are
sampled from interpolated latents and conditions; they are not blends of pixels. The figure has such a blend below one
of its rows, for comparison.

Latents are samples of N(0, I), all of nearly the same length. A straight line between two of them passes through points
much shorter than any sample, unlike those that the model was trained on. The arc between them does not.

Credits: Shoemake 1985 (doi 10.1145/325165.325242, slerp); Song et al. 2021 (arXiv 2010.02502, DDIM: section 5.3 and
appendix D.5 for slerp of latents).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from common.errors import UserError
from gen_models.diffusion.conditions import Condition, Vocabulary
from gen_models.diffusion.guidance import parse_weights
from gen_models.diffusion.sampling import embed_conditions, image_generator, sample, start_noise
from gen_models.images.grids import FULL_WIDTH, captioned, grid, letters, stacked, text
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler

PAIRS = tuple((2 * k, 2 * k + 1) for k in range(8))  # numbers of the images at the ends of the figure's rows
FRAMES = 10  # images from one end to the other, both ends included
PARALLEL = 1e-6  # sine of the angle between vectors below which the arc is a straight line
TILE = 96  # pixels


@dataclass(frozen=True)
class Row:
    """Images from one end to the other.

    :param images: uint8 (F, S, S, 3)
    :param indices: the numbers of the images at both ends
    :param weights: conditions and weights at both ends, as in --weights
    """

    images: NDArray[np.uint8]
    indices: tuple[int, int]
    weights: tuple[str, str]

    @property
    def words(self) -> str:
        """A label: the conditions and the images at the ends."""
        first, last = self.weights
        conditions = f"{first or 'unconditional'}" if first == last else f"{first} to {last}"
        return f"{conditions}; images {self.indices[0]} and {self.indices[1]}"


def slerp(first: Tensor, last: Tensor, share: float) -> Tensor:
    """The point of the arc from one vector to another, Shoemake 1985: sin((1-t) W)/sin W a + sin(t W)/sin W b.

    W is the angle between them; the formula is also used for vectors of different lengths. Parallel vectors are
    interpolated in a straight line, and so are opposite ones, which have no shortest arc.

    :param first: a, float, any shape, taken as one vector
    :param last: b, of the same shape
    :param share: t, 0 for the first, which is then returned as it is, to 1 for the last
    """
    if share in (0, 1):
        return last if share else first
    a, b = first.double(), last.double()
    cosine = float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12))
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if math.sin(angle) < PARALLEL:
        return ((1 - share) * a + share * b).to(first.dtype)
    turned: Tensor = (math.sin((1 - share) * angle) * a + math.sin(share * angle) * b) / math.sin(angle)
    return turned.to(first.dtype)


def blend(first: NDArray[np.uint8], last: NDArray[np.uint8], frames: int) -> NDArray[np.uint8]:
    """Fade one picture into another, pixel by pixel, for comparison with an interpolation.

    :param first: uint8 (S, S, 3)
    :return: uint8 (frames, S, S, 3), both ends included
    """
    shares = np.linspace(0, 1, frames)[:, None, None, None]
    return np.rint((1 - shares) * first + shares * last).astype(np.uint8)


def interpolate(
    sampler: RunSampler,
    request: SampleRequest,
    pairs: Sequence[tuple[int, int]],
    to: Sequence[str],
    frames: int = FRAMES,
    progress: Callable[[int], None] | None = None,
) -> list[Row]:
    """Sample the images between pairs of images.

    The ends are, bit for bit, the images ``pair[0]`` of the request and ``pair[1]`` of the same request with other
    conditions, as ``sample`` gives them with the same batch size.

    :param request: of the first images, with DDIM and eta 0
    :param pairs: numbers of the images at both ends, of each row
    :param to: conditions at each row's other end, as in --weights: as many, with the same weights
    :param frames: images in a row, both ends included, at least 2
    :param progress: see ``sample``
    :raises UserError: for invalid conditions, and for two ends that differ in more than their conditions
    """
    if request.sampler != "ddim" or request.eta:
        raise ValueError("the images between two need a sampler without noise: ddim with eta 0")
    size, shares = sampler.denoiser.settings.size, np.linspace(0, 1, frames).tolist()
    latents: list[Tensor] = []
    embeddings: list[Tensor] = []  # of each image (P, E)
    for pair, other in zip(pairs, to, strict=True):
        first, last = (start_noise(image_generator(request.seed, index), size) for index in pair)
        latents += [slerp(first, last, share) for share in shares]
        conditions = ends(request.weights, other, sampler.vocabulary)
        arcs = [embed_conditions(sampler.denoiser, arc) for arc in zip(*conditions, strict=True)]
        embeddings += [torch.stack([slerp(arc[0], arc[1], share) for arc in arcs]) for share in shares if arcs]
    origin = sampler.origin
    images = sample(
        sampler.denoiser,
        sampler.vocabulary,
        sampler.noise,
        request,
        range(len(latents)),
        origin.batch_size,
        origin.device,
        progress,
        torch.stack(latents),
        torch.stack(embeddings, dim=1) if embeddings else None,
    )
    rows = images.reshape(len(pairs), frames, *images.shape[1:])
    return [Row(row, pair, (request.weights, other)) for row, pair, other in zip(rows, pairs, to, strict=True)]


def ends(weights: str, to: str, vocabulary: Vocabulary) -> tuple[Sequence[Condition], Sequence[Condition]]:
    """The conditions at both ends, paired by position.

    :raises UserError: when the weights differ, since only conditions are interpolated
    """
    first, strengths = parse_weights(weights, vocabulary)
    last, others = parse_weights(to, vocabulary)
    if strengths != others:
        raise UserError(
            f"--to {to or 'nothing'}: an interpolation from {weights or 'nothing'} needs as many conditions "
            "with the same weights in the same order"
        )
    return first, last


def next_class(weights: str, vocabulary: Vocabulary) -> str:
    """The same conditions with each class replaced by the next one; attributes stay."""
    classes = [name.lower() for name in vocabulary.classes]

    def replaced(word: str) -> str:
        known = word.strip().lower()
        return vocabulary.classes[(classes.index(known) + 1) % len(classes)] if known in classes else word

    parts = [part.partition("=") for part in weights.split(",")] if weights else []
    return ",".join("+".join(map(replaced, name.split("+"))) + equals + number for name, equals, number in parts)


def interpolations_figure(rows: Sequence[Row], caption: str) -> Image.Image:
    """The rows below each other, each under its label; below the first one its blend of pixels."""
    scale = max(1, TILE // rows[0].images.shape[1])
    strips = [grid(row.images, len(row.images), scale) for row in rows]
    width = strips[0].width
    size = letters(width, FULL_WIDTH)
    faded = blend(rows[0].images[0], rows[0].images[-1], len(rows[0].images))
    blended = "not an interpolation: the two end images of the row above, their pixels blended"
    parts: list[Image.Image] = []
    for k, (row, strip) in enumerate(zip(rows, strips, strict=True)):
        parts += [text(row.words, width, size), strip]
        if k == 0:
            parts += [text(blended, width, size), grid(faded, len(faded), scale)]
    blocks = [stacked(parts[k : k + 2], 0) for k in range(0, len(parts), 2)]
    return captioned(stacked(blocks, size // 2), caption, FULL_WIDTH)
