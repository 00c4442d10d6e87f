"""The benchmark of recipes: images are those that ``--stop-at`` returns, and a recipe changes what its name says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.recipes import BEFORE, RECIPES, STOPS, Settings, asked, measured, predicted
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.samples import Origin
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler
from gen_models.training.settings import resolve


def test_the_images_of_a_stop_are_those_that_sampling_returns() -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary(("horse", "bird"))
    denoiser = Denoiser(
        DenoiserSettings(size=16, patch=2, channels=(16, 32), layers=1, attention=()), vocabulary.sizes
    ).eval()
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    sampler = RunSampler(denoiser, vocabulary, Noise(), Origin("tiny", "step-0", True, "", 4, "cpu"))
    images = predicted(sampler, "horse=2", Settings(n=6, steps=10))  # a batch of 4 and one of 2
    request = SampleRequest("horse=2", steps=10)
    for stop in STOPS:
        expected = sampler.sample(replace(request, stop_at=stop), range(6)).images
        np.testing.assert_array_equal(images[stop], expected)
    assert (images[0.4] != images[0.0]).any()


@pytest.mark.parametrize("preset", BEFORE)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_a_training(preset: str, recipe: str) -> None:
    run = resolve(asked(Settings(preset=preset, runs=Path("r")), recipe, 3, 1_000))
    assert (run.seed, run.learning.images, run.sample_every) == (3, 1_000, 0)
    assert run.learning.batch_size == {"before": 128, "batch-16": 16}.get(recipe, 32)
    assert run.noise.prediction == ("x0" if recipe.startswith("x0") else "v")


def test_images_are_at_no_distance_from_themselves() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)

    def features(of: NDArray[np.uint8]) -> NDArray[np.float32]:
        return of.reshape(len(of), -1)[:, :4].astype(np.float32)

    assert measured(features, images, images)["distance"] == pytest.approx(0, abs=1e-3)
