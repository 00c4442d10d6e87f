"""Runs of seconds, trained on the spot: an agent in Gravitar, a denoiser on images laid out as CIFAR-10."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gen_models.classifiers import own_features
from gen_models.commands.judge import judge
from gen_models.options import JudgeSettings
from gen_models.options import TrainSettings as ImagesSettings
from gen_models.request import SampleRequest
from gen_models.training.loop import train as train_images
from rl.options import TrainSettings
from rl.train import train as train_agent

NEEDS_LATEX = pytest.mark.skipif(
    not (shutil.which("latexmk") and shutil.which("pdflatex")),
    reason="needs LaTeX (Debian's packages latexmk and texlive-latex-recommended)",
)
SMALL = ("n_steps=32", "batch_size=64", "policy_kwargs=dict(net_arch=[8])")


def agent_run(runs: Path, timesteps: int = 6000, **options: object) -> Path:
    """Some games of Gravitar."""
    settings = {"preset": "smoke", "timesteps": timesteps, "n_envs": 4, "set": SMALL, "video_every": 0, "name": "small"}
    train_agent(TrainSettings(device="cpu", runs=runs, **{**settings, **options}))  # type: ignore[arg-type]
    return runs / "gravitar" / "small"


def cifar10(folder: Path, count: int = 60) -> Path:
    """CIFAR-10's binary files with a few made-up images in each: a shape and a colour for each class."""
    rng = np.random.default_rng(0)
    target = folder / "cifar-10-batches-bin"
    target.mkdir(parents=True)
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        classes = np.resize([7, 2, 0, 4], count)  # horses, birds, airplanes, deer
        images = rng.integers(0, 60, (count, 3, 32, 32))
        for image, kind in zip(images, classes, strict=True):
            height = 6 + 2 * int(kind)
            image[:, 16 - height // 2 : 16 + height // 2, 8:24] += 150 if kind != 2 else 90
        records = np.concatenate([classes[:, None], images.reshape(count, -1)], axis=1)
        (target / name).write_bytes(records.astype(np.uint8).tobytes())
    return folder


def images_run(folder: Path) -> Path:
    """A denoiser of the smallest size, trained for a few steps, and a judged batch of 64."""
    train_images(
        ImagesSettings(
            preset="smoke", data=("cifar10",), classes=("horse", "bird"), size=16, images=320, device="cpu", threads=1,
            runs=folder / "runs", downloads=cifar10(folder / "data"), name="small", attributes=False,
        )
    )  # fmt: skip
    run = folder / "runs" / "pegasus" / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_features, "WIDTHS", (8, 16))
        patch.setattr(own_features, "EPOCHS", 1)
        judge(JudgeSettings((run,), SampleRequest("horse=2,bird=1", steps=2), draw=72, keep=64, device="cpu"))
    return run


def whiten(run: Path) -> None:
    """Rewrite the judged batch's table as if all its images were white."""
    table = run / "judge" / "batch" / "selection.csv"
    head, *rows = [line.split(",") for line in table.read_text().splitlines()]
    for row in rows:
        row[head.index("whiteness")] = "0.9"
    table.write_text("".join(",".join(row) + "\n" for row in [head, *rows]))
