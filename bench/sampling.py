"""Sampling side by side: 25 steps of DPM-Solver++ with all conditions in one call, against a DDPM loop of 1,000 steps.

    python -m bench.sampling runs/pegasus/sprites                       # images an hour, in turn
    python -m bench.sampling runs/pegasus/sprites --what quality        # Frechet distance in own features

The loop is the one that diffusers documents, in float32, with a call of the network for each condition. All its steps
cost the same, so a round times some of them and counts a thousand. Rates are by processor time.

Credits: diffusers' documentation of its schedulers; Ho et al. 2020 (arXiv 2006.11239).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from diffusers import DDPMScheduler
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from bench.alternate import alternate
from gen_models.diffusion.guidance import parse_weights
from gen_models.judging.frechet import frechet_distance
from gen_models.request import TIMES, SampleRequest
from gen_models.training.run_sampler import RunSampler, load_run_sampler, sampling_progress

Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From images uint8 (N, S, S, 3) to features (N, D)."""

HOUR = 3600
DEFAULT_WEIGHTS = {"speed": "horse=2,spread=3.5", "quality": "horse=1"}


@dataclass(frozen=True)
class Settings:
    """Compare ways of sampling."""

    run: Positional[Path]
    """A run folder."""
    what: Literal["speed", "quality"] = "speed"
    """What to measure."""
    weights: str | None = None
    """The conditions. Default: horse=2,spread=3.5 for speed; for quality horse=1, of which there are real images."""
    n: int = 64
    """Number of images."""
    rounds: int = 3
    """Measurements of each."""
    timed_steps: int = 10
    """Steps of the DDPM loop in each round."""


def main() -> None:
    """Measure and print."""
    settings = tyro.cli(Settings)
    settings = replace(settings, weights=settings.weights or DEFAULT_WEIGHTS[settings.what])
    sampler = load_run_sampler(settings.run, None, True, settings.n if settings.what == "speed" else 32, "auto")
    if settings.what == "speed":
        speed(sampler, settings)
    else:
        from gen_models.classifiers.sprite_scorer import SpriteScorer
        from gen_models.images.sprites import draw_sprites

        real = draw_sprites("horse", 2_000, seed=77)[0]
        scorer = SpriteScorer.trained(settings.run.parent / "sprite-scorer")
        quality(sampler, scorer.classifier.features, real, requests(str(settings.weights)), settings.n)


def requests(weights: str) -> dict[str, SampleRequest]:
    """The requests that are compared, by name; the first is ours."""
    ours = SampleRequest(weights)
    return {
        "DPM-Solver++, 25 steps": ours,
        "DPM-Solver++, 25 steps, bfloat16": replace(ours, precision="bfloat16"),
        "DPM-Solver++ with noise, 25 steps": replace(ours, sampler="dpm-sde"),
        "DPM-Solver++ with noise, 40 steps, bfloat16": replace(ours, sampler="dpm-sde", steps=40, precision="bfloat16"),
        "DDIM, 25 steps": replace(ours, sampler="ddim"),
        "DDPM, 1,000 steps": replace(ours, sampler="ddpm", steps=TIMES),
    }


def speed(sampler: RunSampler, settings: Settings) -> None:
    """Images an hour of our samplers and of the loop, in turn."""
    ways = {
        name: _ours(sampler, request, settings.n)
        for name, request in requests(str(settings.weights)).items()
        if request.steps < TIMES
    }
    ways["DDPM loop, 1,000 steps, a call for each condition"] = _loop(sampler, settings)
    title = f"{settings.n} images, {settings.weights}, {torch.get_num_threads()} threads"
    alternate(title, ways, settings.rounds, "images/hour")


def _ours(sampler: RunSampler, request: SampleRequest, n: int) -> Callable[[], float]:
    def work() -> float:
        began = time.process_time()
        sampler.sample(request, range(n))
        return HOUR * n / (time.process_time() - began)

    return work


def _loop(sampler: RunSampler, settings: Settings) -> Callable[[], float]:
    conditions, weights = parse_weights(str(settings.weights), sampler.vocabulary)
    every = [sampler.vocabulary.null, *conditions]
    labels = [torch.tensor([condition.values] * settings.n) for condition in every]
    denoiser: Any = sampler.denoiser

    @torch.no_grad()
    def work() -> float:
        generator = torch.Generator().manual_seed(0)
        scheduler: Any = DDPMScheduler(**sampler.noise.arguments)
        scheduler.set_timesteps(TIMES)
        x = torch.randn((settings.n, 3, denoiser.settings.size, denoiser.settings.size), generator=generator)
        began = time.process_time()
        for t in scheduler.timesteps[: settings.timed_steps]:
            times = t.repeat(settings.n)
            null, *predictions = (denoiser(x, times, label) for label in labels)
            guided = null
            for weight, prediction in zip(weights, predictions, strict=True):
                guided = guided + weight * (prediction - null)
            x = scheduler.step(guided, t, x, generator=generator).prev_sample
        seconds = (time.process_time() - began) * TIMES / settings.timed_steps
        return HOUR * settings.n / seconds

    return work


def quality(
    sampler: RunSampler, features: Features, real: NDArray[np.uint8], compared: Mapping[str, SampleRequest], n: int
) -> dict[str, float]:
    """The Frechet distance of each request's images to real ones, with the same start noise for all.

    :param features: of a classifier trained here
    :param real: real images of the condition, uint8 (M, S, S, 3)
    :param compared: the requests by name
    :param n: images of each request
    :return: distances by name; the first is that of n real images to the others, the least to be expected
    """
    reference = features(real[n:])
    distances = {f"{n} real images": frechet_distance(features(real[:n]), reference)}
    for name, request in compared.items():
        with sampling_progress(n * request.steps, request.steps) as progress:
            images = sampler.sample(request, range(n), progress).images
        distances[name] = frechet_distance(features(images), reference)
    table = Table(title=f"Frechet distance in own features, {n} images against {len(reference)} real ones")
    for column in ("", "distance, less is better"):
        table.add_column(column)
    for name, distance in distances.items():
        table.add_row(name, f"{distance:.2f}")
    Console(width=120).print(table)
    return distances


if __name__ == "__main__":
    main()
