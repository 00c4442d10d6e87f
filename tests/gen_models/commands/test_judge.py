"""The judge command from end to end, on a run with random weights and on pictures; and what bad input gets."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.classifiers import own_features
from gen_models.classifiers.classifier import Classifier, ClassifierSettings
from gen_models.classifiers.own_features import ENOUGH, accuracy_warning, made_from, own_classifier
from gen_models.commands.judge import judge
from gen_models.diffusion.samples import Samples
from gen_models.images.grids import grid
from gen_models.judging.judge import Judge
from gen_models.judging.judged_images import JudgedImages
from gen_models.judging.judging_data import JudgingData, data_of_run, data_of_spec
from gen_models.options import JudgeSettings
from gen_models.request import SampleRequest
from gen_models.training.settings import RunSettings
from tests.untrained_run import untrained_run

REQUEST = SampleRequest("horse=2,bird=1", steps=1)


@pytest.fixture(scope="module", autouse=True)
def _small_classifiers() -> Iterator[None]:
    """The classifier is to be trained, kept and found again, not to be good."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_features, "WIDTHS", (8, 16))
        patch.setattr(own_features, "EPOCHS", 2)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with random weights, on enough drawings to judge by."""
    run = untrained_run(tmp_path_factory.mktemp("runs") / "first")
    settings = RunSettings.from_yaml(run.settings)
    data = dataclasses.replace(settings.data, specs=("sprites:540",))
    run.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    return run


@pytest.fixture(scope="module")
def data(run: RunFolder) -> JudgingData:
    return data_of_run(run.path)


@pytest.fixture(scope="module")
def judged(run: RunFolder, data: JudgingData) -> Path:
    """The results for the run, beside a grid of training images, enlarged, and a folder of too few pictures."""
    peers = run.path.parent / "peers"
    peers.mkdir()
    Image.fromarray(np.asarray(grid(data.training.images[:12], 4, 3, "Somebody's winged horses"))).save(peers / "w.png")
    few = peers / "few"
    few.mkdir()
    for k in range(3):
        Image.fromarray(data.test.images[k].repeat(2, axis=0).repeat(2, axis=1)).save(few / f"{k}.png")
    judge(settings(run, what=(run.path, peers / "w.png", few)))
    return run.path / "judge" / "batch"


def settings(run: RunFolder, **options: Any) -> JudgeSettings:
    return JudgeSettings(**{"what": (run.path,), "request": REQUEST, "draw": 12, "keep": 8, "device": "cpu", **options})


def metric(judged: Path, name: str) -> dict[str, float | None]:
    content = json.loads((judged / "metrics.json").read_text())
    values: dict[str, float | None] = next(row["values"] for row in content["metrics"] if row["name"] == name)
    return values


def test_everything_is_written(judged: Path) -> None:
    assert {path.name for path in judged.iterdir()} == {
        "tiles-1.png",
        "batch.png", "batch-random.png", "best-pegasus.png", "nearest-neighbours.png", "side-by-side.png",
        "metrics.json", "metrics.md", "samples.npz", "selection.csv", "selection.json",
    }  # fmt: skip


def test_table_has_all_sets_and_real_ones_beside_them(judged: Path) -> None:
    sets = json.loads((judged / "metrics.json").read_text())["sets"]
    assert {name: one["images"] for name, one in sets.items()} == {
        "first, selected": 8, "first, unselected": 8, "w": 12, "few": 3,
        "real horse": 15, "real bird": 15, "held-out half": 30,
    }  # fmt: skip
    table = (judged / "metrics.md").read_text()
    assert "| metric | better | unit | first, selected (8) |" in table
    assert "| precision, own features | higher | share |" in table and "needs 7" in table


def test_copies_of_training_images_in_a_grid_are_memorised(judged: Path) -> None:
    found = metric(judged, "memorised (a ratio below 1/3)")
    assert found["w"] == 12 and found["few"] == 0
    assert metric(judged, "nearest training image, pixels, median")["w"] == 0
    assert metric(judged, "precision, own features")["few"] is None


def test_images_of_another_size_are_resized_with_a_note(judged: Path) -> None:
    warnings = " ".join(json.loads((judged / "metrics.json").read_text())["warnings"])
    assert "few: resized from 32 x 32 to 16 x 16 pixels, the training images' size" in warnings
    assert "w: 12 tiles of 48 pixels were cut out" in warnings
    assert "few: 3 images beside 30 others" in warnings


def test_selection_is_of_the_sampled_images_and_can_be_made_again(run: RunFolder, judged: Path) -> None:
    samples = Samples.load(judged / "samples.npz")
    assert samples.images.shape == (12, 16, 16, 3)
    rows = list(csv.DictReader((judged / "selection.csv").open()))
    kept = sorted((int(row["kept"]), int(row["image"])) for row in rows if row["kept"])
    selection = json.loads((judged / "selection.json").read_text())
    assert selection["kept"] == [image for _, image in kept]
    assert selection["best"] == selection["kept"][0] and selection["drawn"] == 12
    judge(settings(run, samples=judged / "samples.npz", name="again"))
    again = run.path / "judge" / "again"
    assert (again / "selection.csv").read_bytes() == (judged / "selection.csv").read_bytes()
    assert (again / "batch.png").read_bytes() == (judged / "batch.png").read_bytes()


def test_classifier_is_kept_by_its_images(run: RunFolder, judged: Path, data: JudgingData) -> None:
    place = run.path / "judge" / "classifier" / made_from(data.learning)
    before = (place / "classifier.safetensors").stat().st_mtime_ns
    kept = own_classifier(data.learning, data.test, place.parent)
    assert (place / "classifier.safetensors").stat().st_mtime_ns == before
    assert kept.settings.test_accuracy == kept.accuracy(data.test.images, data.test.classes)
    assert made_from(data.learning.take(np.arange(100))) != made_from(data.learning)
    kept.settings = dataclasses.replace(kept.settings, test_accuracy=(ENOUGH - 0.1,))
    assert "right on 75.0 % of its test images, below 85 %" in str(accuracy_warning(kept))
    kept.settings = dataclasses.replace(kept.settings, test_accuracy=(ENOUGH,))
    assert accuracy_warning(kept) is None


def test_reference_and_held_out_half_share_no_image(data: JudgingData) -> None:
    reference, held_out = data.reference(data.classes), data.held_out(data.classes, 1000)
    assert sorted([*reference, *held_out]) == list(range(len(data.test)))
    first = data.held_out(data.classes, 10)
    assert np.bincount(data.test.classes[first]).tolist() == [5, 5]


def test_real_images_that_were_trained_on_are_not_their_own_neighbours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(40):
        place = tmp_path / "horses" / ("horse", "bird")[k % 2] / f"{k}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(place)
    data = data_of_spec(f"folder:{tmp_path / 'horses'}", 16, tmp_path)
    evaluator = Judge(data, Classifier(ClassifierSettings(data.test.class_names, False, (8,), 16)))
    columns = evaluator.real_columns(0)
    assert all(column.measured.pixel_neighbours.distances.min() > 0.1 for column in columns)
    assert all("was trained on, too" in column.notes[0] for column in columns)
    copies = evaluator.measure(JudgedImages("copies", data.test.images))
    assert copies.pixel_neighbours.distances[:, 0].tolist() == [0.0] * len(data.test)


def test_bad_input_gets_one_line(run: RunFolder, data: JudgingData, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    bare = tmp_path / "bare"
    shutil.copytree(run.path, bare, ignore=shutil.ignore_patterns("checkpoints", "judge"))
    Image.fromarray(data.test.images[0][:13]).save(tmp_path / "odd.png")
    cases: dict[str, dict[str, Any]] = {
        "checkpoint": {"what": (bare,)},
        "there is no .*nothing": {"what": (tmp_path / "nothing",), "training": str(run.path)},
        "there is no .*gone": {"what": (tmp_path / "gone",)},  # rather than what to compare with
        "--draw 1000000000: at most 1000000": {"draw": 10**9},
        "cannot read .*text.png as a picture": {"what": (tmp_path / "text.png",), "training": str(run.path)},
        "holds no pictures": {"what": (tmp_path / "empty",), "training": str(run.path)},
        "cannot be cut into equal square tiles": {"what": (tmp_path / "odd.png",), "training": str(run.path)},
        "say what to compare with": {"what": (tmp_path / "odd.png",)},
        "name a run folder": {"what": ()},
        "--keep 13 of --draw 12": {"keep": 13},
        "unknown condition 'hrse'": {"request": SampleRequest("hrse=1")},
        "cannot read .*absent.npz: No such file": {"samples": tmp_path / "absent.npz"},
        "two runs are called bare": {"what": (bare, shutil.copytree(bare, tmp_path / "b" / "bare"))},
        "takes exactly one run": {"what": (tmp_path / "odd.png",), "samples": tmp_path / "samples.npz"},
        "classifier and is not|classifier exists": {"name": "classifier"},
        "unknown images 'sprits'": {"what": (tmp_path / "odd.png",), "training": "sprits"},
    }
    for message, options in cases.items():
        with pytest.raises(UserError, match=message):
            judge(settings(run, **options))
