"""Training images a second of this project's loop beside diffusers' recipe for unconditional training, in turn.

    python -m bench.denoiser_training
    python -m bench.denoiser_training --preset cifar-cpu
    python -m bench.denoiser_training --what patch          # the same network on patches and on pixels

The peer is the loop of diffusers' ``train_unconditional.py``, written here from its documentation, with its defaults:
float32, a DataLoader with torchvision's transforms, AdamW, EMA of ``EMAModel``, the error of epsilon. The network is
the same in both, labels included. Wall time, without importing and building; the first steps of each are not counted.

Credits: diffusers' example of unconditional training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
import tyro
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.alternate import alternate
from common.device import resolve_precision
from common.options import Precision
from common.parallel import default_parts, one_torch_thread
from common.run_folder import RunFolder
from gen_models.images.image_set import ImageSet
from gen_models.options import TrainSettings
from gen_models.training.data import Batches, labels_of, load_training_images, vocabulary_of
from gen_models.training.denoiser_trainer import DenoiserTrainer, build_denoiser
from gen_models.training.hardware import build_accelerator
from gen_models.training.settings import RunSettings, resolve


@dataclass(frozen=True)
class Settings:
    """Compare loops."""

    preset: str = "sprites"
    """Whose network and batch size."""
    what: Literal["loop", "patch"] = "loop"
    """loop: ours beside diffusers'; patch: ours with the preset's patches beside ours without."""
    steps: int = 6
    """Steps in each measurement."""
    rounds: int = 5
    """Measurements of each."""


def main() -> None:
    """Measure and print."""
    settings = tyro.cli(Settings)
    run = resolve(TrainSettings(preset=settings.preset, data=("sprites:2000",), device="cpu"))
    images = load_training_images(run.data)
    run = dataclasses.replace(run, vocabulary=vocabulary_of(images, attributes=True))
    title = f"training, preset {settings.preset}, batch {run.learning.batch_size}, {torch.get_num_threads()} threads"
    with contextlib.ExitStack() as stack:
        faster = resolve_precision("auto", "cpu")
        if settings.what == "loop":
            ways = {
                f"ours, {faster}": stack.enter_context(ours(run, images, settings.steps, faster)),
                "ours, float32": stack.enter_context(ours(run, images, settings.steps, "float32")),
                "diffusers' recipe": diffusers_recipe(run, images, settings.steps),
            }
        else:
            pixels = dataclasses.replace(run, denoiser=dataclasses.replace(run.denoiser, patch=1))
            ways = {
                f"patch {run.denoiser.patch}": stack.enter_context(ours(run, images, settings.steps, faster)),
                "patch 1": stack.enter_context(ours(pixels, images, settings.steps, faster)),
            }
        alternate(title, ways, settings.rounds, "images/s")


@contextlib.contextmanager
def ours(run: RunSettings, images: ImageSet, steps: int, precision: Precision) -> Iterator[Callable[[], float]]:
    """This project's trainer, with its loss log and TensorBoard."""
    run = dataclasses.replace(run, precision=precision, threads=default_parts("cpu", run.learning.batch_size))
    accelerator = build_accelerator("cpu", precision)
    batches = Batches(images, labels_of(images, run.vocabulary), run.vocabulary, run.learning, run.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = DenoiserTrainer(run, RunFolder(Path(folder)), batches, accelerator, None)

        def work() -> float:
            began = time.perf_counter()
            with one_torch_thread():
                for _ in range(steps):
                    trainer.step()
            trainer.log.write_window(0.0)
            return steps * run.learning.batch_size / (time.perf_counter() - began)

        try:
            yield work
        finally:
            trainer.log.close()


class Pictures(Dataset[dict[str, torch.Tensor]]):
    """The recipe's data set: transformed pictures, here with their labels."""

    def __init__(self, run: RunSettings, images: ImageSet) -> None:
        self.pictures = [Image.fromarray(image) for image in images.images]
        self.labels = labels_of(images, run.vocabulary)
        self.transform = transforms.Compose(
            [
                transforms.Resize(run.data.size, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(run.data.size),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input": self.transform(self.pictures[index]), "labels": self.labels[index]}


def diffusers_recipe(run: RunSettings, images: ImageSet, steps: int) -> Callable[[], float]:
    """The recipe's loop, with its defaults."""
    accelerator = build_accelerator("cpu", "float32")
    size = run.learning.batch_size
    model: Any = build_denoiser(run)
    ema = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    noise_scheduler: Any = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", prediction_type="epsilon")
    optimizer: Any = torch.optim.AdamW(model.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    loader: Any = DataLoader(Pictures(run, images), batch_size=size, shuffle=True, drop_last=True)
    schedule: Any = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=10_000)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)

    def endless() -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def work() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            batch = next(batches)
            clean = batch["input"]
            noise = torch.randn(clean.shape)
            timesteps = torch.randint(0, 1000, (len(clean),)).long()
            predicted = model(noise_scheduler.add_noise(clean, noise, timesteps), timesteps, batch["labels"])
            loss = F.mse_loss(predicted.float(), noise.float())
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            ema.step(model.parameters())
            loss.detach().item()
        return steps * size / (time.perf_counter() - began)

    return work


if __name__ == "__main__":
    main()
