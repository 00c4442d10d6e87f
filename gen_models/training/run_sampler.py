"""Samples from a trained run: loads its denoiser, vocabulary and noise schedule, and shows progress."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.checkpoints import MANIFEST, choose_checkpoint
from common.device import usable_device
from common.errors import UserError, first_line
from common.files import read_bounded
from common.progress import ProgressLine
from common.run_folder import RunFolder, package_versions
from common.seeds import derive_seed
from common.weights import files_of
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.contrast import map_conditions
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.label_maps import REGIONS, maps_of
from gen_models.diffusion.layout import FILE as SILHOUETTES
from gen_models.diffusion.layout import Mask, layout, unpack_silhouettes
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.samples import Origin, Samples
from gen_models.diffusion.sampling import sample
from gen_models.images.image_set import to_model_space
from gen_models.request import SampleRequest
from gen_models.training.state import DENOISER, EMA, load_denoiser

PACKAGES = ("torch", "diffusers", "numpy")
ALONE = 2.0  # weight of the base where it is sampled for its outline
OUTLINE = 1  # purpose of an image's second seed, which chooses the training image whose outline it gets
MOST_BYTES = 2**26  # of the file with silhouettes


@dataclass(frozen=True)
class RunSampler:
    """A trained run, loaded for sampling.

    :param origin: written into ``samples.npz``
    :param stop_at: for requests that do not say where to stop
    :param silhouettes: of training images by region, for ``--compose map``
    """

    denoiser: Denoiser
    vocabulary: Vocabulary
    noise: Noise
    origin: Origin
    stop_at: float = 0.0
    silhouettes: Mapping[str, Mask] = field(default_factory=dict)

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
        maps = None
        if request.compose == "map":  # sampled twice: each counts for half
            progress = None if progress is None else _halves(progress)
            maps = self._maps(request, indices, progress)
        images = self._images(request, indices, progress, maps, watch)
        return Samples(images, indices, request, self.origin)

    def _images(
        self,
        request: SampleRequest,
        indices: Sequence[int],
        progress: Callable[[int], None] | None,
        maps: Tensor | None = None,
        watch: Callable[[Tensor], None] | None = None,
    ) -> NDArray[np.uint8]:
        how = (request, indices, self.origin.batch_size, self.origin.device, progress)
        return sample(self.denoiser, self.vocabulary, self.noise, *how, maps=maps, watch=watch)

    def _maps(self, request: SampleRequest, indices: Sequence[int], progress: Callable[[int], None] | None) -> Tensor:
        """The label map of each image: its base alone, sampled first, with a part of a training image's outline."""
        _, body, added = map_conditions(request.base, request.add, request.from_, self.vocabulary)
        outlines = self.silhouettes.get(added, np.empty(0))
        if not len(outlines):
            raise UserError(f"--compose map: no training image showed a clear outline of {added}")
        alone = replace(request, compose="and", weights=f"{request.base}={ALONE:g}", base="", add="", from_="")
        images = self._images(alone, indices, progress)
        labels = torch.tensor(self.vocabulary.parse(body).values).expand(len(images), -1)
        bodies = maps_of(to_model_space(images, "cpu"), labels, self.vocabulary).numpy()
        region = REGIONS + self.vocabulary.regions.index(added)
        chosen = [outlines[derive_seed((request.seed, index, OUTLINE)) % len(outlines)] for index in indices]
        maps = [layout(own, outline, region) for own, outline in zip(bodies, chosen, strict=True)]
        return torch.from_numpy(np.stack(maps))


def _halves(progress: Callable[[int], None]) -> Callable[[int], None]:
    """A function that passes on half of the steps it is told of."""
    told = passed = 0

    def half(steps: int) -> None:
        nonlocal told, passed
        told += steps
        progress(told // 2 - passed)
        passed = told // 2

    return half


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
    digest = weights_digest(path / (EMA if averaged else DENOISER))
    origin = Origin(settings.name, path.name, averaged, digest, batch_size, name, package_versions(PACKAGES))
    silhouettes = load_silhouettes(folder.path / SILHOUETTES) if vocabulary.regions else {}
    return RunSampler(denoiser, vocabulary, noise, origin, settings.stop_at, silhouettes)


def load_silhouettes(path: Path) -> dict[str, Mask]:
    """The outlines that a run keeps.

    :raises UserError: when the file is missing or damaged
    """
    try:
        return unpack_silhouettes(read_bounded(path, MOST_BYTES))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; restore it from a copy") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({first_line(error)}); restore it from a copy", status=1) from error


def weights_digest(file: Path) -> str:
    """The SHA-256 of a checkpoint's file of weights, from the manifest; where it has parts, of their digests."""
    manifest = json.loads((file.parent / MANIFEST).read_text())
    digests = [manifest[part.name] for part in files_of(file)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


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
