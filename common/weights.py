"""Conversion of a module's weights to safetensors, and back, without pickle.

Weights may be in parts, files of the names ``NAME-00001-of-00002.safetensors``.

Credits: safetensors; Hugging Face transformers for the names of parts.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import nn


def weights(module: nn.Module) -> bytes:
    """A module's weights as safetensors; a tensor with several names (a shared feature extractor) is written once."""
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in _distinct(module).items()})


def small_weights(file: Path, most: int | None = None) -> dict[str, bytes]:
    """A file's weights with floats as bfloat16, as safetensors by file name.

    :param most: largest number of bytes of a part, if they are to be in parts; a larger tensor is a part of its own
    """
    tensors = safetensors.torch.load_file(file)
    small = {name: one.to(torch.bfloat16) if one.is_floating_point() else one for name, one in tensors.items()}
    parts: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in small.items():
        size += tensor.nbytes
        if most is not None and size > most and parts[-1]:
            parts.append({})
            size = tensor.nbytes
        parts[-1][name] = tensor
    if len(parts) == 1:
        return {file.name: safetensors.torch.save(small)}
    return {
        f"{file.stem}-{number:05d}-of-{len(parts):05d}{file.suffix}": safetensors.torch.save(part)
        for number, part in enumerate(parts, start=1)
    }


def files_of(file: Path) -> list[Path]:
    """The file, or the parts that are there instead of it."""
    return [file] if file.exists() else sorted(file.parent.glob(f"{file.stem}-*-of-*{file.suffix}")) or [file]


def load_weights(module: nn.Module, file: Path) -> None:
    """Load weights from a file, or from its parts, into a module of the same shape.

    :raises safetensors.SafetensorError, RuntimeError: when the file is not valid, or names or shapes differ
    """
    tensors = {name: one for part in files_of(file) for name, one in safetensors.torch.load_file(part).items()}
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
