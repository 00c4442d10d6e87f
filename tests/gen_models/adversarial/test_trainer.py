"""A DCGAN's training: against a loop written from the papers, killed and resumed, and one that is broken on purpose."""

from __future__ import annotations

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
from gen_models.adversarial import trainer as trainers
from gen_models.adversarial.run_sampler import load_adversarial_sampler
from gen_models.adversarial.settings import AdversarialSettings, resolve_adversarial
from gen_models.adversarial.state import DISCRIMINATOR, GENERATOR, OPTIMIZERS, load_generator
from gen_models.adversarial.trainer import build_networks
from gen_models.commands.train import resume, train
from gen_models.images.image_set import to_model_space
from gen_models.options import ResumeSettings, TrainSettings
from gen_models.request import SampleRequest
from gen_models.training.data import BATCH, LATENTS, Batches, labels_of, load_training_images, seed_of
from gen_models.training.settings import RunSettings


def train_settings(folder: Path, name: str, **changes: Any) -> TrainSettings:
    """A training of a second: 24 steps of 4 images."""
    return TrainSettings(
        **{
            "model": "dcgan",
            "conditional": True,
            "preset": "smoke",
            "data": ("sprites:20",),
            "batch_size": 4,
            "images": 96,
            "checkpoint_every": 36,
            "sample_every": 0,
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


def losses(run: RunFolder) -> list[list[str]]:
    """The lines of loss.csv without the rate, which depends on the clock."""
    return [line.split(",")[:-1] for line in (run.path / "loss.csv").read_text().splitlines()]


def test_a_training_is_what_the_papers_say(whole: RunFolder) -> None:
    settings = AdversarialSettings.from_yaml(whole.settings)
    images = load_training_images(settings.data)
    labels = labels_of(images, settings.vocabulary)
    batches = Batches(images, labels, settings.vocabulary, settings.learning, 742)
    generator, discriminator = build_networks(settings)
    ours, theirs = (torch.optim.Adam(one.parameters(), 2e-4, (0.5, 0.999)) for one in (generator, discriminator))
    generators, reals, fakes = [], [], []
    for step in range(24):
        indices = batches.indices(step)
        mirrored = torch.rand(4, generator=torch.Generator().manual_seed(seed_of(742, BATCH, step))) < 0.5
        x = to_model_space(images.images[indices], "cpu")
        x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        shares = F.one_hot(batches.at(step).labels[:, 0], 3).float()
        z = torch.randn((4, 100), generator=torch.Generator().manual_seed(seed_of(742, LATENTS, step)))
        made = generator(z, shares)
        real = -torch.sigmoid(discriminator(x, shares)).log().mean()
        fake = -(1 - torch.sigmoid(discriminator(made.detach(), shares))).log().mean()
        theirs.zero_grad()
        (real + fake).backward()
        theirs.step()
        loss = -torch.sigmoid(discriminator(made, shares)).log().mean()
        ours.zero_grad()
        loss.backward()
        ours.step()
        generators.append(loss.item())
        reals.append(real.item())
        fakes.append(fake.item())
    # Adam makes whole steps of rounding errors, so that later windows drift apart a little.
    for line, window, rel in zip(
        losses(whole)[1:], (slice(0, 10), slice(10, 20), slice(20, 24)), (1e-3, 0.05, 0.1), strict=True
    ):
        expected = [np.mean(values[window]) for values in (generators, reals, fakes)]
        assert [float(value) for value in line[1:4]] == pytest.approx(expected, rel=rel)
    learnt, start = load_generator(whole)[0].state_dict(), build_networks(settings)[0].state_dict()
    apart, moved = (
        sum(
            (other[name].float() - value.float()).square().sum().item()
            for name, value in generator.state_dict().items()
        )
        for other in (learnt, start)
    )
    assert apart < 0.01 * moved


def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(whole: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "cut")
    shutil.copytree(whole.path, copy.path)
    names = sorted(path.name for path in copy.checkpoints.iterdir())
    assert names == ["step-000000036", "step-000000072", "step-000000096"]
    for later in names[1:]:
        shutil.rmtree(copy.checkpoints / later)
    resume(ResumeSettings(copy.path))
    for file in (GENERATOR, DISCRIMINATOR, OPTIMIZERS):
        last = "checkpoints/step-000000096"
        assert (copy.path / last / file).read_bytes() == (whole.path / last / file).read_bytes(), file
    assert losses(copy) == losses(whole)


def test_pictures_of_samples_change_nothing_in_the_training(whole: RunFolder, tmp_path: Path) -> None:
    run = trained(tmp_path, "whole", sample_every=48)
    pictures = sorted((run.path / "samples").iterdir())
    assert [path.name for path in pictures] == ["samples-000000048.png", "samples-000000096.png"]
    assert np.asarray(Image.open(pictures[0])).shape[0] > 3 * 64  # without a condition, horses, birds
    last = f"checkpoints/step-000000096/{GENERATOR}"
    assert (run.path / last).read_bytes() == (whole.path / last).read_bytes()


def test_a_generator_that_is_never_updated_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = trainers.AdversarialTrainer._teach_generator

    def broken(self: trainers.AdversarialTrainer, fakes: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        # The homework's mistake: the images lose their graph, and no gradient reaches the generator.
        return plain(self, fakes.detach().requires_grad_(), shares)

    trained(tmp_path, "sound")
    assert "warning" not in capsys.readouterr().err
    monkeypatch.setattr(trainers.AdversarialTrainer, "_teach_generator", broken)
    run = trained(tmp_path, "broken")
    warning = "warning: after 40 images the generator is not updated: its weights do not change"
    assert capsys.readouterr().err.count(warning) == 1
    assert [line[4] for line in losses(run)[1:]] == ["0", "0", "0"]
    assert all(float(line[5]) > 0 for line in losses(run)[1:])


def test_a_request_says_all_that_decides_an_image(whole: RunFolder) -> None:
    sampler = load_adversarial_sampler(whole.path, None, 4, "cpu")
    request = SampleRequest("horse=2,bird=1", seed=3)
    images = sampler.sample(request, range(6)).images
    assert images.shape == (6, 16, 16, 3) and images.std() > 0
    assert np.array_equal(sampler.sample(request, [4, 1]).images, images[[4, 1]])
    assert not np.array_equal(sampler.sample(SampleRequest("bird=1", seed=3), range(6)).images, images)
    assert sampler.understood(SampleRequest("horse=2,spread=3.5,bird=-1", steps=7, seed=3)) == SampleRequest(
        "horse=2", seed=3
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (SampleRequest("horse=1", steps=50), "--steps: a DCGAN makes an image in one pass"),
        (SampleRequest("horse=1,bird=1", compose="mix"), "--compose: a DCGAN makes an image in one pass"),
        (SampleRequest("horse=-1"), "weights are shares of the classes, above 0"),
        (SampleRequest("spread=1"), "unknown condition 'spread' (known: horse, bird)"),
    ],
)
def test_what_cannot_be_asked_for_gets_one_line(whole: RunFolder, request_: SampleRequest, message: str) -> None:
    with pytest.raises(UserError) as raised:
        load_adversarial_sampler(whole.path, None, 4, "cpu").sample(request_, [0])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 40}, "--size 40: a DCGAN makes images of 16, 32, 48, 64, 96 pixels"),
        ({"patch": 2}, "--patch is an option of the denoiser; --model dcgan has none"),
        ({"ema_decay": 0.9}, "--ema-decay is an option of the denoiser"),
        ({"precision": "bfloat16"}, "--model dcgan computes in float32"),
        ({"batch_size": 1}, "batch norm needs two images at least"),
        ({"learning_rate": -1.0}, "--learning-rate must be a number above 0"),
        ({"preset": "smok"}, "did you mean 'smoke'"),
    ],
)
def test_bad_options_get_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        train(train_settings(tmp_path, "bad", **changes))
    assert message in str(raised.value) and not (tmp_path / "pegasus").exists()


def test_only_one_process_trains(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trains in one process, not 2"):
        resolve_adversarial(train_settings(tmp_path, "two")).check_processes(2)


def test_a_run_is_not_taken_for_one_of_the_diffusion_model(whole: RunFolder) -> None:
    with pytest.raises(UserError, match="was trained with --model dcgan; this takes a run of the diffusion model"):
        RunSettings.from_yaml(whole.settings)
