"""Faster updates of Stable-Baselines3's networks: bfloat16 where the processor supports it, and a fused Adam.

The weights, the optimiser and the heads (action, value, quantiles) stay in float32. With bfloat16 the convolutions and
hidden layers multiply in it, and pixels reach the first convolution as the integers 0 to 255, which bfloat16 represents
exactly; their scale of 1/255 is multiplied into its weights. docs/speed.md has the gain of each step.

Credits: Kalamkar et al. 2019 (arXiv 1905.12322) for training in bfloat16; Stable-Baselines3 (Raffin et al. 2021), whose
networks are used as they are.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any, cast

import torch
import torch.nn.functional as F
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor, nn

from common.allocator import keep_freed_memory
from common.options import Precision
from rl.algorithms.features import RamBitsExtractor

PIXEL_SCALE = 1 / 255


def set_precision(model: BaseAlgorithm, precision: Precision) -> None:
    """Set the precision of a newly built model's hidden layers, and use the fused Adam.

    :param precision: ``float32`` or ``bfloat16``
    """
    keep_freed_memory()
    for optimizer in optimizers(model).values():
        for group in optimizer.param_groups:
            if "fused" in group:
                group["fused"], group["foreach"] = True, False
    if precision == "bfloat16":
        for index, network in enumerate(_networks(model)):
            _use_bfloat16(network, keep=index == 0)  # updates of a target network do not change its weights' version


def optimizers(model: BaseAlgorithm) -> dict[str, torch.optim.Optimizer]:
    """All optimisers of a model, by the names under which Stable-Baselines3 saves them, such as ``actor.optimizer``."""
    names, _ = model._get_torch_save_params()
    return {name: attrgetter(name)(model) for name in names if name.endswith("optimizer")}


def _networks(model: BaseAlgorithm) -> list[Any]:
    policy: Any = model.policy
    if isinstance(model, DQN):
        return [policy.q_net, policy.q_net_target]
    if isinstance(model, QRDQN):
        return [policy.quantile_net, policy.quantile_net_target]
    return [policy]


def _heads(network: Any) -> list[nn.Module]:
    if hasattr(network, "action_net"):
        return [network.action_net, network.value_net]
    return [(network.q_net if hasattr(network, "q_net") else network.quantile_net)[-1]]


def _use_bfloat16(network: Any, keep: bool) -> None:
    heads = _heads(network)
    for layer in network.modules():
        if layer in heads:
            layer.forward = partial(_in_float32, layer.forward)
        elif isinstance(layer, nn.Linear):
            layer.forward = partial(_linear, _Rounded(layer, keep))  # type: ignore[method-assign]
        elif isinstance(layer, nn.Conv2d):
            layer.forward = partial(_convolve, _Rounded(layer, keep))  # type: ignore[method-assign]
    extractor = network.features_extractor
    shared = getattr(network, "share_features_extractor", True)
    scales = isinstance(extractor, NatureCNN) and network.normalize_images
    # Without a float32 copy of the observations. Stable-Baselines3 preprocesses them itself in some places;
    # observations that are scaled already are recognised by their dtype.
    if shared and (scales or isinstance(extractor, RamBitsExtractor)):
        network.extract_features = partial(_extract, extractor)


def _extract(own: nn.Module, observations: Tensor, extractor: nn.Module | None = None) -> Any:
    return (extractor or own)(observations)


class _Rounded:
    """A layer's weight and bias in bfloat16, cached between the steps of a rollout.

    The cache is emptied by a call with gradients, after which the weights change, and by loading weights.

    :param keep: False for no cache
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, keep: bool) -> None:
        self.layer = layer
        self.keep = keep
        self._kept: dict[float, tuple[int, Tensor, Tensor | None]] = {}

    def __call__(self, scale: float = 1.0) -> tuple[Tensor, Tensor | None]:
        """The weight times ``scale``, and the bias, both in bfloat16."""
        if torch.is_grad_enabled() or not self.keep:
            self._kept.clear()
            return self._round(scale)
        version = self.layer.weight._version
        if scale not in self._kept or self._kept[scale][0] != version:
            self._kept[scale] = (version, *self._round(scale))
        return self._kept[scale][1:]

    def _round(self, scale: float) -> tuple[Tensor, Tensor | None]:
        weight = self.layer.weight if scale == 1.0 else self.layer.weight * scale
        return weight.bfloat16(), None if self.layer.bias is None else self.layer.bias.bfloat16()


def _linear(rounded: _Rounded, x: Tensor) -> Tensor:
    return F.linear(x.bfloat16(), *rounded())


def _convolve(rounded: _Rounded, x: Tensor) -> Tensor:
    layer = cast(nn.Conv2d, rounded.layer)
    weight, bias = rounded(PIXEL_SCALE if x.dtype == torch.uint8 else 1.0)
    return F.conv2d(x.bfloat16(), weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _in_float32(forward: Any, x: Tensor) -> Any:
    return forward(x.float())
