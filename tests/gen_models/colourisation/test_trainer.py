"""A colouriser's training: against a loop written from the paper, killed and resumed, without its parts, bad input."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.colourisation.colouring import to_lab
from gen_models.colourisation.options import ColouriseTrainSettings
from gen_models.colourisation.settings import ColourisationSettings, resolve_colouriser
from gen_models.colourisation.state import NETWORK, OPTIMIZER, load_colouriser
from gen_models.colourisation.trainer import build_colouriser, train
from gen_models.commands.sample import sample
from gen_models.commands.train import resume
from gen_models.options import ResumeSettings, SampleSettings
from gen_models.training.data import Batches, labels_of, load_training_images


def train_settings(folder: Path, name: str, **changes: Any) -> ColouriseTrainSettings:
    """A training of a second: 12 steps of 4 images."""
    return ColouriseTrainSettings(
        **{
            "preset": "smoke",
            "data": ("sprites:20",),
            "batch_size": 4,
            "images": 48,
            "checkpoint_every": 20,
            "sample_every": 0,
            "flips": False,
            "device": "cpu",
            "threads": 1,
            "runs": folder,
            "name": name,
            **changes,
        }
    )


def trained(folder: Path, name: str, **changes: Any) -> RunFolder:
    train(train_settings(folder, name, **changes))
    return RunFolder(folder / "pegasus" / name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("runs"), "whole")


def loss_lines(run: RunFolder) -> list[list[str]]:
    """The lines of loss.csv without the rate, which depends on the clock."""
    return [line.split(",")[:-1] for line in (run.path / "loss.csv").read_text().splitlines()]


@pytest.mark.parametrize("weight", [1 / 300, 0.0])
def test_a_training_is_what_the_paper_says(tmp_path: Path, weight: float) -> None:
    run = trained(tmp_path, "short", class_weight=weight, images=8)
    settings = ColourisationSettings.from_yaml(run.settings)
    images = load_training_images(settings.data)
    labels = labels_of(images, settings.vocabulary)
    batches = Batches(images, labels, settings.vocabulary, settings.learning, settings.seed)
    network, first = build_colouriser(settings), build_colouriser(settings)
    optimizer = torch.optim.Adadelta(network.parameters())
    errors, entropies = [], []
    for step in range(2):
        indices = batches.indices(step)
        lab = to_lab(images.images[indices])
        chroma, logits = network(lab[:, :1])
        error = ((chroma - (lab[:, 1:] + 110) / 220) ** 2).mean()
        assert logits is not None
        entropy = F.cross_entropy(logits, labels[torch.from_numpy(indices), 0] - 1)
        optimizer.zero_grad()
        (error + weight * entropy).backward()
        optimizer.step()
        errors.append(error.item())
        entropies.append(entropy.item())
    (line,) = loss_lines(run)[1:]
    assert float(line[2]) == pytest.approx(np.mean(errors), rel=1e-3)
    assert float(line[3]) == pytest.approx(np.mean(entropies) if weight else 0.0, rel=1e-3)
    learnt = load_colouriser(run)[0].state_dict()
    apart, moved = (
        sum((other[name].float() - value.float()).square().sum().item() for name, value in network.state_dict().items())
        for other in (learnt, first.state_dict())
    )
    assert apart < 0.01 * moved


def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(whole: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "cut")
    shutil.copytree(whole.path, copy.path)
    names = sorted(path.name for path in copy.checkpoints.iterdir())
    assert names == ["step-000000020", "step-000000040", "step-000000048"]
    for later in names[1:]:
        shutil.rmtree(copy.checkpoints / later)
    resume(ResumeSettings(copy.path))
    for file in (NETWORK, OPTIMIZER):
        last = f"checkpoints/step-000000048/{file}"
        assert (copy.path / last).read_bytes() == (whole.path / last).read_bytes(), file
    assert loss_lines(copy) == loss_lines(whole)


def test_pictures_of_samples_change_nothing_in_the_training(whole: RunFolder, tmp_path: Path) -> None:
    run = trained(tmp_path, "whole", sample_every=24)
    pictures = sorted((run.path / "samples").iterdir())
    assert [path.name for path in pictures] == ["samples-000000024.png", "samples-000000048.png"]
    assert np.asarray(Image.open(pictures[0])).shape[0] > 3 * 64  # originals, grey, coloured
    last = f"checkpoints/step-000000048/{NETWORK}"
    assert (run.path / last).read_bytes() == (whole.path / last).read_bytes()


def test_a_run_without_global_features_resumes(tmp_path: Path) -> None:
    run = trained(tmp_path, "local", global_features=False)
    network, settings = load_colouriser(run)
    assert not settings.classifies and not hasattr(network, "whole")
    with pytest.raises(UserError, match="the run has"):
        train(train_settings(tmp_path, "local", resume_if_exists=True))
    train(train_settings(tmp_path, "local", global_features=False, images=56, resume_if_exists=True))
    assert (run.checkpoints / "step-000000056").exists()


def test_pictures_without_classes(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "album" / f"{number}.png")
    options = {"data": (f"folder:{tmp_path / 'album'}",), "unlabeled": True}
    with pytest.raises(UserError, match=r"needs images of two classes at least; give others, or --class-weight 0$"):
        trained(tmp_path, "classes", **options)
    assert not (tmp_path / "pegasus").exists()
    run = trained(tmp_path, "none", class_weight=0.0, images=8, **options)
    assert {line[3] for line in loss_lines(run)[1:]} == {"0"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "smal"}, "unknown preset 'smal' .*did you mean 'small'"),
        ({"size": 48}, "--size 48: a multiple of 32"),
        ({"width": 3}, "--width 3: an even number"),
        ({"class_weight": -1.0}, "--class-weight must be 0 or more"),
        ({"class_weight": float("nan")}, "--class-weight must be 0 or more"),
        ({"batch_size": 1}, "--batch-size 1: batch norm needs two"),
        ({"learning_rate": 0.0}, "--learning-rate must be a number above 0"),
        ({"precision": "bfloat16"}, "--precision bfloat16: colourise computes in float32"),
    ],
)
def test_bad_settings(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_colouriser(train_settings(tmp_path, "bad", **options))


def test_other_commands_name_those_that_take_the_run(whole: RunFolder) -> None:
    with pytest.raises(UserError, match=re.escape("was trained with colourise train; give it to colourise apply")):
        sample(SampleSettings(whole.path))
