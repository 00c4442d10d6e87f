"""The losses of a stylised frame: content, style, temporal consistency, total variation.

Credits: L. A. Gatys et al. 2015, arXiv 1508.06576 (content, style, and features of mean size 1); M. Ruder et al. 2016,
arXiv 1604.08610, equations 1 to 9 (their normalisation, temporal losses); the authors' program (total variation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import UserError, nearest
from gen_models.style.features import FeatureNetwork
from gen_models.style.options import StyleOptions

Parts = dict[str, Tensor]
"""Each loss before its weight: ``content``, ``style``, ``temporal``, ``tv``."""


@dataclass(frozen=True)
class Anchor:
    """A stylised frame that another one is to agree with.

    :param warped: float32 (1, 3, H, W) from -1 to 1, warped to the other
    :param weights: float32 (1, 1, H, W), 0 where it says nothing
    """

    warped: Tensor
    weights: Tensor


def gram(features: Tensor) -> Tensor:
    """Correlations of the features, G = F F^T / M, from (1, N, h, w) with M = h w to (N, N)."""
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def content_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """1 / (N M) sum (F - P)^2."""
    return (features - wanted).square().mean()


def style_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """1 / N^2 sum (G - A)^2, where G and A have been divided by their own M.

    :param wanted: ``gram`` of the style picture's features
    """
    return (gram(features) - wanted).square().mean()


def temporal_loss(x: Tensor, anchors: Sequence[Anchor]) -> Tensor:
    """Sum over the anchors of 1 / D sum c (x - w)^2, with D the number of all values of a frame."""
    return torch.stack([(one.weights * (x - one.warped).square()).mean() for one in anchors]).sum()


def total_variation(x: Tensor) -> Tensor:
    """The mean square of the differences between neighbours, to the right and below."""
    return (x[..., 1:] - x[..., :-1]).square().mean() + (x[..., 1:, :] - x[..., :-1, :]).square().mean()


class Losses:
    """The losses for one style picture.

    The features of each layer are divided by their root mean square over the style picture, so that weights mean the
    same for any classifier and layer.

    :param style: float32 (1, 3, H, W) from -1 to 1
    :raises UserError: for a layer that the classifier does not have
    """

    def __init__(self, network: FeatureNetwork, style: Tensor, options: StyleOptions) -> None:
        self.network = network
        self.options = options
        self.style_layers = options.style_layers or network.layers
        for name in (*self.style_layers, *options.content_layers):
            if name not in network.layers:
                known = ", ".join(network.layers)
                raise UserError(f"unknown layer '{name}' (known: {known}){nearest(name, network.layers)}")
        with torch.no_grad():
            found = network(style)
            self._sizes = {name: one.square().mean().sqrt().clamp_min(1e-6) for name, one in found.items()}
            self._grams = {name: gram(one) for name, one in self._scaled(found).items()}

    def _scaled(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: one / self._sizes[name] for name, one in features.items()}

    def of_frame(self, content: Tensor, anchors: Sequence[Anchor]) -> Callable[[Tensor], Parts]:
        """The losses of pictures that are to show a frame.

        :param content: the frame, float32 (1, 3, H, W) from -1 to 1
        :param anchors: none, or the frames to agree with
        """
        with torch.no_grad():
            wanted = self._scaled(self.network(content))

        def parts(x: Tensor) -> Parts:
            found = self._scaled(self.network(x))
            nothing = x.new_zeros(())
            return {
                "content": sum((content_loss(found[n], wanted[n]) for n in self.options.content_layers), nothing),
                "style": sum((style_loss(found[n], self._grams[n]) for n in self.style_layers), nothing),
                "temporal": temporal_loss(x, anchors) if anchors else nothing,
                "tv": total_variation(x),
            }

        return parts

    def total(self, parts: Parts) -> Tensor:
        """alpha content + beta style + gamma temporal + tv."""
        weights = {
            "content": self.options.content_weight, "style": self.options.style_weight,
            "temporal": self.options.temporal_weight, "tv": self.options.tv_weight,
        }  # fmt: skip
        return torch.stack([weights[name] * part for name, part in parts.items()]).sum()
