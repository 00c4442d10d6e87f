"""Samples from a trained run of either model: loads the one that the run folder holds."""

from __future__ import annotations

from pathlib import Path

from common.checkpoints import choose_checkpoint
from common.device import usable_device
from common.run_folder import RunFolder, package_versions
from gen_models.adversarial.sampling import AdversarialSampler
from gen_models.adversarial.settings import is_adversarial
from gen_models.adversarial.state import GENERATOR, load_generator
from gen_models.diffusion.samples import Origin
from gen_models.training.run_sampler import PACKAGES, RunSampler, load_run_sampler, weights_digest


def load_sampler(
    run: Path, checkpoint: str | None, averaged: bool, batch_size: int, device: str
) -> RunSampler | AdversarialSampler:
    """Load a run for sampling; parameters are those of ``load_run_sampler``, ``averaged`` for a denoiser only."""
    if is_adversarial(run):
        return load_adversarial_sampler(run, checkpoint, batch_size, device)
    return load_run_sampler(run, checkpoint, averaged, batch_size, device)


def load_adversarial_sampler(run: Path, checkpoint: str | None, batch_size: int, device: str) -> AdversarialSampler:
    """Load the run of a DCGAN for sampling; parameters are those of ``load_run_sampler``."""
    folder = RunFolder(run)
    name = usable_device(device)
    path = choose_checkpoint(folder.checkpoints, checkpoint)
    generator, settings = load_generator(folder, path, name)
    digest = weights_digest(path / GENERATOR)
    versions = package_versions(PACKAGES)
    origin = Origin(settings.name, path.name, False, digest, batch_size, name, versions, model="dcgan")
    return AdversarialSampler(generator, settings.vocabulary, origin)
