"""Samplers against the exact solution for Gaussian images; each image by its own seed, whatever its batch.

Credits: Song et al. 2021 (arXiv 2011.13456) for the ordinary differential equation that the samplers solve.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.sampling import image_generator, make_scheduler, noise_levels, sample, set_times
from gen_models.images.image_set import to_pixels
from gen_models.request import Prediction, SampleRequest, SamplerName

VOCABULARY = Vocabulary(("horse", "bird"))
SPREAD = 0.1
MEANS = (0.1, 0.4, -0.2)  # unconditional, of horses and of birds


class GaussianDenoiser(Denoiser):
    """The exact denoiser of images whose pixels are independent, N(mean of the class, SPREAD^2)."""

    def __init__(self, noise: Noise) -> None:
        super().__init__(DenoiserSettings(size=8, patch=1, channels=(8,), layers=1, attention=()), VOCABULARY.sizes)
        self.noise = noise
        self.calls: list[int] = []

    def embed(self, labels: Tensor) -> Tensor:
        """The mean is the embedding."""
        return torch.tensor(MEANS)[labels[:, :1]]

    def predict(self, x: Tensor, t: Tensor, embedding: Tensor, maps: Tensor | None = None) -> Tensor:
        """From E[x_0 | x_t] = mean + alpha s^2 / (alpha^2 s^2 + sigma^2) (x_t - alpha mean)."""
        self.calls.append(len(x))
        alpha, sigma = (value[:, None, None, None].double() for value in levels(self.noise, t))
        mean = embedding[:, :, None, None].double()
        x_0 = mean + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * mean)
        eps = (x - alpha * x_0) / sigma
        if self.noise.prediction == "x0":
            return x_0.float()
        return (eps if self.noise.prediction == "epsilon" else alpha * eps - sigma * x_0).float()


def levels(noise: Noise, t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_t and sigma_t."""
    remaining = noise.scheduler().alphas_cumprod[t]
    return remaining.sqrt(), (1 - remaining).sqrt()


def start_noise(seed: int, count: int) -> NDArray[np.float32]:
    """The noise that images begin as, float32 (N, 8, 8, 3)."""
    noise = [torch.randn((3, 8, 8), generator=image_generator(seed, k)) for k in range(count)]
    return np.asarray(torch.stack(noise).permute(0, 2, 3, 1).numpy(), np.float32)


def in_model_space(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images / 127.5 - 1


@pytest.mark.parametrize("prediction", ["v", "x0", "epsilon"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize(("sampler", "steps"), [("dpm", 250), ("ddim", 1000)])
def test_deterministic_samplers_follow_the_exact_solution(
    prediction: Prediction, schedule: Literal["cosine", "linear"], sampler: SamplerName, steps: int
) -> None:
    """For Gaussians (x_t - alpha_t mean) / sqrt(alpha_t^2 s^2 + sigma_t^2) stays what it is, and alpha is 0 at first.

    Composition is exact there too: the mean is 0.1 + 2 (0.4 - 0.1) + 0.5 (-0.2 - 0.1) = 0.55.
    """
    noise = Noise(schedule, prediction)
    request = SampleRequest("horse=2,bird=0.5", sampler=sampler, steps=steps, seed=3, threshold="none")
    images = sample(GaussianDenoiser(noise), VOCABULARY, noise, request, range(4), batch_size=4)
    expected = 0.55 + SPREAD * start_noise(3, 4)
    assert images.dtype == np.uint8 and images.shape == (4, 8, 8, 3)
    assert np.abs(in_model_space(images) - expected).max() < 1.5 / 127.5


@pytest.mark.parametrize("threshold", ["static", "dynamic"])
@pytest.mark.parametrize("sampler", ["dpm", "dpm-sde", "ddim", "ddpm"])
def test_stopping_early_gives_the_samplers_own_image(
    sampler: SamplerName, threshold: Literal["static", "dynamic"]
) -> None:
    """The last prediction of the image, thresholded; the steps that are left out count as done."""
    noise = Noise()
    steps: list[int] = []
    seen: list[Tensor] = []
    request = SampleRequest("horse=4", sampler=sampler, steps=25, threshold=threshold, stop_at=0.25)
    images = sample(
        GaussianDenoiser(noise), VOCABULARY, noise, request, range(3), 2, progress=steps.append, watch=seen.append
    )
    # sigma is 0.259 at t = 159 and 0.197 at 119, the 23rd of the 25 times; dpm has 155 and 115.
    assert sum(steps) == 3 * 25 and len(seen) == 2 * 23 and steps[:23] == [2] * 22 + [6]
    predicted = torch.cat([seen[22], seen[45]])
    largest = torch.quantile(predicted.flatten(1).abs(), 0.995, dim=1).clamp(min=1)[:, None, None, None]
    if threshold == "dynamic":
        predicted = torch.minimum(torch.maximum(predicted, -largest), largest) / largest
    np.testing.assert_array_equal(images, to_pixels(predicted))


def test_a_noise_level_of_0_is_the_whole_way() -> None:
    noise = Noise()
    whole, stopped = (
        sample(GaussianDenoiser(noise), VOCABULARY, noise, SampleRequest("horse=1", stop_at=level), range(2))
        for level in (0.0, 0.9)
    )
    assert np.abs(in_model_space(whole) - 0.4).mean() > 2 * np.abs(in_model_space(stopped) - 0.4).mean()


@pytest.mark.parametrize("steps", [61, 223, 250, 333, 500, 996])
@pytest.mark.parametrize("sampler", ["dpm", "ddpm"])
def test_as_many_steps_as_are_asked_for(sampler: SamplerName, steps: int) -> None:
    """From diffusers alone, dpm has 249, 332 and 498 of the last, its 223rd is at the time -1, and ddpm 62 of 61."""
    noise = Noise()
    request = SampleRequest(sampler=sampler, steps=steps)
    times = set_times(make_scheduler(noise, request), request, noise_levels(noise))
    assert len(times) == steps == len(set(times)) and min(times) >= 0 and times == sorted(times, reverse=True)
    done: list[int] = []
    denoiser = GaussianDenoiser(noise)
    images = sample(denoiser, VOCABULARY, noise, request, range(2), batch_size=2, progress=done.append)
    assert done == [2] * steps
    assert in_model_space(images).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "ddpm", "steps": 1000},
        {"sampler": "dpm-sde", "steps": 100},
        {"sampler": "ddim", "eta": 1.0, "steps": 1000},
    ],
    ids=str,
)
def test_samplers_with_noise_give_the_distribution(options: dict[str, Any]) -> None:
    noise = Noise()
    request = SampleRequest("horse=1", seed=4, threshold="none", **options)
    images = sample(GaussianDenoiser(noise), VOCABULARY, noise, request, range(32), batch_size=32)
    values = in_model_space(images)
    # 6,144 independent values: four standard errors of the mean are 0.005, of the deviation 0.0036.
    assert values.mean() == pytest.approx(0.4, abs=0.005)
    assert values.std() == pytest.approx(SPREAD, abs=0.005)
    # Not the deterministic solution with noise on top: the start noise is forgotten.
    assert abs(np.corrcoef(values.ravel(), start_noise(4, 32).ravel())[0, 1]) < 0.06


def test_switch_follows_one_condition_and_then_the_other() -> None:
    """The exact solution for birds down to the first time at or below the switching point, from there for horses."""
    noise = Noise()
    request = SampleRequest("bird=1,horse=1", "switch", switch_at=0.6, steps=200, sampler="ddim", threshold="none")
    images = sample(GaussianDenoiser(noise), VOCABULARY, noise, request, range(2), batch_size=2)
    times = torch.arange(999, 0, -5)
    alphas, sigmas = levels(noise, times)
    k = int((sigmas <= 0.6).nonzero()[0])
    alpha, sigma = float(alphas[k]), float(sigmas[k])
    kept = start_noise(0, 2) + alpha * (MEANS[2] - MEANS[1]) / math.sqrt(alpha**2 * SPREAD**2 + sigma**2)
    assert np.abs(in_model_space(images) - (MEANS[1] + SPREAD * kept)).max() < 2.5 / 127.5


def test_one_call_of_the_network_a_step_for_all_conditions_and_each_half_of_the_images() -> None:
    noise = Noise()
    steps: list[int] = []
    denoiser = GaussianDenoiser(noise)
    request = SampleRequest("horse=2,bird=0.5", steps=5)
    sample(denoiser, VOCABULARY, noise, request, range(6), batch_size=4, progress=steps.append)
    assert denoiser.calls == [3 * 2] * 2 * 5 * 2
    assert steps == [4] * 5 + [2] * 5


def tiny_denoiser() -> Denoiser:
    """A network with random weights."""
    torch.manual_seed(1)
    denoiser = Denoiser(
        DenoiserSettings(size=16, patch=2, channels=(16, 32), layers=1, attention=(1,)), VOCABULARY.sizes
    )
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return denoiser


@pytest.mark.parametrize(
    "options",
    [
        {"compose": "and"},
        {"compose": "switch", "rescale": 0.7, "interval": (0.1, 0.9), "threshold": "dynamic"},
        {"compose": "mix", "sampler": "ddim", "eta": 0.5},
        {"sampler": "ddpm"},
        {"sampler": "dpm-sde", "precision": "bfloat16"},
    ],
    ids=str,
)
def test_an_image_does_not_depend_on_its_batch(options: dict[str, Any]) -> None:
    denoiser, noise = tiny_denoiser(), Noise()
    request = SampleRequest("horse=3,bird=1.5", **{"steps": 4, "seed": 7, **options})
    every = sample(denoiser, VOCABULARY, noise, request, range(64))
    np.testing.assert_array_equal(sample(denoiser, VOCABULARY, noise, request, range(8)), every[:8])
    np.testing.assert_array_equal(sample(denoiser, VOCABULARY, noise, request, [40, 3]), every[[40, 3]])
    assert len(np.unique(every.reshape(64, -1), axis=0)) == 64


@pytest.mark.parametrize("sampler", ["dpm", "ddpm"])
def test_another_batch_size_changes_an_image_by_rounding_only(sampler: SamplerName) -> None:
    denoiser, noise = tiny_denoiser(), Noise()
    request = SampleRequest("horse=3,bird=1.5", sampler=sampler, steps=10)
    large = sample(denoiser, VOCABULARY, noise, request, range(64), batch_size=64)
    small = sample(denoiser, VOCABULARY, noise, request, range(8), batch_size=8)
    assert np.abs(large[:8].astype(int) - small).max() <= 1


def test_sampling_leaves_everything_as_it_was() -> None:
    denoiser, noise = tiny_denoiser().train(), Noise()
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    state = torch.get_rng_state()
    sample(denoiser, VOCABULARY, noise, SampleRequest("horse=2", steps=2, sampler="ddpm"), range(2))
    assert denoiser.training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in denoiser.state_dict().items())


def test_the_seed_decides() -> None:
    denoiser, noise = tiny_denoiser(), Noise()
    first, again, other = (
        sample(denoiser, VOCABULARY, noise, SampleRequest(steps=2, seed=seed), range(2)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("sampler", ["dpm", "ddim", "ddpm"])
def test_thresholds_keep_images_in_range(sampler: SamplerName) -> None:
    """Horses at weight 20 have the mean 6.1. Static: white. Dynamic: divided by the 99.5 % quantile of each image."""
    noise = Noise()
    images = {}
    for threshold in ("static", "dynamic"):
        request = SampleRequest("horse=20", sampler=sampler, steps=50, threshold=threshold)
        images[threshold] = sample(GaussianDenoiser(noise), VOCABULARY, noise, request, range(2), batch_size=2)
    assert (images["static"] == 255).all()
    assert images["dynamic"].min() < 255 and images["dynamic"].max() >= 254


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "--steps 0: from 1 to 1000"),
        ({"steps": 30, "sampler": "ddim"}, "for ddim they have to divide 1000; the nearest is 25"),
        ({"steps": 1000}, "--steps 1000: dpm has 996 times with this noise schedule"),
        ({"stop_at": 1.0}, "--stop-at 1 is a noise level, from 0"),
        ({"eta": 0.5}, "--eta 0.5: from 0 to 1, and with --sampler ddim only"),
        ({"seed": -1}, "--seed -1 must not be negative"),
        ({"weights": "hrose=1"}, "unknown condition 'hrose'"),
        ({"weights": "horse=1", "compose": "switch"}, "takes two conditions"),
        ({"interval": (0.5, 0.5)}, "--interval 0.5 0.5"),
        ({"weights": "horse=1e38", "threshold": "none"}, "the images are not finite"),
    ],
)
def test_requests_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample(tiny_denoiser(), VOCABULARY, Noise(), SampleRequest(**{"steps": 2, **options}), range(1))
