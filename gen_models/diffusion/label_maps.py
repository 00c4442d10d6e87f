"""Label maps: what each pixel of an image shows, as a condition of the denoiser beside the labels of the whole image.

A map is int64 (S, S): 0 where it is unknown, 1 for the background, k + 2 for region k of the vocabulary, such as
horse, bird or bird+spread. In training the maps come from the images themselves: the foreground has the region of the
image's labels. Many are hidden, as a whole or in part, so that a map may say as much or as little as one likes. When
sampling, a map may put regions side by side that no image shows together.

Credits: Park et al. 2019 (arXiv 1903.07291, images from label maps) and Zhang et al. 2023 (arXiv 2302.05543, conditions
of each pixel for a denoiser); Bradley et al. 2025 (arXiv 2502.04549, conditions compose where each acts on pixels of
its own).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from gen_models.diffusion.conditions import NULL, Vocabulary
from gen_models.images.foreground import foreground

UNKNOWN, BACKGROUND, REGIONS = 0, 1, 2  # values of a map; region k is REGIONS + k

HIDDEN = 0.4  # share of the maps that are hidden as a whole
HALF_HIDDEN = 0.2  # share of the maps of which one side of a line is hidden
UNLABELED = 0.5  # share of the images with a map that have no labels, so that the map alone says what they are


def planes_of(vocabulary: Vocabulary) -> int:
    """The number of channels that ``planes`` gives; 0 for a vocabulary without regions."""
    return 1 + len(vocabulary.regions) if vocabulary.regions else 0


def planes(maps: Tensor, count: int) -> Tensor:
    """A channel for the background and one for each region, 1 where it is and 0 elsewhere; all 0 where it is unknown.

    :param maps: int64 (B, S, S)
    :param count: of channels, see ``planes_of``
    :return: float32 (B, count, S, S)
    """
    return functional.one_hot(maps, count + 1)[..., 1:].permute(0, 3, 1, 2).float()


def maps_of(x: Tensor, labels: Tensor, vocabulary: Vocabulary) -> Tensor:
    """The maps of images, all unknown where the foreground is not clear or no region has the image's labels.

    :param x: float (B, 3, S, S), -1 to 1
    :param labels: int64 (B, C), see ``gen_models.diffusion.conditions``
    :return: int64 (B, S, S)
    """
    inside, clear = foreground(x)
    region = torch.full((len(x),), UNKNOWN, device=x.device)
    for number, text in enumerate(vocabulary.regions, start=REGIONS):
        values = torch.tensor(vocabulary.parse(text).values, device=x.device)
        said = values != NULL
        # A later region says more than an earlier one, as bird+spread does.
        region = torch.where((labels[:, said] == values[said]).all(1), number, region)
    maps = torch.where(inside, region[:, None, None], BACKGROUND)
    return torch.where((clear & (region != UNKNOWN))[:, None, None], maps, UNKNOWN)


def hide(maps: Tensor, labels: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    """Hide maps at random, and labels of images whose map is not hidden.

    :param maps: int64 (B, S, S)
    :param labels: int64 (B, C)
    :param chances: float32 (B, 4), uniform from 0 to 1
    :return: maps and labels
    """
    hidden, angle, offset, unlabeled = chances.unbind(1)
    side = maps.shape[-1]
    places = torch.arange(side, device=maps.device) - (side - 1) / 2
    turn = (2 * math.pi * angle)[:, None, None]
    line = places[:, None] * turn.sin() + places * turn.cos() > ((offset - 0.5) * side / 2)[:, None, None]
    away = (hidden < HIDDEN)[:, None, None] | ((hidden < HIDDEN + HALF_HIDDEN)[:, None, None] & line)
    maps = torch.where(away, UNKNOWN, maps)
    bare = (unlabeled < UNLABELED) & (maps != UNKNOWN).any(2).any(1)
    return maps, torch.where(bare[:, None], NULL, labels)
