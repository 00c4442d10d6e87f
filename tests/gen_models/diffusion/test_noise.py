"""Noise levels against the papers' formulas.

Credits: Nichol and Dhariwal 2021 (arXiv 2102.09672), Salimans and Ho 2022 (arXiv 2202.00512), Hang et al. 2023 (arXiv
2303.09556), Ho et al. 2020 (arXiv 2006.11239).
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from gen_models.diffusion.noise import Noise
from gen_models.request import TIMES, Prediction


def cosine(t: int) -> float:
    """Equation 17 of Nichol and Dhariwal, for the 1,000 times from 1."""
    return math.cos(((t + 1) / TIMES + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2


@pytest.mark.parametrize("t", [0, 100, 500, 900])
def test_cosine_schedule(t: int) -> None:
    remaining = cosine(t)
    assert Noise("cosine").snr()[t].item() == pytest.approx(remaining / (1 - remaining), rel=1e-3)


def test_linear_schedule() -> None:
    # Ho et al., section 4: betas from 1e-4 to 0.02.
    remaining = 1.0
    for index in range(300):
        remaining *= 1 - (1e-4 + (0.02 - 1e-4) * index / 999)
    assert Noise("linear").snr()[299].item() == pytest.approx(remaining / (1 - remaining), rel=1e-3)


@pytest.mark.parametrize("t", [10, 300, 800])
def test_weights_cut_the_signal_to_noise_ratio_at_gamma(t: int) -> None:
    snr = Noise().snr()[t].item()
    assert Noise(prediction="epsilon").weights(5.0)[t].item() == pytest.approx(min(snr, 5) / snr, rel=1e-5)
    assert Noise(prediction="v").weights(5.0)[t].item() == pytest.approx(min(snr, 5) / (snr + 1), rel=1e-5)
    assert Noise(prediction="x0").weights(5.0)[t].item() == pytest.approx(min(snr, 5), rel=1e-5)
    assert Noise().weights(None)[t].item() == 1


@pytest.mark.parametrize("t", [10, 300, 800])
def test_the_floor_is_the_least_weight_of_epsilon(t: int) -> None:
    """SNR is about 2,200 at t = 10, 3.8 at 300 and 0.1 at 800: the floor counts at the first alone."""
    snr = Noise().snr()[t].item()
    of_epsilon = {10: 0.2, 300: 1.0, 800: 1.0}[t]
    assert Noise(prediction="epsilon").weights(5.0, 0.2)[t].item() == pytest.approx(of_epsilon, rel=1e-5)
    assert Noise(prediction="x0").weights(5.0, 0.2)[t].item() == pytest.approx(of_epsilon * snr, rel=1e-5)
    assert Noise().weights(5.0, 0.2)[t].item() == pytest.approx(of_epsilon * snr / (snr + 1), rel=1e-5)


@pytest.mark.parametrize("floor", [0.0, 0.3])
@pytest.mark.parametrize("t", [60, 500, 900])
def test_the_same_image_is_the_same_loss_whatever_is_predicted(t: int, floor: float) -> None:
    """A network's output x_0', and the v' and eps' that stand for it at the same x_t."""
    generator = torch.Generator().manual_seed(0)
    x, eps, output = torch.randn(3, 2, 3, 4, 4, generator=generator)
    times = torch.tensor([t, t])
    alpha, sigma = math.sqrt(cosine(t)), math.sqrt(1 - cosine(t))
    noisy = Noise().noisy(x, eps, times)
    losses = []
    outputs: dict[Prediction, torch.Tensor] = {
        "x0": output,
        "v": (alpha * noisy - output) / sigma,
        "epsilon": (noisy - alpha * output) / sigma,
    }
    for prediction, converted in outputs.items():
        noise = Noise(prediction=prediction)
        torch.testing.assert_close(noise.image(noisy, converted, t), output, rtol=1e-3, atol=2e-3)
        error = (converted - noise.target(x, eps, times)).square().mean()
        losses.append((noise.weights(5.0, floor)[t] * error).item())
    assert losses == pytest.approx([losses[0]] * 3, rel=5e-3)


def test_noisy_images_and_what_to_predict() -> None:
    generator = torch.Generator().manual_seed(0)
    x, eps = torch.randn(2, 2, 3, 4, 4, generator=generator)
    t = torch.tensor([50, 700])
    remaining = torch.tensor([cosine(50), cosine(700)], dtype=torch.float64)[:, None, None, None]
    alpha, sigma = remaining.sqrt(), (1 - remaining).sqrt()
    close: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-4}
    torch.testing.assert_close(Noise().noisy(x, eps, t).double(), alpha * x + sigma * eps, **close)
    torch.testing.assert_close(Noise().target(x, eps, t).double(), alpha * eps - sigma * x, **close)
    assert Noise(prediction="epsilon").target(x, eps, t).equal(eps)


@pytest.mark.parametrize("prediction", ["v", "x0", "epsilon"])
def test_a_right_prediction_stands_for_the_image(prediction: Prediction) -> None:
    generator = torch.Generator().manual_seed(0)
    x, eps = torch.randn(2, 2, 3, 4, 4, generator=generator)
    noise, t = Noise(prediction=prediction), torch.tensor([600, 600])
    torch.testing.assert_close(
        noise.image(noise.noisy(x, eps, t), noise.target(x, eps, t), 600), x, rtol=1e-4, atol=1e-4
    )
