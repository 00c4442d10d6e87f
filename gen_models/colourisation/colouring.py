"""Colours pictures with a trained network: many of one size, or one of any size, perhaps in the style of another.

Credits: Iizuka et al. 2016, section 3.2 (any size: the global features see the picture at their own size) and 4.5
(global features of another picture).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.device import memory_errors
from common.parallel import one_torch_thread
from gen_models.colourisation.lab import lab_to_rgb, rgb_to_lab, with_chroma
from gen_models.colourisation.network import Colouriser


def to_lab(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Pictures as L*a*b*, float32 (N, 3, H, W).

    :param images: uint8 (N, H, W, 3)
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
    return rgb_to_lab(pixels.float() / 255)


def to_bytes(rgb: Tensor) -> NDArray[np.uint8]:
    """sRGB, float (N, 3, H, W) from 0 to 1, as uint8 (N, H, W, 3)."""
    return np.ascontiguousarray((rgb * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())


def coloured_images(network: Colouriser, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.uint8]:
    """Pictures coloured by what their lightness says, uint8 (N, H, W, 3).

    :param network: in evaluation mode
    :param images: uint8 (N, H, W, 3), of any one size
    :param batch_size: images at once
    :raises UserError: when the device runs out of memory (status 1)
    """
    device = next(network.parameters()).device
    parts = []
    with memory_errors(batch_size), torch.inference_mode(), one_torch_thread():
        for start in range(0, len(images), batch_size):
            lightness = to_lab(images[start : start + batch_size], device)[:, :1]
            found = network.features(lightness)
            parts.append(to_bytes(with_chroma(lightness, network.coloured(lightness, found[0] if found else None))))
    return np.concatenate(parts)


def style_of(network: Colouriser, picture: NDArray[np.uint8]) -> Tensor | None:
    """The global features of a picture, float32 (1, G); None for a network without them.

    :param picture: uint8 (H, W, 3)
    """
    with torch.inference_mode(), one_torch_thread():
        found = network.features(to_lab(picture[None], next(network.parameters()).device)[:, :1])
    return found[0] if found else None


def coloured_picture(network: Colouriser, picture: NDArray[np.uint8], style: Tensor | None = None) -> NDArray[np.uint8]:
    """A picture coloured, uint8 (H, W, 3).

    :param network: in evaluation mode
    :param picture: uint8 (H, W, 3)
    :param style: global features of another picture; None for its own
    :raises UserError: when the device runs out of memory (status 1)
    """
    with memory_errors(1), torch.inference_mode(), one_torch_thread():
        lightness = to_lab(picture[None], next(network.parameters()).device)[:, :1]
        vector = style if style is not None else style_of(network, picture)
        pixels = to_bytes(with_chroma(lightness, network.coloured(lightness, vector)))
    return np.asarray(pixels[0])


def one_chroma(images: NDArray[np.uint8], a: float, b: float) -> NDArray[np.uint8]:
    """Pictures whose pixels all have one a* and one b*, and their own lightness, uint8 (N, H, W, 3).

    :param images: uint8 (N, H, W, 3)
    """
    lab = to_lab(images)
    lab[:, 1], lab[:, 2] = a, b
    return to_bytes(lab_to_rgb(lab))


def grey_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures without colours, uint8 (N, H, W, 3), of the same lightness."""
    return one_chroma(images, 0.0, 0.0)
