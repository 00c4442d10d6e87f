"""The commands that read runs, on a DCGAN: sample, figures, judge beside a denoiser, and those that refuse."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.adversarial.loss_log import AdversarialLog
from gen_models.adversarial.run_sampler import load_adversarial_sampler
from gen_models.adversarial.settings import AdversarialSettings
from gen_models.classifiers import own_features
from gen_models.commands.export import export
from gen_models.commands.figures import figures
from gen_models.commands.judge import judge
from gen_models.commands.sample import sample
from gen_models.diffusion.samples import Samples
from gen_models.figures.adversarial_figures import interpolate_latents
from gen_models.options import ExportSettings, FiguresSettings, JudgeSettings, SampleSettings
from gen_models.request import SampleRequest
from gen_models.training.settings import RunSettings
from tests.untrained_run import untrained_adversarial_run, untrained_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """The run of a conditional DCGAN."""
    return untrained_adversarial_run(tmp_path / "rival", conditional=True)


def test_samples_can_be_made_again(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    sample(SampleSettings(run.path, SampleRequest("horse=1", seed=4), n=5, name="horses", device="cpu"))
    file = run.path / "samples" / "horses" / "samples.npz"
    kept = Samples.load(file)
    assert kept.images.shape == (5, 16, 16, 3) and kept.origin.model == "dcgan" and not kept.origin.averaged
    assert kept.caption() == "DCGAN: horse=1, seed 4; rival step-000060000"
    sample(SampleSettings(run.path, again=file, device="cpu"))
    assert "all 5 images are the same, bit for bit" in capsys.readouterr().out


def test_figures(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (run.path / "loss.csv").write_text(AdversarialLog.first_line + "320,1.5,0.5,0.4,0.001,0.001,99.0\n")
    figures(FiguresSettings(run.path, device="cpu"))
    names = sorted(path.name for path in (run.path / "figures" / "paper").iterdir())
    assert names == ["interpolations.png", "loss.pdf", "loss.png"]
    assert "no sample-progress.png" in capsys.readouterr().out


def test_the_ends_of_an_interpolation_are_the_samples(run: RunFolder) -> None:
    sampler = load_adversarial_sampler(run.path, None, 4, "cpu")
    request, last = SampleRequest("horse=1", seed=2), SampleRequest("bird=1", seed=2)
    (row,) = interpolate_latents(sampler, request, [(0, 1)], ["bird=1"], frames=4)
    assert np.array_equal(row.images[0], sampler.sample(request, [0]).images[0])
    assert np.array_equal(row.images[-1], sampler.sample(last, [1]).images[0])
    assert not np.array_equal(row.images[1], row.images[0])


def test_judged_beside_a_denoiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_features, "WIDTHS", (8, 16))
    monkeypatch.setattr(own_features, "EPOCHS", 1)
    ours, rival = untrained_run(tmp_path / "ours"), untrained_adversarial_run(tmp_path / "rival", conditional=True)
    for folder, kind in ((ours, RunSettings), (rival, AdversarialSettings)):
        settings = kind.from_yaml(folder.settings)
        data = dataclasses.replace(settings.data, specs=("sprites:540",))
        folder.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    request = SampleRequest("horse=2,spread=3.5", steps=1)
    judge(JudgeSettings((ours.path, rival.path), request, draw=10, keep=8, device="cpu"))
    content = json.loads((ours.path / "judge" / "batch" / "metrics.json").read_text())
    assert {"ours, unselected", "rival, selected", "rival, unselected"} <= set(content["sets"])
    assert "a DCGAN, sampled with horse=2" in " ".join(content["warnings"])
    kept = Samples.load(ours.path / "judge" / "batch" / "rival" / "samples.npz")
    assert kept.request == SampleRequest("horse=2") and kept.origin.model == "dcgan"


def test_what_a_dcgan_has_not_is_said_in_one_line(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was trained with --model dcgan; this takes a run of the diffusion model"):
        export(ExportSettings(run.path, tmp_path / "exported"))
    plain = untrained_adversarial_run(tmp_path / "plain")
    with pytest.raises(UserError, match="this DCGAN knows no conditions; leave them out, or train it --conditional"):
        sample(SampleSettings(plain.path, SampleRequest("horse=1"), device="cpu"))
