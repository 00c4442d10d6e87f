"""L*a*b*: there and back, and colours whose numbers are known."""

from __future__ import annotations

import pytest
import torch

from gen_models.colourisation.lab import CHROMA, lab_to_rgb, rgb_to_lab, scaled_chroma, with_chroma


def colours(*rows: tuple[float, float, float]) -> torch.Tensor:
    """Pictures of one row of pixels, float64 (1, 3, 1, W)."""
    return torch.tensor(rows, dtype=torch.float64).T[None, :, None, :]


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-7), (torch.float32, 1e-5)])
def test_there_and_back(dtype: torch.dtype, apart: float) -> None:
    steps = torch.linspace(0, 1, 18, dtype=dtype)
    rgb = torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 18, -1)
    lab = rgb_to_lab(rgb)
    assert (lab_to_rgb(lab) - rgb).abs().max() < apart
    chroma = scaled_chroma(lab)
    assert 0 <= chroma.min() < 0.02 and 0.93 < chroma.max() <= 1  # nothing is cut, and little room is left
    assert (with_chroma(lab[:, :1], chroma) - rgb).abs().max() < 10 * apart


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
    ],
)
def test_known_colours(rgb: tuple[float, float, float], lab: tuple[float, float, float]) -> None:
    assert rgb_to_lab(colours(rgb)).flatten().tolist() == pytest.approx(lab, abs=0.02)


def test_gradients_at_black_and_white_are_finite() -> None:
    rgb = colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.2, 0.5, 0.9)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rgb_to_lab(0.01 + 0.9 * x), rgb)
    lab_to_rgb(rgb_to_lab(rgb)).sum().backward()
    assert rgb.grad is not None and rgb.grad.isfinite().all()


def test_what_no_screen_shows_is_cut() -> None:
    rgb = lab_to_rgb(colours((90.0, CHROMA, -CHROMA), (-5.0, 0.0, 0.0)))
    assert rgb.isfinite().all() and rgb.min() == 0 and rgb.max().item() == pytest.approx(1) and rgb.max() <= 1
