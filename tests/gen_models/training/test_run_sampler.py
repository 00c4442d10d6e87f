"""Sampling from a run: what a request leaves open is the run's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.samples import Origin
from gen_models.options import TrainSettings
from gen_models.request import SampleRequest
from gen_models.training.loop import train
from gen_models.training.run_sampler import RunSampler, load_run_sampler
from tests.untrained_run import untrained_run


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


def test_a_map_composes_and_is_the_base_alone_without_weight(tmp_path: Path) -> None:
    train(
        TrainSettings(preset="smoke", label_maps=("spread",), name="maps", runs=tmp_path, device="cpu", sample_every=0)
    )
    sampler = load_run_sampler(tmp_path / "pegasus" / "maps", None, True, 4, "cpu")
    request = SampleRequest(compose="map", base="horse", add="spread", from_="bird", steps=4)
    told: list[int] = []
    composed = sampler.sample(request, range(6), told.append)
    assert sum(told) == 6 * 4  # both passes together count once
    assert "outlines of bird+spread from training images" in composed.caption()
    np.testing.assert_array_equal(sampler.sample(request, [2]).images[0], composed.images[2])
    alone = sampler.sample(replace(request, base_weight=1.0, add_weight=0.0), range(6)).images
    np.testing.assert_array_equal(alone, sampler.sample(SampleRequest("horse=1", steps=4), range(6)).images)
    with pytest.raises(
        UserError, match=r"--compose map: label maps do not show horse\+spread .known: horse, bird, bird"
    ):
        sampler.sample(replace(request, from_="horse"), range(1))
    with pytest.raises(UserError, match=r"--compose map needs --base, as in --compose map --base horse"):
        sampler.sample(replace(request, base=""), range(1))
    outlines = tmp_path / "pegasus" / "maps" / "silhouettes.npz"
    outlines.write_bytes(outlines.read_bytes()[:100])
    with pytest.raises(UserError, match=r"silhouettes.npz is damaged"):
        load_run_sampler(tmp_path / "pegasus" / "maps", None, True, 4, "cpu")
    outlines.unlink()
    with pytest.raises(UserError, match=r"silhouettes.npz: No such file or directory; restore it from a copy"):
        load_run_sampler(tmp_path / "pegasus" / "maps", None, True, 4, "cpu")


def test_a_run_without_label_maps_says_so(tmp_path: Path) -> None:
    sampler = load_run_sampler(untrained_run(tmp_path / "run").path, None, True, 4, "cpu")
    with pytest.raises(UserError, match="--compose map: the run has no label maps; train it with --label-maps spread"):
        sampler.sample(SampleRequest(compose="map", base="horse", add="spread", from_="bird"), range(1))
