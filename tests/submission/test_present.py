"""What an edition wants to see of a model: files, numbers of picked images, bonus table, and bad input."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.records import plain
from gen_models.adversarial.settings import AdversarialSettings
from gen_models.classifiers import own_features
from gen_models.diffusion.samples import Samples
from gen_models.request import SampleRequest
from submission import present as presenting
from submission.bundle import part_of
from submission.options import PresentSettings
from submission.paper.images import images_draft
from submission.present import present
from tests.untrained_run import untrained_adversarial_run, untrained_run

NAMES = ["bonus.md", "cherry-picked.png", "drawn.png", "interpolations.png", "samples.npz", "samples.png"]


def settings(run: Path, **options: Any) -> PresentSettings:
    return PresentSettings(run, **{"draw": 66, "pick": (3, 65), "device": "cpu", **options})


def test_a_dcgan_is_presented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = untrained_adversarial_run(tmp_path / "rival").path
    present(settings(run))
    folder = run / "edition-2021"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert len(Samples.load(folder / "samples.npz").images) == 66
    table = (folder / "bonus.md").read_text()
    assert "| Use any adversarial training (e.g. GAN) method | -4 | yes | rival: a DCGAN" in table
    printed = capsys.readouterr().out
    assert "bonus: total -4" in printed
    assert "part1-model-paper.pdf" not in printed
    with pytest.raises(UserError, match="is a DCGAN, which is for comparison and is not submitted"):
        part_of(run)


def test_the_batch_is_the_first_64_and_the_picked_are_those_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = untrained_adversarial_run(tmp_path / "rival").path
    shown: dict[str, np.ndarray[Any, Any]] = {}
    monkeypatch.setattr(presenting, "save_batch", lambda images, path, caption: shown.update({path.name: images}))
    present(settings(run))
    images = Samples.load(run / "edition-2021" / "samples.npz").images
    assert np.array_equal(shown["samples.png"], images[:64])
    assert np.array_equal(shown["cherry-picked.png"], images[[3, 65]])


def test_examples_are_picked_by_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_features, "WIDTHS", (8, 16))
    monkeypatch.setattr(own_features, "EPOCHS", 1)
    folder = untrained_adversarial_run(tmp_path / "rival")
    kept = AdversarialSettings.from_yaml(folder.settings)
    data = dataclasses.replace(kept.data, specs=("sprites:540",))
    folder.settings.write_text(dataclasses.replace(kept, data=data).to_yaml())
    present(settings(folder.path, pick=(), keep=8))
    with Image.open(folder.path / "edition-2021" / "cherry-picked.png") as picture:
        assert picture.width > 8 * 96
    assert (folder.path / "judge" / "classifier").is_dir()


def test_a_denoiser_is_presented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(presenting, "DDIM_STEPS", 1)
    run = untrained_run(tmp_path / "ours").path
    monkeypatch.setattr(presenting, "SampleRequest", functools.partial(SampleRequest, steps=1))
    present(settings(run, weights="horse=2", name="shown", draw=64, pick=(0,), batch_size=64))
    assert sorted(path.name for path in (run / "shown").iterdir()) == NAMES
    assert f"part1-model-paper.pdf: python -m submission paper {run} --edition 2021" in capsys.readouterr().out


def test_the_paper_of_2021_takes_what_was_presented(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "ours").path
    judged, folder = run / "judge" / "batch", run / "edition-2021"
    judged.mkdir(parents=True)
    folder.mkdir()
    (judged / "selection.json").write_text(json.dumps({"request": plain(SampleRequest("horse=2"))}))
    (judged / "metrics.json").write_text(json.dumps({"sets": {}, "metrics": []}))
    names = ("samples.png", "cherry-picked.png", "interpolations.png")
    for name in names:
        (folder / name).write_bytes(name.encode())
    draft = images_draft(run, judged, interpolations=True)
    assert {name: draft.figures[name] for name in names} == {name: name.encode() for name in names}
    assert "batch.png" not in draft.figures and all(name in draft.results for name in names)
    assert draft.own["title.tex"] == "A diffusion model of images of horse and bird\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edition": 2020}, "wants a selected batch: run_pegasus.py judge"),
        ({"edition": 1999}, "--edition 1999: there are 2020 and 2021"),
        ({"draw": 10}, "--draw 10: at least 64"),
        ({"pick": (66,)}, "--pick 66: the images have the numbers 0 to 65"),
        ({"pick": (1, 1)}, "--pick names an image twice"),
        ({"keep": 0}, "--keep 0 of --draw 66"),
        ({"name": "../x"}, "use letters, digits"),
        ({"weights": "horse=1"}, "this DCGAN knows no conditions"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    run = untrained_adversarial_run(tmp_path / "rival").path
    with pytest.raises(UserError) as raised:
        present(settings(run, **options))
    assert message in str(raised.value)
    assert sorted(path.name for path in run.iterdir()) == ["checkpoints", "settings.yml"]
