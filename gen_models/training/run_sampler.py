"""Samples from a trained run: loads its denoiser, vocabulary and noise schedule, and shows progress."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from common.checkpoints import MANIFEST, choose_checkpoint
from common.device import usable_device
from common.progress import ProgressLine
from common.run_folder import RunFolder, package_versions
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.samples import Origin, Samples
from gen_models.diffusion.sampling import sample
from gen_models.request import SampleRequest
from gen_models.training.state import DENOISER, EMA, load_denoiser

PACKAGES = ("torch", "diffusers", "numpy")


@dataclass(frozen=True)
class RunSampler:
    """A trained run, loaded for sampling.

    :param origin: written into ``samples.npz``
    :param stop_at: for requests that do not say where to stop
    """

    denoiser: Denoiser
    vocabulary: Vocabulary
    noise: Noise
    origin: Origin
    stop_at: float = 0.0

    def sample(
        self,
        request: SampleRequest,
        indices: Sequence[int],
        progress: Callable[[int], None] | None = None,
        watch: Callable[[Tensor], None] | None = None,
    ) -> Samples:
        """See ``gen_models.diffusion.sampling.sample``."""
        if request.stop_at is None:
            request = replace(request, stop_at=self.stop_at or None)
        size, device = self.origin.batch_size, self.origin.device
        how = (request, indices, size, device, progress)
        images = sample(self.denoiser, self.vocabulary, self.noise, *how, watch=watch)
        return Samples(images, indices, request, self.origin)


def load_run_sampler(run: Path, checkpoint: str | None, averaged: bool, batch_size: int, device: str) -> RunSampler:
    """Load a run for sampling.

    :param checkpoint: its name; None for the latest
    :param averaged: use the moving average of the weights rather than the last ones
    :param batch_size: images at once
    :param device: as on the command line
    :raises UserError: when run, checkpoint or device do not exist, or the weights do not fit
    """
    folder = RunFolder(run)
    name = usable_device(device)
    path = choose_checkpoint(folder.checkpoints, checkpoint)
    denoiser, vocabulary, noise, settings = load_denoiser(folder, path, averaged, name)
    digest: str = json.loads((path / MANIFEST).read_text())[EMA if averaged else DENOISER]
    origin = Origin(settings.name, path.name, averaged, digest, batch_size, name, package_versions(PACKAGES))
    return RunSampler(denoiser, vocabulary, noise, origin, settings.stop_at)


@contextlib.contextmanager
def sampling_progress(total: int, steps: int) -> Iterator[Callable[[int], None]]:
    """A progress bar; yields the ``progress`` of ``sample``.

    :param total: image steps in all
    :param steps: per image
    """
    count = 0
    line = ProgressLine(total, 0, lambda elapsed: f"{count // steps:,} images, {count / steps / elapsed:,.1f}/s")

    def progress(done: int) -> None:
        nonlocal count
        count += done
        line.update(count)

    try:
        yield progress
    finally:
        line.close()
