"""Training against a loop written from the papers, and what a training says when it cannot go on.

Credits: Ho et al. 2020 (arXiv 2006.11239), Salimans and Ho 2022 (arXiv 2202.00512), Hang et al. 2023 (arXiv
2303.09556).
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.device import memory_errors, resolve_precision
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.classifiers.hand_labels import HandLabel, read_labels
from gen_models.images.image_set import ImageSet
from gen_models.options import ResumeSettings, TrainSettings
from gen_models.training import data
from gen_models.training.data import Batches, labels_of, load_training_images
from gen_models.training.denoiser_trainer import DenoiserTrainer, build_denoiser
from gen_models.training.loop import resume, train
from gen_models.training.settings import RunSettings, resolve
from gen_models.training.state import load_denoiser


def train_settings(folder: Path, name: str, **changes: Any) -> TrainSettings:
    """A training of a second: 12 steps of 4 images."""
    return TrainSettings(
        **{
            "preset": "smoke",
            "data": ("sprites:20",),
            "channels": (8, 32),
            "batch_size": 4,
            "images": 48,
            "checkpoint_every": 20,
            "sample_every": 0,
            "precision": "float32",
            "device": "cpu",
            "runs": folder,
            "name": name,
            **changes,
        }
    )


def trained(folder: Path, name: str, **changes: Any) -> RunFolder:
    train(train_settings(folder, name, **changes))
    return RunFolder(folder / "pegasus" / name)


def last_weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return dict(load_denoiser(run, ema=False)[0].state_dict())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run without pictures of samples."""
    return trained(tmp_path_factory.mktemp("runs"), "plain")


def test_a_training_is_what_the_papers_say(plain: RunFolder) -> None:
    settings = RunSettings.from_yaml(plain.settings)
    images = load_training_images(settings.data)
    batches = Batches(images, labels_of(images, settings.vocabulary), settings.vocabulary, settings.learning, 742)
    denoiser = build_denoiser(settings)
    optimizer = torch.optim.AdamW(denoiser.parameters(), weight_decay=0.01)
    # Nichol and Dhariwal's cosine: alpha_t^2 by products of 1 - beta, beta at most 0.999.
    squares = torch.cos((torch.arange(1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2
    remaining = torch.cumprod((squares[1:] / squares[:-1]).clamp(min=0.001), 0)
    for step in range(12):
        batch = batches.at(step)
        alpha, sigma = (level.sqrt().float()[batch.t][:, None, None, None] for level in (remaining, 1 - remaining))
        v = denoiser(alpha * batch.x + sigma * batch.eps, batch.t, batch.labels)
        snr = (alpha / sigma).square().flatten()
        errors = (v - (alpha * batch.eps - sigma * batch.x)).square().mean(dim=(1, 2, 3))
        optimizer.zero_grad()
        (snr.clamp(max=5.0) / (snr + 1) * errors).mean().backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning.learning_rate_at(step)
        optimizer.step()
    weights = last_weights(plain)
    start = build_denoiser(settings).state_dict()
    for name, expected in denoiser.state_dict().items():
        torch.testing.assert_close(weights[name], expected, rtol=0, atol=1e-4, msg=name)
    moved = max((expected - start[name]).abs().max().item() for name, expected in denoiser.state_dict().items())
    assert moved > 0.003


def test_pictures_of_samples_change_nothing_in_the_training(
    plain: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gen_models.training.preview.STEPS", 3)
    run = trained(tmp_path, "plain", sample_every=24)
    assert sorted(path.name for path in (run.path / "samples").iterdir()) == [
        "samples-000000024.png", "samples-000000048.png",
    ]  # fmt: skip
    picture = np.asarray(Image.open(run.path / "samples/samples-000000024.png"))
    assert picture.std() > 10
    for name, expected in last_weights(plain).items():
        assert last_weights(run)[name].equal(expected)


def test_the_pictures_at_the_end_are_drawn_also_by_a_process_that_finds_nothing_left_to_do(
    plain: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gen_models.training.preview.STEPS", 3)
    copy = tmp_path / "copy"
    shutil.copytree(plain.path, copy)
    resume(ResumeSettings(copy, sample_every=24))
    assert [path.name for path in (copy / "samples").iterdir()] == ["samples-000000048.png"]


def test_a_run_goes_on_to_more_images(plain: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "pegasus" / "plain"
    shutil.copytree(plain.path, copy)
    train(train_settings(tmp_path, "plain", images=80, checkpoint_every=1_000, resume_if_exists=True))
    assert f"resuming {copy} at step-000000048" in capsys.readouterr().out
    settings = RunSettings.from_yaml(copy / "settings.yml")
    assert (settings.learning.images, settings.checkpoint_every) == (80, 1_000)
    assert (copy / "checkpoints/step-000000080").is_dir()
    lines = (copy / "loss.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["40", "48", "80"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.5}, "learning.learning_rate = 0.001, not 0.5"),
        ({"seed": 1}, "seed = 742, not 1"),
        ({"attributes": False}, "data.attributes = True, not False"),
        ({"channels": (16, 32)}, "denoiser.channels = [8, 32], not [16, 32]"),
    ],
)
def test_a_changed_setting_is_refused_by_name(plain: RunFolder, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        train(train_settings(plain.path.parent.parent, "plain", resume_if_exists=True, **changes))
    assert message in str(raised.value) and raised.value.status == 2


def test_a_run_is_never_overwritten(plain: RunFolder) -> None:
    with pytest.raises(UserError, match=r"never overwritten; go on with: resume .*pegasus/plain"):
        train(train_settings(plain.path.parent.parent, "plain"))


def test_what_is_known_of_real_images_stays_with_the_run(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(60, 90, (40, 16, 16, 3), dtype=np.uint8)
    images[::2, 4:12, 4:12] = 250  # half of each class is white
    classes = np.array(["airplane", "bird", "horse"])
    np.savez(tmp_path / "small.npz", images=images, labels=np.arange(40) // 2 % 3, class_names=classes)
    changes = {"data": (f"npz:{tmp_path}/small.npz",), "classes": ("horse", "bird"), "downloads": tmp_path / "data"}
    run = trained(tmp_path, "real", **changes)
    settings = RunSettings.from_yaml(run.settings)
    assert settings.vocabulary.classes == ("horse", "bird") and "white" in settings.vocabulary.attributes
    table = tmp_path / "data/attributes/small-train-16/attributes.csv"
    assert table.read_bytes() == (run.path / "attributes.csv").read_bytes()
    assert len(table.read_text().splitlines()) == 41
    shutil.rmtree(tmp_path / "data")
    resume(ResumeSettings(run.path, images=60))
    assert (run.checkpoints / "step-000000060").is_dir()


def write_labels(folder: Path, spread: int) -> Path:
    """Labels of the first 20 drawings, of which the first ones have spread wings."""
    path = folder / "labels.csv"
    rows = [f"{index},{'yes' if index < spread else 'no'}" for index in range(20)]
    path.write_text("\n".join(["index,spread", *rows]) + "\n")
    return path


def test_labels_by_hand_and_their_oversampling_stay_with_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"labels": (str(write_labels(tmp_path, 3)),), "oversample": "spread=8"}
    reads: list[Sequence[str]] = []

    def counted(specs: Sequence[str]) -> list[HandLabel]:
        reads.append(specs)
        return read_labels(specs)

    monkeypatch.setattr("gen_models.training.data.read_labels", counted)
    run = trained(tmp_path, "labelled", **changes)
    assert len(reads) == 1
    output = capsys.readouterr().out
    assert output.startswith("loading the images: sprites")  # before the seconds that it takes
    assert "labelled by hand: spread, 3 yes, 17 no\n" in output
    assert "oversampled: spread, 3 images, 8 times each: 58.5 % of an epoch instead of 15.0 %\n" in output  # 24 of 41
    settings = RunSettings.from_yaml(run.settings)
    assert (settings.data.labels, settings.data.oversample) == (changes["labels"], "spread=8")
    assert len(settings.data.labels_digest) == 64
    images = load_training_images(settings.data, run.path)
    assert images.attributes["spread"].tolist() == [1] * 3 + [0] * 17

    with pytest.raises(UserError, match=r"data.oversample = spread=8, not spread=4; give the setting it began with"):
        train(train_settings(tmp_path, "labelled", resume_if_exists=True, **{**changes, "oversample": "spread=4"}))
    path = write_labels(tmp_path, 4)
    with pytest.raises(
        UserError, match=r"labels.csv are not those that the run began with, kept in .*; give those, or"
    ):
        train(train_settings(tmp_path, "labelled", resume_if_exists=True, **changes))
    capsys.readouterr()
    resume(ResumeSettings(run.path, images=60))
    assert "labels.csv; it goes on with the kept ones\n" in capsys.readouterr().out
    path.unlink()
    resume(ResumeSettings(run.path, images=80))
    assert (run.checkpoints / "step-000000080").is_dir()

    kept = run.path / "labels.csv"
    kept.write_text(kept.read_text().replace("yes", "no", 1))
    with pytest.raises(UserError, match=r"data.labels_digest = \w+, not \w+"):
        resume(ResumeSettings(run.path, images=100))


def test_labels_by_hand_without_attributes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--labels gives attributes by hand, which --no-attributes leaves out"):
        trained(tmp_path, "none", labels=(str(write_labels(tmp_path, 3)),), attributes=False)


def test_a_loss_that_is_no_number_stops_the_run_and_names_step_and_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path, "wild", images=20, warmup=20)
    path = tmp_path / "pegasus/wild"
    # The second half of the run has a learning rate at which the weights overflow.
    settings = RunSettings.from_yaml(path / "settings.yml")
    learning = dataclasses.replace(settings.learning, learning_rate=1e30, images=100)
    (path / "settings.yml").write_text(dataclasses.replace(settings, learning=learning).to_yaml())
    with pytest.raises(UserError) as raised:
        resume(ResumeSettings(path))
    assert raised.value.status == 1
    message = (
        f"is not finite at step 7; the last good checkpoint is {path}/checkpoints/step-000000020; train again with a"
    )
    assert message in str(raised.value)
    assert [checkpoint.name for checkpoint in (path / "checkpoints").iterdir()] == ["step-000000020"]


def test_a_lack_of_memory_names_the_batch_size_to_try(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="try --batch-size 4") as raised, memory_errors(8):
        torch.empty(10**16)
    assert raised.value.status == 1
    with pytest.raises(RuntimeError, match="shape"), memory_errors(8):
        torch.ones(2).view(3)


def test_a_run_that_finds_no_memory_at_its_beginning_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(self: DenoiserTrainer) -> None:
        torch.empty(10**16)

    with monkeypatch.context() as patched:
        patched.setattr(DenoiserTrainer, "step", greedy)
        with pytest.raises(UserError, match="out of memory with 4 images a step; try --batch-size 2"):
            trained(tmp_path, "large", images=20)
    assert not (tmp_path / "pegasus/large").exists()
    trained(tmp_path, "large", images=20)  # the name is free


def test_a_run_that_finds_no_memory_later_keeps_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = DenoiserTrainer.step

    def later_greedy(self: DenoiserTrainer) -> None:
        if self.images >= 40:
            torch.empty(10**16)
        step(self)

    monkeypatch.setattr(DenoiserTrainer, "step", later_greedy)
    with pytest.raises(UserError, match="out of memory"):
        trained(tmp_path, "late")
    kept = [path.name for path in (tmp_path / "pegasus/late/checkpoints").glob("step-*")]
    assert sorted(kept) == ["step-000000020", "step-000000040"]


def test_a_gpu_that_is_not_there_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="device 'cuda:7' cannot be used here"):
        trained(tmp_path, "gpu", device="cuda:7")
    assert not (tmp_path / "pegasus").exists()


def test_bfloat16_only_where_the_processor_multiplies_in_it() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    assert resolve_precision("auto", "cpu") == ("bfloat16" if fast else "float32")
    assert resolve_precision("float32", "cpu") == "float32" and resolve_precision("bfloat16", "cpu") == "bfloat16"
    assert resolve_precision("auto", "mps") == "float32"


def test_a_batch_among_threads_teaches_the_same_up_to_rounding(plain: RunFolder, tmp_path: Path) -> None:
    divided = trained(tmp_path, "divided", threads=3)
    for name, value in last_weights(plain).items():
        torch.testing.assert_close(last_weights(divided)[name], value, rtol=1e-2, atol=1e-4)


def test_the_threads_are_part_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(tmp_path, "whole", threads=2)
    assert RunSettings.from_yaml(whole.settings).threads == 2
    cut = RunFolder(Path(shutil.copytree(whole.path, tmp_path / "cut/pegasus/whole")))
    for later in ("step-000000040", "step-000000048"):
        shutil.rmtree(cut.checkpoints / later)
    monkeypatch.setattr("common.parallel.cores", lambda: 1)  # as on another machine
    with pytest.raises(UserError, match=r"the run has threads = 2, not 1"):
        train(train_settings(tmp_path / "cut", "whole", threads=1, resume_if_exists=True))
    train(train_settings(tmp_path / "cut", "whole", resume_if_exists=True))
    assert all(torch.equal(value, last_weights(cut)[name]) for name, value in last_weights(whole).items())


def test_checkpoints_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 25))  # seconds from one look to the next: a minute is over at every third
    monkeypatch.setattr("common.checkpoints.time", SimpleNamespace(monotonic=lambda: next(clock)))
    run = trained(tmp_path, "timed", checkpoint_every=1000, checkpoint_minutes=1.0, images=32)
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["step-000000012", "step-000000024", "step-000000032"]


def test_attributes_are_found_on_the_runs_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def ensure(images: ImageSet, *_: Any, **options: Any) -> ImageSet:
        seen.update(options)
        return images

    monkeypatch.setattr(data, "ensure_attributes", ensure)
    np.savez(tmp_path / "few.npz", images=np.zeros((4, 16, 16, 3), np.uint8), labels=np.arange(4) % 2)
    settings = resolve(TrainSettings(preset="smoke", data=(f"npz:{tmp_path}/few.npz",), downloads=tmp_path)).data
    load_training_images(settings, device="cuda:1")
    assert seen["device"] == "cuda:1"
