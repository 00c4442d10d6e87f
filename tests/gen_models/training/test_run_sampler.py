"""Sampling from a run: what a request leaves open is the run's."""

from __future__ import annotations

import numpy as np
import torch

from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.samples import Origin
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler


def test_sampling_stops_where_the_run_says_unless_asked_otherwise() -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary(("horse", "bird"))
    shape = DenoiserSettings(size=8, patch=1, channels=(8,), layers=1, attention=())
    denoiser = Denoiser(shape, vocabulary.sizes).eval()
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    runs = [
        RunSampler(denoiser, vocabulary, Noise(), Origin("tiny", "step-0", True, "", 4, "cpu"), stop_at)
        for stop_at in (0.0, 0.4)
    ]
    samples = {
        (run.stop_at, asked): run.sample(SampleRequest("horse=2", steps=10, stop_at=asked), range(3))
        for run in runs
        for asked in (None, 0.0, 0.4)
    }
    whole, early = samples[0.0, 0.0].images, samples[0.0, 0.4].images
    assert (whole != early).any()
    np.testing.assert_array_equal(samples[0.0, None].images, whole)
    np.testing.assert_array_equal(samples[0.4, None].images, early)
    np.testing.assert_array_equal(samples[0.4, 0.0].images, whole)
    assert samples[0.4, None].request.stop_at == 0.4  # what is sampled again stops there, too
    assert "stop at" not in samples[0.0, None].caption()
