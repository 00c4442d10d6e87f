"""Conversion of a module's weights to safetensors, and back, without pickle.

Credits: safetensors.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import nn


def weights(module: nn.Module) -> bytes:
    """A module's weights as safetensors; a tensor with several names (a shared feature extractor) is written once."""
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in _distinct(module).items()})


def load_weights(module: nn.Module, file: Path) -> None:
    """Load weights from a file into a module of the same shape.

    :raises safetensors.SafetensorError, RuntimeError: when the file is not valid, or names or shapes differ
    """
    tensors = safetensors.torch.load_file(file)
    differing = tensors.keys() ^ _distinct(module).keys()
    if differing:
        raise RuntimeError(f"weights that only one of both has: {', '.join(sorted(differing)[:3])}")
    module.load_state_dict(tensors, strict=False)


def _distinct(module: nn.Module) -> dict[str, torch.Tensor]:
    """The state dictionary with one name for each tensor in memory."""
    seen = set()
    distinct = {}
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if place not in seen or tensor.numel() == 0:
            distinct[name] = tensor.detach()
        seen.add(place)
    return distinct
