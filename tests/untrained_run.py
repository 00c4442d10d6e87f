"""Run folders with an untrained denoiser or DCGAN, for tests of what reads runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from common.checkpoints import write_checkpoint
from common.run_folder import RunFolder
from gen_models.adversarial.settings import resolve_adversarial
from gen_models.adversarial.state import capture as capture_adversarial
from gen_models.adversarial.trainer import build_networks
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.options import TrainSettings
from gen_models.training.settings import resolve
from gen_models.training.state import build_ema, capture

VOCABULARY = Vocabulary(("horse", "bird"), ("white", "spread"))


def untrained_run(path: Path, size: int = 16, patch: int | None = None) -> RunFolder:
    """A run of the smoke preset with random weights, and one checkpoint, ``step-000000001``."""
    settings = dataclasses.replace(
        resolve(TrainSettings(preset="smoke", size=size, patch=patch)), vocabulary=VOCABULARY
    )
    run = RunFolder.create(path, settings.to_yaml())
    add_checkpoint(run, Denoiser(settings.denoiser, VOCABULARY.sizes), "step-000000001")
    return run


def add_checkpoint(run: RunFolder, denoiser: Denoiser, name: str) -> None:
    """A checkpoint of random weights; the average of the weights is other weights than the last ones."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
        ema = build_ema(denoiser, resolve(TrainSettings(preset="smoke")).learning)
        for parameter in denoiser.parameters():
            parameter.mul_(1.1)
    write_checkpoint(run.checkpoints, name, capture(denoiser, ema, torch.optim.AdamW(denoiser.parameters()), {}))


def untrained_adversarial_run(path: Path, conditional: bool = False) -> RunFolder:
    """A run of a DCGAN for 16 pixels with first weights, and one checkpoint, ``step-000060000``."""
    user = TrainSettings(model="dcgan", preset="smoke", conditional=conditional, name=path.name)
    settings = dataclasses.replace(resolve_adversarial(user), vocabulary=Vocabulary(("horse", "bird")))
    run = RunFolder.create(path, settings.to_yaml())
    generator, discriminator = build_networks(settings)
    ours, theirs = (torch.optim.Adam(network.parameters()) for network in (generator, discriminator))
    files = capture_adversarial(generator, discriminator, (ours, theirs), {"images": 60_000})
    write_checkpoint(run.checkpoints, "step-000060000", files)
    return run
