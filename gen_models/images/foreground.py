"""Which pixels of an image show its subject, where the background is even along the rows.

Credits: this project's own rule. It needs no training, and finds nothing in a picture without an even border.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

DISTANCE = 0.25  # of a pixel's colour from both ends of its row, in RGB from -1 to 1
LEAST, MOST = 0.04, 0.6  # share of a clear image that is foreground
BORDER = 0.15  # largest share of a clear image's outermost pixels that are foreground
ROUGH = 12.5  # largest squared outline over area of a clear foreground, 1 for a disc; drawings have up to 12


def foreground(x: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels whose colour is far from that of both ends of their row, without specks and pinholes.

    :param x: images, float (B, 3, S, S), -1 to 1
    :return: foreground, bool (B, S, S); and whether it is clear, bool (B,): in one or few pieces, away from the border,
        neither tiny nor nearly all
    """
    width = max(1, x.shape[-1] // 16)
    ends = (x[..., :width].mean(-1, keepdim=True), x[..., -width:].mean(-1, keepdim=True))
    distance = torch.stack([(x - end).square().sum(1) for end in ends]).amin(0).sqrt()
    far = distance > DISTANCE
    around = torch.ones(1, 1, 3, 3, device=x.device)
    around[..., 1, 1] = 0
    neighbours = functional.conv2d(far[:, None].float(), around, padding=1)[:, 0]
    inside = (far & (neighbours >= 2)) | (neighbours >= 7)
    share = inside.float().mean((1, 2))
    rim = torch.cat([inside[:, 0], inside[:, -1], inside[:, 1:-1, 0], inside[:, 1:-1, -1]], dim=1)
    across, down = (inside.diff(dim=axis).sum((1, 2)) for axis in (1, 2))
    outline = across + down + rim.sum(1)
    even = outline.square() < ROUGH * 4 * math.pi * inside.sum((1, 2))
    return inside, (share > LEAST) & (share < MOST) & (rim.float().mean(1) < BORDER) & even
