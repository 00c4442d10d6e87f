"""The network that colours pictures: low-level, global and mid-level features, their fusion, and the chroma.

Widths are multiples of the first layer's, w; the paper's is 64. Each convolution is 3x3; ``/2`` is a stride of 2:

    low-level   w/2, 2w, 2w/2, 4w, 4w/2, 8w                    any size, shared by the next two
    global      8w/2, 8w, 8w/2, 8w, linear 16w, 8w, 4w         one size; the second linear layer's output is classified
    mid-level   8w, 4w
    fusion      4w                                             see ``Fusion``
    chroma      2w, twice as large, w, w, twice as large, w/2, 2 with a sigmoid, twice as large

Credits: Iizuka, Simo-Serra, Ishikawa 2016, *Let there be Color!* (ACM Transactions on Graphics 35(4), table 1 and
section 3); Ioffe and Szegedy 2015 (arXiv 1502.03167, batch norm).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError

LOW = 8  # pixels a side that a place of the low-level features stands for
GLOBAL = 32  # ... that a place before the linear layers stands for


@dataclass(frozen=True)
class ColouriserSettings:
    """The shape of the network.

    :param size: side in pixels of the pictures that the global features see
    :param width: channels of the first layer
    :param global_features: whether there are any; without them the fusion sees mid-level features alone
    """

    size: int = 224
    width: int = 64
    global_features: bool = True

    def check(self) -> None:
        """:raises UserError: for a number that the layers cannot have"""
        if self.size < GLOBAL or self.size % GLOBAL:
            raise UserError(
                f"--size {self.size}: a multiple of {GLOBAL}, the global features halve the side five times"
            )
        if self.width < 2 or self.width % 2:
            raise UserError(f"--width {self.width}: an even number from 2")


class Fusion(nn.Module):
    """Joins what is known of the whole picture with what is known of each place (the paper's equation of section 3.3):

        y(u, v) = relu(b + W [global; mid(u, v)])

    W is one matrix for all places, so that pictures may have any size.

    :param features: numbers of the global features, 0 where there are none
    :param channels: of the mid-level features, and of the output
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.features = features
        layer = nn.Linear(features + channels, channels)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, vector: Tensor | None, mid: Tensor) -> Tensor:
        """Float (B, C, H, W).

        :param vector: global features, float (B, G), or (1, G) for all of them; None where there are none
        :param mid: mid-level features, float (B, C, H, W)
        """
        here = F.conv2d(mid, self.weight[:, self.features :, None, None], self.bias)
        if vector is not None:
            here = here + (vector @ self.weight[:, : self.features].T)[:, :, None, None]
        return F.relu(here)


class Colouriser(nn.Module):
    """Gives pictures their chroma.

    :param classes: number of classes that the pictures of the training are of
    """

    def __init__(self, settings: ColouriserSettings, classes: int) -> None:
        super().__init__()
        self.settings = settings
        w, classes = settings.width, max(1, classes)
        self.low = nn.Sequential(
            *_convolution(1, w, 2), *_convolution(w, 2 * w), *_convolution(2 * w, 2 * w, 2),
            *_convolution(2 * w, 4 * w), *_convolution(4 * w, 4 * w, 2), *_convolution(4 * w, 8 * w),
        )  # fmt: skip
        self.mid = nn.Sequential(*_convolution(8 * w, 8 * w), *_convolution(8 * w, 4 * w))
        self.fusion = Fusion(4 * w if settings.global_features else 0, 4 * w)
        self.chroma = nn.Sequential(
            *_convolution(4 * w, 2 * w), nn.Upsample(scale_factor=2), *_convolution(2 * w, w), *_convolution(w, w),
            nn.Upsample(scale_factor=2), *_convolution(w, w // 2), nn.Conv2d(w // 2, 2, 3, padding=1), nn.Sigmoid(),
            nn.Upsample(scale_factor=2),
        )  # fmt: skip
        if settings.global_features:
            places = (settings.size // GLOBAL) ** 2
            self.whole = nn.Sequential(
                *_convolution(8 * w, 8 * w, 2), *_convolution(8 * w, 8 * w), *_convolution(8 * w, 8 * w, 2),
                *_convolution(8 * w, 8 * w), nn.Flatten(), *_linear(8 * w * places, 16 * w), *_linear(16 * w, 8 * w),
            )  # fmt: skip
            self.vector = nn.Sequential(*_linear(8 * w, 4 * w))
            self.classifier = nn.Sequential(*_linear(8 * w, 4 * w), nn.Linear(4 * w, classes))

    def forward(self, lightness: Tensor) -> tuple[Tensor, Tensor | None]:
        """For training: chroma, float (B, 2, S, S), 0 to 1, and the classes' logits, float (B, K), or None.

        :param lightness: L*, float (B, 1, S, S), 0 to 100, of the size of the global features
        """
        low = self.low(_centred(lightness))
        if not self.settings.global_features:
            return self._chroma(None, low), None
        hidden = self.whole(low)
        logits: Tensor = self.classifier(hidden)
        return self._chroma(self.vector(hidden), low), logits

    def features(self, lightness: Tensor) -> tuple[Tensor, Tensor] | None:
        """The global features, float (B, 4w), and the classes' logits, float (B, K); None for a network without them.

        :param lightness: L*, float (B, 1, H, W), 0 to 100, of any size
        """
        if not self.settings.global_features:
            return None
        size = (self.settings.size, self.settings.size)
        if lightness.shape[2:] != size:
            lightness = F.interpolate(lightness, size, mode="bilinear", antialias=True, align_corners=False)
        hidden = self.whole(self.low(_centred(lightness)))
        return self.vector(hidden), self.classifier(hidden)

    def coloured(self, lightness: Tensor, vector: Tensor | None) -> Tensor:
        """Chroma, float (B, 2, H, W), 0 to 1.

        :param lightness: L*, float (B, 1, H, W), 0 to 100, of any size; filled up to multiples of 8 with its edges
        :param vector: global features, float (B, 4w) or (1, 4w), perhaps those of another picture
        """
        height, width = lightness.shape[2:]
        filled = F.pad(lightness, (0, -width % LOW, 0, -height % LOW), mode="replicate")
        return self._chroma(vector, self.low(_centred(filled)))[:, :, :height, :width]

    def _chroma(self, vector: Tensor | None, low: Tensor) -> Tensor:
        chroma: Tensor = self.chroma(self.fusion(vector, self.mid(low)))
        return chroma


def _centred(lightness: Tensor) -> Tensor:
    return lightness / 100 - 0.5


def _convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


def _linear(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]


def losses(chroma: Tensor, truth: Tensor, logits: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean squared error of the chroma, the mean cross entropy of the classes in nats, and how many of the
    labelled pictures are classified right, 0 to 1; each ().

    :param chroma: float (B, 2, H, W)
    :param truth: of the same shape
    :param logits: float (B, K); None for a network that classifies nothing, whose cross entropy is 0
    :param labels: int64 (B,), from 1; 0 for a picture without a class, which only counts for the chroma
    """
    error = F.mse_loss(chroma, truth)
    if logits is None:
        return error, torch.zeros_like(error), torch.zeros_like(error)
    known = labels > 0
    entropies = F.cross_entropy(logits, (labels - 1).clamp(min=0), reduction="none")
    count = known.sum().clamp(min=1)
    right = ((logits.argmax(dim=1) == labels - 1) & known).sum() / count
    return error, (entropies * known).sum() / count, right
