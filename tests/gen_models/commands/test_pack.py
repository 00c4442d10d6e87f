"""``pack``: a small copy of a run samples what the run samples, up to the rounding of its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from common.errors import UserError
from common.weights import files_of, small_weights
from gen_models.commands.pack import pack
from gen_models.commands.sample import sample
from gen_models.options import PackSettings, ResumeSettings, SampleSettings, TrainSettings
from gen_models.request import SampleRequest
from gen_models.training.loop import resume, train
from gen_models.training.run_sampler import load_run_sampler


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    train(TrainSettings(preset="smoke", label_maps=("spread",), name="a", runs=runs, device="cpu", sample_every=0))
    return runs / "pegasus/a"


@pytest.fixture(scope="module")
def packed(run: Path) -> Path:
    folder = run.parent.parent / "results/small"
    pack(PackSettings(run, folder))
    return folder


def test_the_copy_has_half_the_bytes_and_samples_nearly_the_same(run: Path, packed: Path) -> None:
    (checkpoint,) = (packed / "checkpoints").iterdir()
    small = load_file(checkpoint / "ema.safetensors")
    assert {tensor.dtype for tensor in small.values()} == {torch.bfloat16}
    request = SampleRequest(compose="map", base="horse", add="spread", from_="bird", steps=4)
    whole, rounded = (
        load_run_sampler(path, None, True, 4, "cpu").sample(request, range(4)).images.astype(int)
        for path in (run, packed)
    )
    assert 0 < np.abs(whole - rounded).mean() < 8
    assert not (packed / "tensorboard").exists()


def test_it_is_sampled_and_sampled_again_like_any_run(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample(SampleSettings(packed, SampleRequest("horse=1", steps=2), n=2, name="two", device="cpu"))
    sample(SampleSettings(packed, again=packed / "samples/two/samples.npz", device="cpu"))
    assert "all 2 images are the same" in capsys.readouterr().out


def test_weights_in_parts_are_the_same_weights(run: Path, tmp_path: Path) -> None:
    (*_, checkpoint) = sorted((run / "checkpoints").iterdir())
    (whole,) = small_weights(checkpoint / "ema.safetensors").values()
    parts = small_weights(checkpoint / "ema.safetensors", most=40_000)
    assert len(parts) > 2 and sorted(parts)[0] == f"ema-00001-of-{len(parts):05d}.safetensors"
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "whole.safetensors").write_bytes(whole)
    tensors = {name: one for file in files_of(tmp_path / "ema.safetensors") for name, one in load_file(file).items()}
    expected = load_file(tmp_path / "whole.safetensors")
    assert tensors.keys() == expected.keys() and all(tensors[name].equal(expected[name]) for name in expected)


def test_what_cannot_be_packed_or_gone_on_with_is_one_line(run: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists"):
        pack(PackSettings(run, packed))
    with pytest.raises(UserError, match=r"there is no run folder|cannot read"):
        pack(PackSettings(tmp_path / "none", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="a packed copy cannot be resumed"):
        resume(ResumeSettings(packed, images=2000, device="cpu"))
