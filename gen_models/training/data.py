"""The training images and the batch of each step, a function of seed and step alone.

No random generator keeps its state from step to step: the random numbers of step n come from a generator seeded with
(seed, n). They are for the whole batch, of which each process takes its part. A resumed run therefore uses the same
random numbers, and so does a run with another number of processes.

Credits: Kingma et al. 2021 (arXiv 2107.00630, times spread evenly over a batch).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError, nearest
from common.files import write_atomic
from common.progress import progress_of
from common.seeds import derive_seed
from gen_models.classifiers.attribute_table import TABLE, ensure_attributes, load_attributes
from gen_models.classifiers.hand_labels import (
    LABELS,
    HandLabel,
    labels_text,
    read_kept_labels,
    read_labels,
    with_hand_labels,
)
from gen_models.diffusion.conditions import Vocabulary, drop
from gen_models.diffusion.label_maps import hide, maps_of, planes, planes_of
from gen_models.images.image_set import ImageSet, to_model_space
from gen_models.images.loaders import load_images
from gen_models.request import TIMES
from gen_models.training.settings import BaseLearning, DataSettings

# Purposes of generators; two of the same seed and number differ by purpose.
ORDER, BATCH, NOISE, DROPOUT, WEIGHTS, LATENTS, MAPS = range(7)


def seed_of(seed: int, purpose: int, number: int = 0) -> int:
    """A generator's seed, 63 bits, independent of those of other purposes and numbers."""
    return derive_seed((seed, purpose, number)) >> 1


def load_training_images(
    settings: DataSettings,
    run: Path | None = None,
    device: str = "cpu",
    labels: list[HandLabel] | None = None,
) -> ImageSet:
    """The images of a run, with attributes if the settings ask for them.

    Attributes of real images are computed once and kept in a table beside the data. Labels by hand count more. A run
    keeps a copy of both.

    :param run: the run's folder, whose table and labels take precedence over the originals
    :param device: where the classifiers of the attributes are trained, if there is no table
    :param labels: those of ``hand_labels``, if they are read already
    :raises UserError: one line that names the source, file or class at fault
    """
    if not settings.attributes:
        return _load(settings, settings.classes)
    if labels is None:
        labels = hand_labels(settings, run)  # first: its faults are found at once
    images = _load(settings, settings.classes)
    Vocabulary(images.class_names)  # refuses names that cannot be asked for, before attributes are looked for
    images = _with_attributes(images, settings, run, device)
    return with_hand_labels(images, labels, lambda: _load(dataclasses.replace(settings, split="all"), None))


def _with_attributes(images: ImageSet, settings: DataSettings, run: Path | None, device: str) -> ImageSet:
    if all(spec.startswith("sprites") for spec in settings.specs):
        return images
    if run is not None and (run / TABLE).exists():
        return load_attributes(images, run)
    with progress_of("looking for spread wings") as progress:
        return ensure_attributes(
            images, lambda: _load(settings, None), table_folder(settings), device=device, progress=progress
        )


def hand_labels(settings: DataSettings, run: Path | None = None) -> list[HandLabel]:
    """The labels by hand: those that a run keeps, else those of the files.

    :raises UserError: one line that names the file at fault
    """
    if settings.labels and run is not None and (run / LABELS).exists():
        return read_kept_labels(run / LABELS)
    return read_labels(settings.labels)


def labels_digest(labels: list[HandLabel]) -> str:
    """SHA-256 of labels by hand, empty where there are none."""
    return hashlib.sha256(labels_text(labels).encode()).hexdigest() if labels else ""


def changed_labels(settings: DataSettings, run: Path) -> str | None:
    """What to say where the files of labels are no longer those that a run keeps; None if they are, or are gone."""
    if not (run / LABELS).exists() or not all(Path(spec.rpartition("=")[2]).exists() for spec in settings.labels):
        return None
    if labels_text(read_labels(settings.labels)) == labels_text(read_kept_labels(run / LABELS)):
        return None
    return f"the labels in {', '.join(settings.labels)} are not those that the run began with, kept in {run / LABELS}"


def _load(settings: DataSettings, classes: tuple[str, ...] | None) -> ImageSet:
    downloads = Path(settings.downloads)
    return load_images(
        settings.specs, settings.size, classes, settings.split, downloads, settings.skip_bad, settings.unlabeled
    )


def table_folder(settings: DataSettings) -> Path:
    """The folder of the attribute table of these images."""
    sources = [Path(spec.partition(":")[2]).stem or spec for spec in settings.specs]
    words = [*sources, settings.split, *(["unlabeled"] if settings.unlabeled else []), str(settings.size)]
    return Path(settings.downloads) / "attributes" / re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(words))


def keep_attributes(settings: DataSettings, run: Path, labels: list[HandLabel]) -> None:
    """Write the attribute table and the labels by hand, where there are any, into the run's folder, which then no
    longer needs the originals.
    """
    table = table_folder(settings) / TABLE
    if settings.attributes and table.exists():
        write_atomic(run / TABLE, table.read_bytes())
    if settings.labels:
        write_atomic(run / LABELS, labels_text(labels))


def vocabulary_of(images: ImageSet, attributes: bool, label_maps: Sequence[str] = ()) -> Vocabulary:
    """The vocabulary of the images' labels, without attributes that no image is known to have.

    :param label_maps: attributes whose images are regions of their own in label maps; none for no label maps
    :raises UserError: for an attribute among these that no image has
    """
    sources = images.source_names if len(images.source_names) > 1 else ()
    known = [name for name, values in images.attributes.items() if (values == 1).any()] if attributes else []
    for name in label_maps:
        if name not in known:
            raise UserError(
                f"--label-maps {name}: no image has that attribute (known: {', '.join(known)}){nearest(name, known)}"
            )
    shown = [
        f"{word}+{name}"
        for name in label_maps
        for index, word in enumerate(images.class_names)
        if ((images.classes == index) & (images.attributes[name] == 1)).any()
    ]
    regions = (*images.class_names, *shown) if label_maps else ()
    return Vocabulary(images.class_names, tuple(known), sources, regions)


def labels_of(images: ImageSet, vocabulary: Vocabulary) -> Tensor:
    """The labels of images, int64 (N, C)."""
    attributes = {name: torch.from_numpy(images.attributes[name]) for name in vocabulary.attributes}
    return vocabulary.labels(torch.from_numpy(images.classes), attributes, torch.from_numpy(images.sources))


def digest(images: ImageSet, labels: Tensor) -> str:
    """SHA-256 of pixels and labels, by which a run recognises its data."""
    content = hashlib.sha256(np.ascontiguousarray(images.images).data)
    content.update(labels.numpy().tobytes())
    return content.hexdigest()


@dataclass(frozen=True)
class Batch:
    """One process's part of a step's images.

    :param x: clean images, float32 (B, 3, S, S), -1 to 1
    :param eps: noise, float32 (B, 3, S, S)
    :param t: times, int64 (B,), 0 to 999
    :param labels: int64 (B, C), after label dropout
    :param maps: planes of the label maps, float32 (B, planes, S, S); None for a vocabulary without regions
    """

    x: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor
    maps: Tensor | None = None


def shifted(x: Tensor, offsets: Tensor) -> Tensor:
    """Images moved by whole pixels, reflected at the edges.

    :param x: (B, C, S, S)
    :param offsets: down and to the right, int64 (B, 2), each less than S
    """
    last = x.shape[-1] - 1
    places = torch.arange(last + 1, device=x.device) - offsets[:, :, None]
    rows, columns = (last - (last - places.abs()).abs()).unbind(dim=1)
    pictures = x.permute(0, 2, 3, 1)
    which = torch.arange(len(x), device=x.device)[:, None, None]
    return pictures[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class Batches:
    """The batch of each step.

    :param images: the images, in a fixed order
    :param labels: int64 (N, C)
    :param vocabulary: of the labels
    :param seed: the run's seed
    :param rank: number of this process, from 0
    :param processes: number of processes that share each batch
    :param device: of the batches
    :param times: how often each image comes in an epoch, int64 (N,); None for once each
    """

    def __init__(
        self,
        images: ImageSet,
        labels: Tensor,
        vocabulary: Vocabulary,
        learning: BaseLearning,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        device: torch.device | str = "cpu",
        times: NDArray[np.int64] | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.vocabulary = vocabulary
        self.learning = learning
        self.seed = seed
        share = learning.batch_size // processes
        self.part = slice(rank * share, (rank + 1) * share)
        self.device = torch.device(device)
        self.dropout, self.all_dropout = learning.label_dropout(len(vocabulary.attributes))
        self.times = np.ones(len(images), np.int64) if times is None else times
        self._epoch = np.repeat(np.arange(len(images)), self.times)
        self._permutation = functools.lru_cache(maxsize=2)(self._new_permutation)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Indices of the images of step ``step``, int64 (batch size,).

        Every image comes once per epoch, or as often as ``times`` says, in a new random order; a batch may end one
        epoch and begin the next.
        """
        first = step * self.learning.batch_size
        epochs, places = np.divmod(np.arange(first, first + self.learning.batch_size), len(self._epoch))
        parts = [self._permutation(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate(parts)

    def _new_permutation(self, epoch: int) -> NDArray[np.int64]:
        return self._epoch[np.random.default_rng((self.seed, ORDER, epoch)).permutation(len(self._epoch))]

    def at(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        indices = self.indices(step)
        size = len(indices)
        generator = torch.Generator().manual_seed(seed_of(self.seed, BATCH, step))
        mirrored = torch.rand(size, generator=generator) < (0.5 if self.learning.flips else 0.0)
        labels = drop(self.labels[torch.from_numpy(indices)], self.dropout, generator, self.all_dropout)
        # One time from each of B equal intervals: the mean over a batch varies less than with independent times.
        t = (torch.rand(1, generator=generator) + torch.arange(size) / size) % 1 * TIMES
        reach = self.learning.shift
        offsets = torch.randint(-reach, reach + 1, (size, 2), generator=generator) if reach else None
        side = self.images.size
        noise = torch.Generator(self.device).manual_seed(seed_of(self.seed, NOISE, step))
        eps = torch.randn((size, 3, side, side), generator=noise, device=self.device)[self.part]
        x = to_model_space(self.images.images[indices[self.part]], self.device)
        if offsets is not None:
            x = shifted(x, offsets[self.part].to(self.device))
        turned = mirrored[self.part].to(self.device)[:, None, None, None]
        x = torch.where(turned, x.flip(-1), x)
        t = t[self.part].long().clamp(max=TIMES - 1).to(self.device, non_blocking=True)
        labels = labels[self.part].to(self.device, non_blocking=True)
        if not self.vocabulary.regions:
            return Batch(x, eps, t, labels)
        chances = torch.rand((size, 4), generator=torch.Generator().manual_seed(seed_of(self.seed, MAPS, step)))
        maps = maps_of(x, self.labels[torch.from_numpy(indices[self.part])].to(self.device), self.vocabulary)
        maps, labels = hide(maps, labels, chances[self.part].to(self.device))
        return Batch(x, eps, t, labels, planes(maps, planes_of(self.vocabulary)))
