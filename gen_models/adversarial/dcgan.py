"""The networks of a DCGAN: a generator from latents to images, and a discriminator of real and generated ones.

The generator has transposed convolutions to 256, 128, 64, 64 and 3 channels, as in a homework of 2020; its first one
makes a map from the latent, the next ones double the side. Doubled four times as the homework lists them, 4 pixels
become 64. For images of 32 pixels, which the homework trained on, the second convolution to 64 channels keeps the side.

Conditional networks get shares of the classes, (B, K + 1) with rows that sum to 1, the null first: a class has the
share 1 in training, and several may share an image when it is sampled.

Credits: Goodfellow et al. 2014 (arXiv 1406.2661, adversarial training); Radford et al. 2016 (arXiv 1511.06434, DCGAN:
its layers and first weights); PyTorch's DCGAN tutorial by N. Inkawhich, which the homework reduced by a layer; Mirza
and Osindero 2014 (arXiv 1411.1784, a generator that is given the class); Miyato and Koyama 2018 (arXiv 1802.05637, the
projection in the discriminator).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from common.errors import UserError

SIZES = (16, 32, 48, 64, 96)
WIDTHS = (256, 128, 64, 64)  # channels of the generator from the latent on; the discriminator's, backwards
LARGE = 64  # pixels from which on the second map of 64 channels has twice the side of the first
EMBEDDING = 16  # numbers that stand for a class beside the latent
SLOPE = 0.2  # of leaky ReLU below 0
STD = 0.02  # of the first weights


@dataclass(frozen=True)
class DCGANSettings:
    """The shape of both networks.

    :param size: pixels a side: 16, 32, 48, 64 or 96
    :param latent: numbers of a latent
    :param conditional: whether both networks know the class
    """

    size: int = 32
    latent: int = 100
    conditional: bool = False

    @property
    def first(self) -> int:
        """Side of the first map: 4 for 32 and 64 pixels."""
        return self.size // (16 if self.size >= LARGE else 8)

    def check(self) -> None:
        """:raises UserError: for a size that the layers do not lead to"""
        if self.size not in SIZES:
            raise UserError(f"--size {self.size}: a DCGAN makes images of {', '.join(map(str, SIZES))} pixels")
        if self.latent < 1:
            raise UserError(f"a latent needs at least 1 number, not {self.latent}")


class Generator(nn.Module):
    """Makes images from latents.

    :param classes: number of classes, without the null
    """

    def __init__(self, settings: DCGANSettings, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.classes = classes
        self.embedding = nn.Linear(classes + 1, EMBEDDING, bias=False) if settings.conditional else None
        width = settings.latent + (EMBEDDING if settings.conditional else 0)
        first, second, third, fourth = WIDTHS
        self.layers = nn.Sequential(
            *_up(width, first, settings.first, stride=1, padding=0),
            *_up(first, second),
            *_up(second, third),
            *(_up(third, fourth) if settings.size >= LARGE else _up(third, fourth, 3, stride=1)),
            nn.ConvTranspose2d(fourth, 3, 4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        )
        self.apply(_initialise)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight)  # as large as a latent

    def forward(self, latents: Tensor, shares: Tensor | None = None) -> Tensor:
        """The images, float32 (B, 3, S, S), -1 to 1.

        :param latents: float32 (B, Z), from N(0, I)
        :param shares: of the classes, float32 (B, K + 1), the null first; ignored unless conditional
        """
        if self.embedding is not None:
            assert shares is not None
            latents = torch.cat([latents, self.embedding(shares)], dim=1)
        images: Tensor = self.layers(latents[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Tells real images from generated ones: the generator's layers backwards, with leaky ReLU.

    :param classes: number of classes, without the null
    """

    def __init__(self, settings: DCGANSettings, classes: int) -> None:
        super().__init__()
        fourth, third, second, first = WIDTHS
        widths = [second, third, fourth] if settings.size < LARGE else [first, second, third, fourth]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.decide = nn.Conv2d(widths[-1], 1, settings.first, bias=False)
        self.projection = nn.Linear(classes + 1, widths[-1], bias=False) if settings.conditional else None
        self.apply(_initialise)

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        """The logit that an image is real, float32 (B,).

        :param x: images, float32 (B, 3, S, S), -1 to 1
        :param shares: see ``Generator``
        """
        features: Tensor = self.layers(x)
        logits: Tensor = self.decide(features).flatten()
        if self.projection is not None:
            assert shares is not None
            logits = logits + (self.projection(shares) * features.mean(dim=(2, 3))).sum(dim=1)
        return logits


def _up(before: int, after: int, kernel: int = 4, stride: int = 2, padding: int = 1) -> list[nn.Module]:
    """A layer of the generator; by default one that doubles the side."""
    convolution = nn.ConvTranspose2d(before, after, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


def _initialise(module: nn.Module) -> None:
    """Radford et al., section 4: weights from N(0, 0.02); those of batch norm, as in the tutorial, from N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, STD)
        nn.init.zeros_(cast(Tensor, module.bias))
