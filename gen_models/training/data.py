"""What the training sees at each step, as a function of seed and step alone.

Nothing random has a state that goes on from step to step: whatever is drawn for step n comes from a generator that is
seeded with (seed, n), and for the whole batch, of which each process takes its part. A run that was stopped therefore
goes on with the same draws, and the number of processes does not change them.

Credits: Kingma et al. 2021 (arXiv 2107.00630, times spread evenly over a batch).
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.files import write_atomic
from common.progress import progress_of
from common.seeds import derive_seed
from gen_models.classifiers.attribute_table import TABLE, ensure_attributes, load_attributes
from gen_models.diffusion.conditions import Vocabulary, drop
from gen_models.diffusion.noise import TIMES
from gen_models.images.image_set import ImageSet, to_model_space
from gen_models.images.loaders import load_images
from gen_models.training.settings import DataSettings, LearningSettings

# What a generator is for, so that two of the same seed and number differ.
ORDER, BATCH, NOISE, DROPOUT, WEIGHTS = range(5)


def seed_of(seed: int, purpose: int, number: int = 0) -> int:
    """A generator's seed, 63 bits, that has nothing to do with those of other purposes or numbers."""
    return derive_seed((seed, purpose, number)) >> 1


def load_training_images(settings: DataSettings, run: Path | None = None) -> ImageSet:
    """The images of a run, with their attributes if the settings say so.

    Attributes of real images are found once and kept in a table beside the data. A run keeps a copy of the table.

    :param run: the run's folder, whose table goes before the one beside the data
    :raises UserError: one line that says which source, file or class is at fault
    """
    images = _load(settings, settings.classes)
    if not settings.attributes or all(spec.startswith("sprites") for spec in settings.specs):
        return images
    if run is not None and (run / TABLE).exists():
        return load_attributes(images, run)
    with progress_of("looking for spread wings") as progress:
        return ensure_attributes(images, lambda: _load(settings, None), table_folder(settings), progress=progress)


def _load(settings: DataSettings, classes: tuple[str, ...] | None) -> ImageSet:
    downloads = Path(settings.downloads)
    return load_images(
        settings.specs, settings.size, classes, settings.split, downloads, settings.skip_bad, settings.unlabeled
    )


def table_folder(settings: DataSettings) -> Path:
    """Where the attributes of images lie that were found once."""
    sources = [Path(spec.partition(":")[2]).stem or spec for spec in settings.specs]
    words = [*sources, settings.split, *(["unlabeled"] if settings.unlabeled else []), str(settings.size)]
    return Path(settings.downloads) / "attributes" / re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(words))


def keep_table(settings: DataSettings, run: Path) -> None:
    """Copy the table of attributes, if there is one, into the run's folder, so that the run does not depend on it."""
    table = table_folder(settings) / TABLE
    if settings.attributes and table.exists():
        write_atomic(run / TABLE, table.read_bytes())


def vocabulary_of(images: ImageSet, attributes: bool) -> Vocabulary:
    """The words that the images' labels can say; an attribute that no image is known to have is none of them."""
    sources = images.source_names if len(images.source_names) > 1 else ()
    known = [name for name, values in images.attributes.items() if (values == 1).any()]
    return Vocabulary(images.class_names, tuple(known) if attributes else (), sources)


def labels_of(images: ImageSet, vocabulary: Vocabulary) -> Tensor:
    """The labels of images, int64 (N, C)."""
    attributes = {name: torch.from_numpy(images.attributes[name]) for name in vocabulary.attributes}
    return vocabulary.labels(torch.from_numpy(images.classes), attributes, torch.from_numpy(images.sources))


def digest(images: ImageSet, labels: Tensor) -> str:
    """SHA-256 of pixels and labels, by which a run knows its data again."""
    content = hashlib.sha256(np.ascontiguousarray(images.images).data)
    content.update(labels.numpy().tobytes())
    return content.hexdigest()


@dataclass(frozen=True)
class Batch:
    """One process's part of a step's images.

    :param x: clean images, float32 (B, 3, S, S), -1 to 1
    :param eps: noise, float32 (B, 3, S, S)
    :param t: times, int64 (B,), 0 to 999
    :param labels: int64 (B, C), some of them withheld
    """

    x: Tensor
    eps: Tensor
    t: Tensor
    labels: Tensor


class Batches:
    """Batches by their step.

    :param images: the images, in a fixed order
    :param labels: int64 (N, C)
    :param vocabulary: what the labels say
    :param seed: the run's seed
    :param rank: which of the processes this is, from 0
    :param processes: how many share each batch
    :param device: where the batches are put
    """

    def __init__(
        self,
        images: ImageSet,
        labels: Tensor,
        vocabulary: Vocabulary,
        learning: LearningSettings,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.images = images
        self.labels = labels
        self.learning = learning
        self.seed = seed
        share = learning.batch_size // processes
        self.part = slice(rank * share, (rank + 1) * share)
        self.device = torch.device(device)
        self.withheld = (
            learning.class_dropout,
            *(learning.attribute_dropout for _ in vocabulary.attributes),
            learning.source_dropout,
        )
        self._permutation = functools.lru_cache(maxsize=2)(self._new_permutation)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Which images step ``step`` takes, int64 (batch size,).

        Every image comes once in each epoch, in an order of its own; a batch may end one epoch and begin the next.
        """
        first = step * self.learning.batch_size
        epochs, places = np.divmod(np.arange(first, first + self.learning.batch_size), len(self.images))
        parts = [self._permutation(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate(parts)

    def _new_permutation(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self.seed, ORDER, epoch)).permutation(len(self.images))

    def at(self, step: int) -> Batch:
        """This process's part of a step."""
        indices = self.indices(step)
        size = len(indices)
        draws = torch.Generator().manual_seed(seed_of(self.seed, BATCH, step))
        mirrored = torch.rand(size, generator=draws) < (0.5 if self.learning.flips else 0.0)
        labels = drop(self.labels[torch.from_numpy(indices)], self.withheld, draws, self.learning.all_dropout)
        # One time from each of B equal stretches: the mean over a batch varies less than with independent times.
        t = (torch.rand(1, generator=draws) + torch.arange(size) / size) % 1 * TIMES
        side = self.images.size
        noise = torch.Generator(self.device).manual_seed(seed_of(self.seed, NOISE, step))
        eps = torch.randn((size, 3, side, side), generator=noise, device=self.device)[self.part]
        x = to_model_space(self.images.images[indices[self.part]], self.device)
        turned = mirrored[self.part].to(self.device)[:, None, None, None]
        return Batch(
            torch.where(turned, x.flip(-1), x),
            eps,
            t[self.part].long().clamp(max=TIMES - 1).to(self.device, non_blocking=True),
            labels[self.part].to(self.device, non_blocking=True),
        )
