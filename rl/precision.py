"""Faster updates of Stable-Baselines3's networks: bfloat16 where the processor gains from it, and a fused Adam.

The weights, the optimiser and the heads (action, value, quantiles) stay in float32. With bfloat16 the convolutions and
hidden layers multiply in it, and pixels reach the first convolution as the whole numbers 0 to 255, which bfloat16 holds
exactly; their scale of 1/255 goes into its weights. docs/speed.md has what each step gave.

Credits: Kalamkar et al. 2019 (arXiv 1905.12322) for training in bfloat16; Stable-Baselines3 (Raffin et al. 2021), whose
networks are used as they are.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor, nn

from common.device import Precision
from rl.features import RamBitsExtractor

PIXEL_SCALE = 1 / 255


def quicken(model: BaseAlgorithm, precision: Precision) -> None:
    """Make a newly built model's updates faster.

    :param precision: ``float32`` or ``bfloat16``
    """
    for group in cast(Any, model.policy).optimizer.param_groups:
        if "fused" in group:
            group["fused"], group["foreach"] = True, False
    if precision == "bfloat16":
        for network in _networks(model):
            _use_bfloat16(network)


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


def _use_bfloat16(network: Any) -> None:
    heads = _heads(network)
    for layer in network.modules():
        if layer in heads:
            layer.forward = partial(_in_float32, layer.forward)
        elif isinstance(layer, nn.Linear):
            layer.forward = partial(_linear, layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.Conv2d):
            layer.forward = partial(_convolve, layer)  # type: ignore[method-assign]
    extractor = network.features_extractor
    shared = getattr(network, "share_features_extractor", True)
    raw = shared and isinstance(extractor, RamBitsExtractor)
    if shared and isinstance(extractor, NatureCNN) and network.normalize_images:
        raw = True
    # No float32 copy of the observations on the way. Stable-Baselines3 goes round this in places; what arrives scaled
    # already is seen by its type.
    if raw:
        network.extract_features = partial(_extract, extractor)


def _extract(own: nn.Module, observations: Tensor, extractor: nn.Module | None = None) -> Any:
    return (extractor or own)(observations)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.bfloat16()
    return F.linear(x.bfloat16(), layer.weight.bfloat16(), bias)


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    weight = layer.weight * PIXEL_SCALE if x.dtype == torch.uint8 else layer.weight
    bias = None if layer.bias is None else layer.bias.bfloat16()
    return F.conv2d(
        x.bfloat16(), weight.bfloat16(), bias, layer.stride, layer.padding, layer.dilation, layer.groups
    )  # fmt: skip


def _in_float32(forward: Any, x: Tensor) -> Any:
    return forward(x.float())
