"""Passes, resume at a frame, what temporal losses do, the command, and mistakes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.cli import run_cli
from common.errors import UserError
from common.video import Mp4Writer
from gen_models.classifiers.classifier import Classifier
from gen_models.commands.stylise import stylise
from gen_models.images.image_set import to_model_space
from gen_models.style.clips import read_clip
from gen_models.style.consistency import warped_error
from gen_models.style.features import FeatureNetwork, load_features
from gen_models.style.folder import StyleFolder, StyleRun
from gen_models.style.losses import Losses
from gen_models.style.options import StyleOptions, StyliseSettings
from gen_models.style.transfer import Transfer, blended, order

OPTIONS = StyleOptions(width=32, iterations=12, distances=(1, 2))


class Stopped(Exception):
    """The work was stopped."""


def transfer(folder: Path, options: StyleOptions, frames: Any, style: Any, classifier: Classifier) -> Transfer:
    run = StyleRun(
        video="v", video_digest="a", style="s", style_digest="b", features_digest="c", options=options
    )  # fmt: skip
    losses = Losses(FeatureNetwork(classifier), to_model_space(style[None]), options)
    return Transfer(frames, losses, StyleFolder.open(folder, run))


def test_the_blend_by_its_formula() -> None:
    rng = np.random.default_rng(0)
    before, neighbour = rng.integers(256, size=(3, 4, 3), dtype=np.uint8), rng.uniform(0, 255, (3, 4, 3))
    mask, delta = rng.random((3, 4)) < 0.5, 0.3
    found = blended(before, neighbour.astype(np.float32), mask, delta)
    for y, x, channel in np.ndindex(3, 4, 3):
        c = float(mask[y, x])
        expected = delta * c * neighbour[y, x, channel] + ((1 - delta) + delta * (1 - c)) * before[y, x, channel]
        assert found[y, x, channel] == pytest.approx(expected, abs=1e-3)


def test_passes_go_forwards_and_backwards() -> None:
    assert [order(3, number) for number in (1, 2, 3)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


@pytest.mark.parametrize(
    ("options", "stop"),
    [
        (OPTIONS, 2),
        (replace(OPTIONS, passes=2, start="noise", optimizer="adam"), 6),  # in the pass that goes backwards
    ],
    ids=["one pass", "two passes"],
)
def test_a_stopped_work_goes_on_bit_for_bit(
    tmp_path: Path, options: StyleOptions, stop: int, frames: Any, style: Any, classifier: Classifier
) -> None:
    whole = transfer(tmp_path / "whole", options, frames, style, classifier)
    whole.run()
    made = 0

    def after_frame() -> None:
        nonlocal made
        made += 1
        if made == stop:
            raise Stopped

    with pytest.raises(Stopped):
        transfer(tmp_path / "stopped", options, frames, style, classifier).run(after_frame)
    again = transfer(tmp_path / "stopped", options, frames, style, classifier)
    assert again.done == stop
    again.run(after_frame)
    assert made == whole.total == options.passes * len(frames)
    for number in range(1, options.passes + 1):
        for index in range(len(frames)):
            assert np.array_equal(whole.folder.load(number, index)[0], again.folder.load(number, index)[0])
    assert not np.array_equal(whole.result()[0], frames)


def test_temporal_losses_lower_the_warped_error(
    tmp_path: Path, frames: Any, style: Any, classifier: Classifier
) -> None:
    errors = []
    for name, options in (
        ("together", OPTIONS),
        ("alone", replace(OPTIONS, temporal_weight=0.0, start="noise")),
    ):
        work = transfer(tmp_path / name, options, frames, style, classifier)
        work.run()
        errors.append(warped_error(frames, work.result()[0]))
    assert errors[0] < errors[1] / 2


def test_the_warped_error_by_hand() -> None:
    still = np.random.default_rng(0).integers(256, size=(3, 32, 32, 3), dtype=np.uint8)
    still[:] = still[0]
    stylised = np.zeros_like(still)
    stylised[1] = 51  # a fifth of the range, up and down again
    assert warped_error(still, stylised) == pytest.approx(0.04)
    assert warped_error(still, still) == pytest.approx(0, abs=1e-9)


def command(place: Path, output: Path, **changes: Any) -> StyliseSettings:
    options = StyliseSettings(
        video=place / "clip.mp4", style=place / "stripes.png", output=output, features=place / "features",
        width=32, iterations=3, frames=3, device="cpu",
    )  # fmt: skip
    return replace(options, **changes)


def test_the_command_leaves_a_video_and_numbers_and_goes_on(place: Path, tmp_path: Path, frames: Any) -> None:
    output = tmp_path / "made"
    stylise(command(place, output))
    measured = json.loads((output / "measured.json").read_text())
    assert measured["frames"] == 3 and measured["iterations_a_frame"] == 3 and measured["warped_error"] > 0
    clip = read_clip(output / "stylised.mp4", StyleOptions(width=32))
    assert clip.frames.shape == (3, 32, 32, 3) and clip.fps == 10
    with Image.open(output / "sheet.png") as sheet:
        assert sheet.size == (3 * 32, 2 * 32)
    last = output / "frames" / "pass-01" / "000002.png"
    before = last.read_bytes()
    (output / "stylised.mp4").unlink()
    stylise(command(place, output))
    assert last.read_bytes() == before and (output / "stylised.mp4").exists()
    with pytest.raises(UserError, match=r"was begun with options.style_weight = 20.0, not 3.0; choose another"):
        stylise(command(place, output, style_weight=3.0))
    last.write_bytes(before[:100])
    with pytest.raises(UserError, match=r"000002.png is damaged"):
        stylise(command(place, output))


def video(path: Path, *pictures: NDArray[np.uint8]) -> Path:
    with Mp4Writer(path, fps=10, scale=2) as writer:
        for picture in pictures:
            writer.add(picture)
    return path


GREY = np.full((32, 32, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": "missing.mp4"}, "it is not a file"),
        ({"video": "text.mp4"}, "cannot read .*text.mp4 as a video"),
        ({"video": "still.mp4"}, "has no motion: its 3 frames are the same"),
        ({"video": "one.mp4"}, "1 frame from --begin 0 on; it takes at least 2"),
        ({"video": "flat.mp4"}, "is too small or too flat, 64 x 16 pixels"),
        ({"begin": 50}, "0 frame from --begin 50 on"),
        ({"style": "text.mp4"}, "cannot read .*text.mp4: its content is that of no BMP"),
        ({"style": "missing.png"}, "cannot read .*missing.png: No such file"),
        ({"style": "small.png"}, "is too small, 20 x 40 pixels"),
        ({"features": "."}, "holds no classifier"),
        ({"width": 8}, "--width 8: from 32"),
        ({"distances": (2, 4)}, "--distances needs 1"),
        ({"blend": 1.5}, "--blend"),
        ({"temporal_weight": -1.0}, "--temporal-weight must be 0 or more"),
        ({"style_layers": ("stage9",)}, "unknown layer 'stage9'"),
    ],
    ids=lambda value: "-".join(f"{name}-{one}" for name, one in value.items()) if isinstance(value, dict) else "",
)
def test_mistakes_leave_nothing(place: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    video(tmp_path / "still.mp4", GREY, GREY, GREY)
    video(tmp_path / "one.mp4", GREY)
    video(tmp_path / "flat.mp4", GREY[:8], GREY[:8] + 80)
    Image.new("RGB", (20, 40)).save(tmp_path / "small.png")
    files = {name: tmp_path / one for name, one in changes.items() if name in ("video", "style", "features")}
    with pytest.raises(UserError, match=message):
        stylise(command(place, tmp_path / "made", **{**changes, **files}))
    assert not (tmp_path / "made").exists()


def test_images_of_one_class_make_no_features(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, images=np.zeros((4, 32, 32, 3), np.uint8), labels=np.zeros(4, np.int64), class_names=np.array(["a"]))
    with pytest.raises(UserError, match="has images of 1 class; features take a classifier of two"):
        load_features(tmp_path / "features", f"npz:{path}", tmp_path, "cpu")
    assert not (tmp_path / "features").exists()


def test_the_command_line_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    status = run_cli(
        {"stylise": (StyliseSettings, "gen_models.commands.stylise:stylise")}, about="x",
        arguments=["stylise", "missing.mp4", "--style", "missing.png"],
    )  # fmt: skip
    assert status == 2 and "missing.mp4" in capsys.readouterr().err
