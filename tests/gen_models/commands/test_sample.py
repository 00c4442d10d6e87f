"""Images from a run: what is written, sampling it again, and errors for bad input."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.npz import pack_arrays, unpack_arrays
from common.run_folder import RunFolder
from gen_models.commands.sample import sample
from gen_models.diffusion import sampling
from gen_models.diffusion.samples import Samples
from gen_models.options import SampleSettings
from gen_models.request import SampleRequest
from gen_models.training.state import load_denoiser
from tests.untrained_run import add_checkpoint, untrained_run

REQUEST = SampleRequest("horse=3,bird+spread=-1.5", steps=2, seed=5, interval=(0.1, 0.9))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with random weights."""
    return untrained_run(tmp_path / "first")


def settings(run: RunFolder, **options: Any) -> SampleSettings:
    return SampleSettings(run.path, **{"request": REQUEST, "n": 3, "device": "cpu", **options})


def test_the_folder_holds_the_images_a_grid_and_the_file(run: RunFolder) -> None:
    sample(settings(run))
    folder = run.path / "samples" / "and-horse-3-bird-spread-1.5-seed-5"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["grid.png", "image-0000.png", "image-0001.png", "image-0002.png", "samples.npz"]
    denoiser, vocabulary, noise, _ = load_denoiser(run)
    expected = sampling.sample(denoiser, vocabulary, noise, REQUEST, range(3))
    for index in range(3):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / f"image-{index:04d}.png")), expected[index])
    kept = Samples.load(folder / "samples.npz")
    np.testing.assert_array_equal(kept.images, expected)
    assert kept.indices == [0, 1, 2] and kept.request == REQUEST
    assert (kept.origin.checkpoint, kept.origin.batch_size, kept.origin.device) == ("step-000000001", 16, "cpu")
    assert kept.caption().startswith("and: horse=3,bird+spread=-1.5, 2 steps of dpm, seed 5, interval (0.1, 0.9);")


def test_names_are_free_ones_by_default(run: RunFolder) -> None:
    for _ in range(2):
        sample(settings(run, n=1))
    sample(settings(run, n=1, name="mine"))
    made = sorted(path.name for path in (run.path / "samples").iterdir())
    assert made == ["and-horse-3-bird-spread-1.5-seed-5", "and-horse-3-bird-spread-1.5-seed-5-2", "mine"]
    with pytest.raises(UserError, match="mine exists and is not overwritten; choose another --name"):
        sample(settings(run, n=1, name="mine"))


def test_the_last_weights_and_another_checkpoint_sample_other_images(run: RunFolder) -> None:
    add_checkpoint(run, load_denoiser(run)[0], "step-000000002")
    options_of: dict[str, dict[str, Any]] = {
        "latest": {}, "first": {"checkpoint": "step-000000001"}, "last": {"averaged": False},
    }  # fmt: skip
    for name, options in options_of.items():
        sample(settings(run, name=name, **options))
    kept = [Samples.load(run.path / "samples" / name / "samples.npz") for name in ("latest", "first", "last")]
    assert [one.origin.checkpoint[-1] for one in kept] == ["2", "1", "2"]
    assert len({one.origin.weights for one in kept}) == len({one.images.tobytes() for one in kept}) == 3


def test_again_samples_the_same_images(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    sample(settings(run, name="a", batch_size=2))
    capsys.readouterr()
    file = run.path / "samples" / "a" / "samples.npz"
    sample(SampleSettings(run.path, again=file))
    assert capsys.readouterr().out == "all 3 images are the same, bit for bit\n"
    assert [path.name for path in (run.path / "samples").iterdir()] == ["a"]


def test_again_says_which_images_differ(run: RunFolder) -> None:
    sample(settings(run, name="a"))
    file = run.path / "samples" / "a" / "samples.npz"
    kept = Samples.load(file)
    images = kept.images.copy()
    images[1, 0, 0, 0] ^= 2
    dataclasses.replace(kept, images=images).save(file)
    with pytest.raises(UserError, match="1 of 3 images differ, by at most 2 of 255") as caught:
        sample(SampleSettings(run.path, again=file))
    assert caught.value.status == 1


def test_again_refuses_other_weights(run: RunFolder) -> None:
    sample(settings(run, name="a"))
    add_checkpoint(run, load_denoiser(run)[0], "step-000000001")
    with pytest.raises(UserError, match=r"was sampled with other weights than those of .*step-000000001"):
        sample(SampleSettings(run.path, again=run.path / "samples" / "a" / "samples.npz"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "--n must be at least 1"),
        ({"n": 10**9}, "--n 1000000000: at most 1000000"),
        ({"batch_size": 10**9}, "--batch-size 1000000000: at most 65536"),
        ({"checkpoint": "step-7"}, "has no checkpoint 'step-7' .it has: step-000000001."),
        ({"request": SampleRequest("hrose=1")}, "unknown condition 'hrose' .*did you mean 'horse'"),
        ({"name": "../there"}, "--name '../there'"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({"again": Path("x.npz")}, "--again takes the request from the file"),
    ],
)
def test_what_cannot_be_sampled_leaves_nothing(run: RunFolder, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample(settings(run, **options))
    assert not (run.path / "samples").exists()


def test_a_checkpoint_of_another_shape(run: RunFolder) -> None:
    changed = run.settings.read_text().replace("- 32\n", "- 64\n")
    run.settings.write_text(changed)
    with pytest.raises(UserError, match=r"ema\.safetensors does not fit the denoiser of settings\.yml"):
        sample(settings(run))


def test_a_file_that_is_no_samples(run: RunFolder, tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    for content, message in (
        (b"what", "is not a samples.npz of this program .not an intact .npz"),
        (pack_arrays({"images": np.zeros((1, 2, 2, 3))}, compress=False), "is not a samples.npz"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=message):
            Samples.load(file)
    with pytest.raises(UserError, match=r"cannot read .*absent\.npz"):
        Samples.load(tmp_path / "absent.npz")
    sample(settings(run, name="a"))
    arrays = unpack_arrays((run.path / "samples" / "a" / "samples.npz").read_bytes())
    arrays["request"] = np.array('{"steps": "many"}')
    file.write_bytes(pack_arrays(arrays, compress=False))
    with pytest.raises(UserError, match="steps cannot be 'many'"):
        Samples.load(file)
