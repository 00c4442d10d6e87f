"""Fused batch renormalisation against sb3-contrib's layer.

Credits: sb3-contrib (Raffin et al. 2021).
"""

from __future__ import annotations

import copy

import pytest
import torch
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch import nn

from rl.algorithms.batch_renorm import FusedBatchRenorm, use_fused_batch_renorm


def pair(warmup: int) -> tuple[BatchRenorm1d, BatchRenorm1d]:
    """The same layer twice, the second one fused."""
    generator = torch.Generator().manual_seed(1)
    layer = BatchRenorm1d(3, eps=1e-5, momentum=0.1, warmup_steps=warmup)
    with torch.no_grad():
        layer.scale.copy_(torch.rand(3, generator=generator) + 0.5)
        layer.bias.copy_(torch.randn(3, generator=generator))
    fused = nn.Sequential(copy.deepcopy(layer))
    use_fused_batch_renorm(fused)
    (layer_too,) = fused
    assert isinstance(layer_too, BatchRenorm1d)
    return layer, layer_too


@pytest.mark.parametrize("warmup", [100, 0])
def test_it_is_the_layer_of_sb3_contrib(warmup: int) -> None:
    layer, fused = pair(warmup)
    assert isinstance(fused, FusedBatchRenorm)
    generator = torch.Generator().manual_seed(2)
    for _ in range(5):
        # With 2,000 rows dividing the variance by n or n - 1 makes no difference that is seen here.
        x = torch.randn(2_000, 3, generator=generator) * torch.tensor([0.5, 1.0, 3.0]) + 0.4
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [each(one) for each, one in zip((layer, fused), inputs, strict=True)]
        for one in outputs:
            (one**3).sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=5e-3, atol=5e-2)
        torch.testing.assert_close(fused.scale.grad, layer.scale.grad, rtol=5e-3, atol=5e-2)
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name], value, rtol=1e-5, atol=1e-5)
    layer.eval()
    fused.eval()
    torch.testing.assert_close(fused(x), layer(x), rtol=1e-5, atol=1e-5)


def test_after_the_warmup_an_odd_batch_is_not_made_standard() -> None:
    # Running mean 0 and variance 1; a batch of mean 2 and variance 1 keeps its mean, as d = 2 and r = 1.
    _, fused = pair(0)
    with torch.no_grad():
        fused.scale.fill_(1.0)
        fused.bias.fill_(0.0)
        fused.get_buffer("steps").fill_(1)
    x = torch.tensor([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]])
    torch.testing.assert_close(fused.forward(x), x, rtol=1e-4, atol=1e-4)
