"""Pictures in L*a*b*: lightness, and two numbers of chroma, in which distances are roughly as people see them.

sRGB is made linear, becomes XYZ under the white D65, and then

    L* = 116 f(Y / Yn) - 16,   a* = 500 (f(X / Xn) - f(Y / Yn)),   b* = 200 (f(Y / Yn) - f(Z / Zn))

with f the cube root, and a line that touches it below (6 / 29) cubed.

Credits: CIE 15 (L*a*b*) and IEC 61966-2-1 (sRGB): their formulas.
"""

from __future__ import annotations

import torch
from torch import Tensor

# sRGB's primaries in XYZ; the rows' sums are its white, D65.
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
TOUCH = 6 / 29  # where f's cube root and line meet
CHROMA = 110.0  # no colour of sRGB has a* or b* beyond this


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Pictures as L*a*b*, float (B, 3, H, W): L* from 0 to 100, a* from -87 to 99, b* from -108 to 95.

    :param rgb: sRGB, float (B, 3, H, W), 0 to 1
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(TO_XYZ, dtype=rgb.dtype, device=rgb.device)
    xyz = torch.einsum("ij,bjhw->bihw", matrix / matrix.sum(dim=1, keepdim=True), linear)
    line = xyz / (3 * TOUCH**2) + 4 / 29
    x, y, z = torch.where(xyz > TOUCH**3, xyz.clamp(min=TOUCH**3) ** (1 / 3), line).unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """L*a*b* as sRGB, float (B, 3, H, W), cut to 0 and 1: not every lightness and chroma are a colour of a screen.

    :param lab: float (B, 3, H, W)
    """
    lightness, a, b = lab.unbind(dim=1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f > TOUCH, f**3, 3 * TOUCH**2 * (f - 4 / 29))
    matrix = torch.tensor(TO_XYZ, dtype=torch.float64)
    inverse = torch.linalg.inv(matrix / matrix.sum(dim=1, keepdim=True)).to(lab)
    linear = torch.einsum("ij,bjhw->bihw", inverse, xyz).clamp(0, 1)
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved).clamp(0, 1)


def scaled_chroma(lab: Tensor) -> Tensor:
    """a* and b* as the network gives them, float (B, 2, H, W), 0 to 1; 1/2 is grey.

    :param lab: float (B, 3, H, W)
    """
    return lab[:, 1:] / (2 * CHROMA) + 0.5


def with_chroma(lightness: Tensor, chroma: Tensor) -> Tensor:
    """sRGB, float (B, 3, H, W), of lightness and of what the network gives.

    :param lightness: L*, float (B, 1, H, W)
    :param chroma: float (B, 2, H, W), as ``scaled_chroma`` gives it
    """
    return lab_to_rgb(torch.cat([lightness, (chroma - 0.5) * (2 * CHROMA)], dim=1))
