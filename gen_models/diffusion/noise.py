"""Noise schedules over 1,000 times, and the weight of each time in the training loss.

    x_t = alpha_t x_0 + sigma_t eps,    alpha_t^2 + sigma_t^2 = 1,    SNR_t = alpha_t^2 / sigma_t^2

The denoiser predicts x_0, eps, or v = alpha_t eps - sigma_t x_0. For the same x_t each follows from the others, and the
squared error of one is that of another times a factor of t: |v|^2 : |x_0|^2 : |eps|^2 = 1 : sigma^2 : alpha^2.

Credits: Ho et al. 2020 (arXiv 2006.11239), Nichol and Dhariwal 2021 (arXiv 2102.09672, the cosine schedule), Salimans
and Ho 2022 (arXiv 2202.00512, v = alpha eps - sigma x_0), Hang et al. 2023 (arXiv 2303.09556, min-SNR weights), Li and
He 2025 (arXiv 2511.13720, prediction of x_0 on patches of pixels); diffusers for the schedules.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from gen_models.request import TIMES, Prediction, Schedule

SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
PREDICTIONS = {"v": "v_prediction", "x0": "sample", "epsilon": "epsilon"}


@dataclass(frozen=True)
class Noise:
    """A noise schedule and the quantity that the denoiser predicts.

    :param schedule: ``cosine`` or ``linear``
    :param prediction: ``v``, ``x0`` or ``epsilon``
    """

    schedule: Schedule = "cosine"
    prediction: Prediction = "v"

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of every diffusers scheduler."""
        return {
            "num_train_timesteps": TIMES,
            "beta_schedule": SCHEDULES[self.schedule],
            "prediction_type": PREDICTIONS[self.prediction],
        }

    def scheduler(self) -> Any:
        """The scheduler that adds noise in training: ``add_noise`` and ``get_velocity``. Built once."""
        return _training_scheduler(self)

    def snr(self) -> Tensor:
        """The signal-to-noise ratio of each time, float32 (1000,)."""
        remaining: Tensor = self.scheduler().alphas_cumprod
        return remaining / (1 - remaining)

    def weights(self, gamma: float | None, floor: float = 0.0) -> Tensor:
        """The weight of the squared error of the prediction at each time, float32 (1000,).

        With SNR clipped at gamma: min(SNR, gamma) / (SNR + 1) for v, min(SNR, gamma) for x0, min(SNR, gamma) / SNR for
        epsilon (Hang et al. 2023, section 3.4). That is the same loss for all three. All 1 with gamma None.

        :param floor: least weight of the error of epsilon, 0 to 1. It counts at low noise alone, where SNR > gamma and
            min-SNR's weight goes to 0; v's weight is then about the floor as well
        """
        snr = self.snr()
        if gamma is None:
            return torch.ones_like(snr)
        image = torch.maximum(snr.clamp(max=gamma), floor * snr)
        return image / {"v": snr + 1, "x0": torch.ones_like(snr), "epsilon": snr}[self.prediction]

    def noisy(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """``x_t``, the images ``x`` (B, 3, S, S) with noise ``eps`` at times ``t`` (B,)."""
        noisy: Tensor = self.scheduler().add_noise(x, eps, t)
        return noisy

    def target(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The training target for images ``x`` (B, 3, S, S) with noise ``eps`` at times ``t`` (B,)."""
        if self.prediction == "epsilon":
            return eps
        if self.prediction == "x0":
            return x
        velocity: Tensor = self.scheduler().get_velocity(x, eps, t)
        return velocity

    def image(self, x: Tensor, prediction: Tensor, t: int) -> Tensor:
        """The estimate of the images ``x_0`` (B, 3, S, S), from the prediction for noisy images ``x`` at time ``t``.

        (x_t - sigma_t eps) / alpha_t for epsilon, alpha_t x_t - sigma_t v for v (Salimans and Ho 2022, appendix D).
        """
        if self.prediction == "x0":
            return prediction
        remaining = float(self.scheduler().alphas_cumprod[t])
        alpha, sigma = remaining**0.5, (1 - remaining) ** 0.5
        epsilon = self.prediction == "epsilon"
        image: Tensor = (x - sigma * prediction) / alpha if epsilon else alpha * x - sigma * prediction
        return image


@functools.cache
def _training_scheduler(noise: Noise) -> Any:
    return DDPMScheduler(**noise.arguments)
