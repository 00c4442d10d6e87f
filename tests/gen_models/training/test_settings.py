"""What a user says against what a run gets: presets, precedence, the kept file, and every mistake."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from common.errors import UserError
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.options import TrainSettings
from gen_models.training.settings import PRESETS, RunSettings, differing, resolve


def settings(**options: Any) -> RunSettings:
    return resolve(TrainSettings(**{"preset": "smoke", **options}))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_resolves_and_is_kept_and_read_again(name: str, tmp_path: Path) -> None:
    run = dataclasses.replace(settings(preset=name), vocabulary=Vocabulary(("horse", "bird"), ("white",), ("a", "b")))
    assert run.learning.images == PRESETS[name].images
    assert run.denoiser.channels == PRESETS[name].channels
    assert run.learning.weight_floor == {"sprites": 0.2, "cifar-cpu": 0.2}.get(name, 0)
    assert run.name == f"{name}-742"
    (tmp_path / "settings.yml").write_text(run.to_yaml())
    assert RunSettings.from_yaml(tmp_path / "settings.yml") == run


@pytest.mark.parametrize(
    ("name", "millions"), [("sprites", 2.8), ("cifar-cpu", 6.1), ("cifar-gpu", 29), ("stl-96-gpu", 56)]
)
def test_parameters_of_the_presets_are_what_their_table_says(name: str, millions: float) -> None:
    run = settings(preset=name)
    with torch.device("meta"):
        denoiser = Denoiser(run.denoiser, (3, 3, 3, 3))
    count = sum(parameter.numel() for parameter in denoiser.parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.05)


def test_options_take_precedence_over_the_preset() -> None:
    run = settings(
        size=32, channels=(32, 32, 64), batch_size=16, images=100, learning_rate=0.5, data=("sprites:10",), min_snr=0,
        prediction="epsilon", patch=4, attention=(), layers=3, name="mine", seed=3, checkpoint_every=7, sample_every=0,
    )  # fmt: skip
    assert (run.denoiser.size, run.data.size, run.denoiser.channels) == (32, 32, (32, 32, 64))
    assert (run.denoiser.patch, run.denoiser.attention, run.denoiser.layers) == (4, (), 3)
    assert (run.learning.batch_size, run.learning.images, run.learning.learning_rate) == (16, 100, 0.5)
    assert (run.learning.steps, run.learning.warmup) == (7, 5)  # 100 / 16 rounded up; a twentieth of the images
    assert (run.data.specs, run.noise.prediction, run.learning.min_snr) == (("sprites:10",), "epsilon", 0)
    assert settings(preset="sprites", weight_floor=0.0).learning.weight_floor == 0
    assert (run.name, run.seed, run.checkpoint_every, run.sample_every) == ("mine", 3, 7, 0)


def test_classes_are_the_presets_also_with_other_real_data_but_not_with_sprites() -> None:
    assert settings(preset="cifar-cpu", data=("npz:x.npz",)).data.classes == ("horse", "bird")
    assert settings(preset="cifar-cpu", data=("sprites",)).data.classes is None
    assert settings(preset="cifar-cpu", classes=("deer",)).data.classes == ("deer",)


def test_learning_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    # 10 steps of 10 images; the warm-up takes two of them, eight are left for the fall.
    learning = settings(images=100, batch_size=10, warmup=20, learning_rate=1.0).learning
    expected = [0.5, 1.0, *((1 + math.cos(math.pi * step / 8)) / 2 for step in range(8))]
    assert [learning.learning_rate_at(step) for step in range(10)] == pytest.approx(expected)
    assert learning.learning_rate_at(10) == pytest.approx(0)
    assert settings(images=100, batch_size=10, warmup=0, learning_rate=1.0).learning.learning_rate_at(0) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "sprite"}, "unknown preset 'sprite' (known: sprites, cifar-cpu, cifar-gpu, stl-96-gpu, smoke); "
                               "did you mean 'sprites'?"),
        ({"images": 0}, "--images must be at least 1, not 0"),
        ({"batch_size": -1}, "--batch-size must be at least 1, not -1"),
        ({"batch_size": 10**8}, "--batch-size 100000000: at most 65536"),
        ({"threads": 0}, "--threads must be at least 1, not 0"),
        ({"threads": 1000}, "--threads 1000: at most 256"),
        ({"threads": 2, "dropout": 0.1}, "--threads 2: dropout draws from one generator in one order; --threads 1"),
        ({"checkpoint_minutes": -1.0}, "--checkpoint-minutes must be 0 or more, not -1"),
        ({"checkpoint_minutes": math.nan}, "--checkpoint-minutes must be 0 or more, not nan"),
        ({"size": 0}, "--size must be at least 1"),
        ({"size": 100_000}, "--size 100000: at most 1024"),
        ({"patch": 0}, "--patch must be at least 1"),
        ({"size": 30}, "--size 30: with patch 2 and 2 resolutions the size has to be a multiple of 4"),
        ({"learning_rate": math.nan}, "--learning-rate must be a number above 0"),
        ({"learning_rate": 0.0}, "--learning-rate must be a number above 0"),
        ({"class_dropout": 1.5}, "--class-dropout goes from 0 to 1, not 1.5"),
        ({"all_dropout": -0.1}, "--all-dropout goes from 0 to 1"),
        ({"ema_decay": math.nan}, "--ema-decay goes from 0 to 1"),
        ({"weight_floor": 1.5}, "--weight-floor goes from 0 to 1, not 1.5"),
        ({"stop_at": 1.0}, "--stop-at 1 is a noise level"),
        ({"shift": -1}, "--shift must be 0 or more, not -1"),
        ({"shift": 16}, "--shift 16: images have 16 pixels"),
        ({"min_snr": -1.0}, "--min-snr must be 0 or more"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"warmup": -5}, "--warmup must be 0 or more"),
        ({"sample_every": -5}, "--sample-every must be 0 or more"),
        ({"name": "a/b"}, "--name 'a/b'"),
        ({"channels": (16, 20)}, "--channels 16 20: each has to be a multiple of 8"),
    ],
)  # fmt: skip
def test_mistakes_give_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        settings(**options)
    assert message in str(raised.value) and raised.value.status == 2


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("learning", "batch_size"), "many", "learning.batch_size cannot be 'many'"),
        (("learning", "batch_size"), -3, "--batch-size must be at least 1"),
        (("learning", "learing_rate"), 1, "unknown learning.learing_rate; did you mean 'learning_rate'"),
        (("noise", "prediction"), "x1", "noise.prediction cannot be 'x1'"),
        (("denoiser", "channels"), [16, None], "denoiser.channels[1] cannot be None"),
        (("denoiser", "patch"), 16, "multiple of 32"),
        (("data", "size"), 32, "images of 32 pixels do not fit a denoiser for 16"),
        (("vocabulary", "classes"), ["horse", "horse"], "stands for two things"),
        (("precision",), "float16", "precision cannot be 'float16'"),
        (("seed",), 0.5, "seed cannot be 0.5"),
    ],
)
def test_a_hand_edited_file_is_refused_in_one_line(
    place: tuple[str, ...], value: Any, message: str, tmp_path: Path
) -> None:
    content = yaml.safe_load(settings().to_yaml())
    inner = content
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    path = tmp_path / "settings.yml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as raised:
        RunSettings.from_yaml(path)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{path} does not hold a run's settings")


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "", "name: x\n", "!!python/object/apply:os.getcwd []\n"])
def test_other_texts_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yml").write_text(text)
    with pytest.raises(UserError):
        RunSettings.from_yaml(tmp_path / "settings.yml")


def test_a_file_from_before_a_setting_means_what_was_then(tmp_path: Path) -> None:
    content = yaml.safe_load(settings(weight_floor=0.2, shift=2, stop_at=0.3).to_yaml())
    del content["learning"]["weight_floor"], content["learning"]["shift"], content["stop_at"]
    (tmp_path / "settings.yml").write_text(yaml.safe_dump(content))
    before = RunSettings.from_yaml(tmp_path / "settings.yml")
    assert before == settings(weight_floor=0.0, shift=0, stop_at=0.0)
    assert differing(before, settings(weight_floor=0.0, stop_at=0.3)) is None


def test_a_folder_without_settings_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        RunSettings.from_yaml(tmp_path / "settings.yml")


def test_what_may_change_in_a_run_and_what_may_not() -> None:
    run = settings()
    assert differing(run, run.changed(5_000, 7, 0)) is None
    assert differing(run, dataclasses.replace(run, device="cuda", git_commit="x", versions={"torch": "0"})) is None
    changed = settings(batch_size=64, warmup=48)
    assert differing(run, changed) == "learning.batch_size = 32, not 64"
    assert differing(run, settings(prediction="epsilon")) == "noise.prediction = v, not epsilon"
    assert run.changed(None, None, None) == run
    assert run.changed(5_000, 7, 0).learning.images == 5_000
