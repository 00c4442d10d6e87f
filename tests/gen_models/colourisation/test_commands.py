"""colourise apply and measure, on a run with first weights: what they leave, and what bad input gets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from common.checkpoints import write_checkpoint
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.colourisation.colouring import coloured_images, grey_images, to_lab
from gen_models.colourisation.measuring import chroma_error, from_best_to_worst, mean_chroma, psnr
from gen_models.colourisation.options import ApplySettings, ColouriseTrainSettings, MeasureSettings
from gen_models.colourisation.settings import resolve_colouriser
from gen_models.colourisation.state import capture, load_colouriser
from gen_models.colourisation.trainer import build_colouriser
from gen_models.commands.colourise import apply, measure
from gen_models.diffusion.conditions import Vocabulary
from gen_models.images.loaders import load_images
from tests.forked_runs import run as run_program
from tests.untrained_run import untrained_run


def untrained(path: Path, **options: Any) -> RunFolder:
    user = ColouriseTrainSettings(preset="smoke", name=path.name, **options)
    settings = dataclasses.replace(resolve_colouriser(user), vocabulary=Vocabulary(("horse", "bird")))
    run = RunFolder.create(path, settings.to_yaml())
    network = build_colouriser(settings)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(to_lab(pictures(8, 32, 32))[:, :1])  # running statistics of pictures
    files = capture(network, torch.optim.Adadelta(network.parameters()), {"images": 320})
    write_checkpoint(run.checkpoints, "step-000000320", files)
    return run


def pictures(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)


def saved(path: Path, picture: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return untrained(tmp_path / "colours")


def opened(path: Path) -> NDArray[np.uint8]:
    return np.array(Image.open(path).convert("RGB"))


def test_pictures_keep_their_size_and_their_lightness(run: RunFolder, tmp_path: Path) -> None:
    grey = np.repeat(pictures(37, 50)[:, :, :1] // 2 + 64, 3, axis=2)
    album = saved(tmp_path / "album" / "one.png", grey).parent
    Image.fromarray(pictures(16, 90)[:, :, 0]).save(album / "two.jpg")  # of one channel
    apply(ApplySettings(run.path, (album,), device="cpu"))
    apply(ApplySettings(run.path, (album / "one.png",), device="cpu"))
    assert sorted(path.name for path in (run.path / "coloured").iterdir()) == ["one.png", "two.png"]
    assert [path.name for path in (run.path / "coloured-2").iterdir()] == ["one.png"]
    assert opened(run.path / "coloured" / "two.png").shape == (16, 90, 3)
    coloured = opened(run.path / "coloured" / "one.png")
    assert coloured.shape == grey.shape and not np.array_equal(coloured, grey)
    lightness = [to_lab(one[None])[:, 0] for one in (grey, coloured)]
    assert (lightness[0] - lightness[1]).abs().median() < 0.5


def test_a_style_changes_the_colours_and_that_of_the_picture_itself_does_not(run: RunFolder, tmp_path: Path) -> None:
    picture, other = saved(tmp_path / "a.png", pictures(32, 40)), saved(tmp_path / "b.png", pictures(64, 64) // 8)
    found = []
    for name, style in (("none", None), ("own", picture), ("other", other)):
        apply(ApplySettings(run.path, (picture,), style, tmp_path / name, device="cpu"))
        found.append(opened(tmp_path / name / "a.png"))
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_bad_pictures_leave_nothing(run: RunFolder, tmp_path: Path) -> None:
    good = saved(tmp_path / "good.png", pictures(8, 8))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    twice = saved(tmp_path / "twice" / "good.jpg", pictures(8, 8))
    for files, message in (
        ((good, bad), f"cannot read {bad}: its content is that of no"),
        ((tmp_path / "none.png",), "cannot read .*none.png: No such file"),
        ((tmp_path / "empty",), "empty holds no pictures"),
        ((good, twice), "would both become good.png"),
        ((), "no pictures named"),
    ):
        with pytest.raises(UserError, match=message):
            apply(ApplySettings(run.path, files, output=tmp_path / "out", device="cpu"))
    with pytest.raises(UserError, match=r"cannot read .*bad\.png"):
        apply(ApplySettings(run.path, (good,), bad, tmp_path / "out", device="cpu"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="out exists and is never overwritten"):
        apply(ApplySettings(run.path, (good,), output=tmp_path / "out", device="cpu"))


def test_a_style_needs_global_features(tmp_path: Path) -> None:
    run = untrained(tmp_path / "local", global_features=False)
    picture = saved(tmp_path / "a.png", pictures(8, 8))
    apply(ApplySettings(run.path, (picture,), device="cpu"))
    with pytest.raises(UserError, match="--no-global-features"):
        apply(ApplySettings(run.path, (picture,), picture, device="cpu"))


def test_measured_as_by_hand(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    local = untrained(tmp_path / "local", global_features=False)
    measure(MeasureSettings((run.path, local.path), n=7, shown=4, device="cpu"))
    folder = run.path / "measured"
    content = json.loads((folder / "measured.json").read_text())
    assert content["images"] == 7 and list(content["measured"]) == ["grey", "mean colour", "colours", "local"]
    test = load_images(("sprites:64",), 32, split="test").images
    test = test[np.linspace(0, len(test) - 1, 7).round().astype(int)]
    a, b = mean_chroma(load_images(("sprites:64",), 32).images)
    lab = to_lab(test)
    coloured = coloured_images(load_colouriser(run)[0], test, 7)
    by_hand = {
        "grey": (lab[:, 1] ** 2 + lab[:, 2] ** 2).sqrt().mean().item(),
        "mean colour": ((lab[:, 1] - a) ** 2 + (lab[:, 2] - b) ** 2).sqrt().mean().item(),
        "colours": (to_lab(coloured) - lab)[:, 1:].square().sum(dim=1).sqrt().mean().item(),
    }
    for name, error in by_hand.items():
        # Rounded to bytes, and cut where the lightness leaves no room for the mean colour.
        assert content["measured"][name]["chroma_error"] == pytest.approx(error, rel=0.05, abs=0.5)
    mse = ((coloured.astype(float) - test) ** 2).mean(axis=(1, 2, 3))
    assert content["measured"]["colours"]["psnr"] == pytest.approx((10 * np.log10(255**2 / mse)).mean())
    assert Image.open(folder / "sheet.png").height > 4 * 96  # original, grey, two runs
    assert "7 test images" in capsys.readouterr().out
    with pytest.raises(UserError, match="measured exists and is never overwritten"):
        measure(MeasureSettings((run.path,), device="cpu"))


def test_measures_at_their_ends() -> None:
    images = pictures(3, 8, 8)
    assert psnr(images, images).tolist() == pytest.approx([58.92] * 3, abs=0.01)
    assert psnr(np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)).tolist() == [0.0]
    assert chroma_error(images, images).tolist() == [0.0] * 3
    assert to_lab(grey_images(images))[:, 1:].abs().max() < 0.5  # a byte apart, where the rounding is close
    assert from_best_to_worst(np.array([3.0, 1.0, 2.0, 0.0]), 2).tolist() == [3, 0]
    assert from_best_to_worst(np.array([3.0, 1.0]), 9).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": ()}, "no run named"),
        ({"n": 0}, "--n must be at least 1"),
        ({"data": ("folder:none",)}, "none"),
        ({"name": "../out"}, "--name"),
    ],
)
def test_what_cannot_be_measured(run: RunFolder, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        measure(MeasureSettings(**{"runs": (run.path,), "device": "cpu", **changes}))


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = untrained_run(tmp_path / "denoiser")
    with pytest.raises(UserError, match="is not a run of colourise train"):
        apply(ApplySettings(other.path, (tmp_path / "a.png",), device="cpu"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, "run_pegasus.py colourise measure"),
        (["train", "--help"], 0, "--class-weight"),
        (["apply", "none", "a.png"], 2, "error: none is not a run folder"),
        (["aply", "none"], 2, "error: "),
    ],
)
def test_the_command_line(tmp_path: Path, arguments: list[str], status: int, words: str) -> None:
    ended = run_program("run_pegasus.py", "colourise", *arguments, folder=tmp_path)
    assert ended.returncode == status and words in (ended.stderr if status else ended.stdout)
    assert ended.stderr.count("\n") == (status != 0)
