"""Settings of a training run: the command line's dataclass, the presets, and the resolved settings.

``TrainSettings`` holds the command line's options; ``RunSettings`` holds everything that decides a run. It is kept in
the run folder as ``settings.yml``, from which the run can be built again without unpickling anything.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help;
NVlabs/edm2 (Karras et al. 2024, arXiv 2312.02696) for presets as a table.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

import yaml
from torch import Tensor

from common.errors import UserError, check_at_least, check_counts, check_positive, check_shares, nearest
from common.options import Precision
from common.records import difference, plain
from common.run_folder import ADVERSARIAL, COLOURISER, check_name, load_settings, read_settings
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import DenoiserSettings
from gen_models.diffusion.noise import Noise
from gen_models.options import TrainSettings, check_batch_size
from gen_models.request import check_stop_at
from gen_models.training.oversampling import parse_oversample


class Preset(NamedTuple):
    """A row of ``PRESETS``: defaults of options that the command line leaves out."""

    data: tuple[str, ...]
    classes: tuple[str, ...] | None
    size: int
    patch: int
    channels: tuple[int, ...]
    layers: int
    attention: tuple[int, ...]
    batch_size: int
    learning_rate: float
    images: int
    checkpoint_every: int
    sample_every: int
    weight_floor: float = 0.0
    stop_at: float = 0.0
    label_maps: tuple[str, ...] = ()


HORSES_AND_BIRDS = ("horse", "bird")
REAL = ("stl10", "cifar10")

MOST_THREADS = 256
MOST_SIZE = 1024  # pixels a side, ten times that of the largest images here

# Beside each row: parameters, and images/s as measured on two cores of a processor with bfloat16 (float32), in batches
# of 128. Batches of 32 are some 4 to 10 % slower, and learn more in the same time: see docs/pegasus.md.
PRESETS = {
    # data, classes, size, patch, channels, layers, attention, batch, learning rate, images, checkpoint, samples, floor,
    # stop
    # Minutes on two cores, the default: drawings of horses and birds. 2.8M parameters, 263 to 319 images/s (196).
    "sprites": Preset(
        ("sprites",), None, 32, 2, (32, 64, 96), 2, (2,), 32, 1.2e-3, 180_000, 20_000, 60_000, 0.2, 0.25),
    # Hours on two cores: real horses and birds. 6.1M parameters, 123 images/s (77).
    "cifar-cpu": Preset(
        ("cifar10",), HORSES_AND_BIRDS, 32, 2, (64, 96, 128), 2, (1, 2), 32, 5e-4, 1_500_000, 20_000, 100_000,
        0.2, 0.25),
    # One GPU. 29M parameters, 5 images/s on two cores.
    "cifar-gpu": Preset(
        ("cifar10",), HORSES_AND_BIRDS, 32, 1, (128, 256, 256), 2, (1, 2), 256, 3e-4, 20_000_000, 500_000, 1_000_000),
    # One GPU, the full 96 x 96 of STL-10, with CIFAR-10 enlarged beside it as a source of its own. 56M parameters,
    # 3 images/s on two cores.
    "stl-96-gpu": Preset(
        REAL, HORSES_AND_BIRDS, 96, 2, (128, 256, 256, 384), 2, (2, 3), 256, 2e-4, 20_000_000, 500_000, 1_000_000),
    # Seconds, to check the installation.
    "smoke": Preset(
        ("sprites:256",), None, 16, 2, (16, 32), 1, (1,), 32, 1e-3, 960, 320, 960),
}  # fmt: skip


@dataclass(frozen=True)
class DataSettings:
    """The training images, see ``gen_models.images.loaders.load_images``.

    :param labels: files of labels by hand, see ``gen_models.classifiers.hand_labels``; the run keeps a copy
    :param labels_digest: SHA-256 of the labels by hand; empty where there are none
    :param oversample: labels and how often their images come, see ``gen_models.training.oversampling``
    :param digest: SHA-256 of pixels and labels; empty until the images have been read
    :param label_maps: attributes whose images are regions of their own in label maps; none for no label maps
    """

    specs: tuple[str, ...]
    size: int
    classes: tuple[str, ...] | None
    split: Literal["train", "test", "all"]
    downloads: str
    skip_bad: bool
    unlabeled: bool
    attributes: bool
    labels: tuple[str, ...] = ()
    labels_digest: str = ""
    oversample: str = ""
    digest: str = ""
    label_maps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BaseLearning:
    """What the optimisation of every model has, as in ``TrainSettings``."""

    images: int
    batch_size: int
    learning_rate: float
    class_dropout: float
    flips: bool
    shift: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps in all; the last one may exceed ``images``."""
        return math.ceil(self.images / self.batch_size)

    def label_dropout(self, attributes: int) -> tuple[tuple[float, ...], float]:
        """The probability of a null in each label column, and that of nulls in all of them at once.

        :param attributes: number of their columns, which stand between those of the class and of the source
        """
        return (self.class_dropout, *(0.0 for _ in range(attributes)), 0.0), 0.0


@dataclass(frozen=True, kw_only=True)
class LearningSettings(BaseLearning):
    """Settings of a denoiser's optimisation and of label dropout, as in ``TrainSettings``."""

    warmup: int
    weight_decay: float
    min_snr: float
    attribute_dropout: float
    source_dropout: float
    all_dropout: float
    ema_decay: float
    ema_power: float
    weight_floor: float = 0.0

    def label_dropout(self, attributes: int) -> tuple[tuple[float, ...], float]:
        """See ``BaseLearning``."""
        each = (self.class_dropout, *(self.attribute_dropout for _ in range(attributes)), self.source_dropout)
        return each, self.all_dropout

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine to 0.

        :param step: from 0
        """
        warmup = math.ceil(self.warmup / self.batch_size)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup))) / 2


@dataclass(frozen=True, kw_only=True)
class BaseRunSettings:
    """What decides a run of any model, resolved.

    :param device: as on the command line, since a run may be resumed on another machine
    :param precision: ``float32`` or ``bfloat16``
    :param vocabulary: of the images' labels; empty until they have been read
    :param threads: number of threads that share each batch on a CPU
    """

    name: str
    seed: int
    device: str
    precision: Precision
    data: DataSettings
    vocabulary: Vocabulary
    learning: BaseLearning
    checkpoint_every: int
    sample_every: int
    checkpoint_minutes: float = 5.0
    threads: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None

    @property
    def most_threads(self) -> int:
        """Threads that may share a batch."""
        return MOST_THREADS

    @property
    def torch_threads(self) -> int:
        """Threads of torch's own in the training on a CPU; 1 where batches are divided, see ``common.parallel``."""
        return 1

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        learning = self.learning
        check_at_least(1, {"--images": learning.images, "--checkpoint-every": self.checkpoint_every})
        check_counts(MOST_SIZE, {"--size": self.data.size})
        check_batch_size(learning.batch_size)
        check_counts(MOST_THREADS, {"--threads": self.threads})
        check_positive({"--learning-rate": learning.learning_rate})
        zero_or_more = {
            "--seed": self.seed, "--sample-every": self.sample_every,
            "--checkpoint-minutes": self.checkpoint_minutes, "--shift": learning.shift,
        }  # fmt: skip
        check_at_least(0, zero_or_more)
        check_shares({"--class-dropout": learning.class_dropout})
        if learning.shift >= self.data.size:
            raise UserError(f"--shift {learning.shift}: images have {self.data.size} pixels")
        if self.data.labels and not self.data.attributes:
            raise UserError("--labels gives attributes by hand, which --no-attributes leaves out; drop one of the two")
        if self.data.label_maps and not self.data.attributes:
            raise UserError("--label-maps needs attributes, which --no-attributes leaves out; drop one of the two")
        parse_oversample(self.data.oversample)

    def check_processes(self, processes: int) -> None:
        """:raises UserError: when so many processes cannot share the run's batches"""
        size = self.learning.batch_size
        if size % processes:
            raise UserError(f"--batch-size {size} cannot be shared by {processes} processes: choose a multiple of it")

    def check_labels(self, labels: Tensor) -> None:
        """:raises UserError: when the model cannot be trained with these labels, int64 (N, C)"""

    def changed(
        self,
        images: int | None,
        checkpoint_every: int | None,
        sample_every: int | None,
        checkpoint_minutes: float | None = None,
    ) -> Self:
        """The same run with another number of images to train on, or other intervals."""
        learning = dataclasses.replace(self.learning, images=images or self.learning.images)
        return dataclasses.replace(
            self,
            learning=learning,
            checkpoint_every=checkpoint_every or self.checkpoint_every,
            sample_every=self.sample_every if sample_every is None else sample_every,
            checkpoint_minutes=self.checkpoint_minutes if checkpoint_minutes is None else checkpoint_minutes,
        )

    def to_yaml(self) -> str:
        """``settings.yml``."""
        return yaml.safe_dump(plain(self), sort_keys=False)

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read ``settings.yml``.

        :raises UserError: when it is absent or does not hold settings of a run of this model
        """
        return load_settings(cls, path)


@dataclass(frozen=True, kw_only=True)
class WholeBatchSettings(BaseRunSettings):
    """What decides a run of a model with batch norm, which needs the whole batch: it cannot be divided."""

    command: ClassVar[str]  # that trains the model, as errors name it

    @property
    def torch_threads(self) -> int:
        """All of the run's."""
        return self.threads

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        super().check()
        if self.learning.batch_size < 2:
            raise UserError(f"--batch-size {self.learning.batch_size}: batch norm needs two images at least")

    def check_processes(self, processes: int) -> None:
        """:raises UserError: for more than one"""
        if processes > 1:
            raise UserError(f"{self.command} trains in one process, not {processes}: batch norm needs the whole batch")


@dataclass(frozen=True, kw_only=True)
class RunSettings(BaseRunSettings):
    """Everything that decides the run of a denoiser, resolved.

    :param stop_at: noise level at which sampling ends by default; 0 for all steps
    """

    learning: LearningSettings
    denoiser: DenoiserSettings
    noise: Noise
    stop_at: float = 0.0

    @property
    def most_threads(self) -> int:
        """Threads that may share a batch; dropout needs a single one, as it draws from one generator in order."""
        return 1 if self.denoiser.dropout else MOST_THREADS

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        super().check()
        learning = self.learning
        check_at_least(1, {"--patch": self.denoiser.patch, "--layers": self.denoiser.layers})
        if self.threads > self.most_threads:
            raise UserError(f"--threads {self.threads}: dropout draws from one generator in one order; --threads 1")
        check_positive({"--ema-power": learning.ema_power})
        zero_or_more = {
            "--warmup": learning.warmup, "--weight-decay": learning.weight_decay, "--min-snr": learning.min_snr,
        }  # fmt: skip
        check_at_least(0, zero_or_more)
        shares = {
            "--attribute-dropout": learning.attribute_dropout, "--source-dropout": learning.source_dropout,
            "--all-dropout": learning.all_dropout, "--ema-decay": learning.ema_decay,
            "--dropout": self.denoiser.dropout, "--weight-floor": learning.weight_floor,
        }  # fmt: skip
        check_shares(shares)
        check_stop_at(self.stop_at)
        if self.data.size != self.denoiser.size:
            raise UserError(f"images of {self.data.size} pixels do not fit a denoiser for {self.denoiser.size}")
        self.denoiser.check()

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """See ``BaseRunSettings``."""
        content = read_settings(path)
        if isinstance(content, dict) and ADVERSARIAL in content:
            raise UserError(f"{path.parent} was trained with --model dcgan; this takes a run of the diffusion model")
        if isinstance(content, dict) and COLOURISER in content:
            raise UserError(f"{path.parent} was trained with colourise train; give it to colourise apply or measure")
        return super().from_yaml(path)


def preset_row(user: TrainSettings) -> Preset:
    """The preset's row, with the command line's options in place of its own.

    :raises UserError: for an unknown name
    """
    if user.preset not in PRESETS:
        raise UserError(f"unknown preset '{user.preset}' (known: {', '.join(PRESETS)}){nearest(user.preset, PRESETS)}")
    given = {name: getattr(user, name) for name in Preset._fields}
    return PRESETS[user.preset]._replace(**{name: value for name, value in given.items() if value is not None})


def data_settings(user: TrainSettings, row: Preset) -> DataSettings:
    """The training images of the command line's options and the preset's row."""
    # The preset's classes are those of the preset's data.
    classes = user.classes if user.data and all(spec.startswith("sprites") for spec in user.data) else row.classes
    return DataSettings(
        row.data, row.size, classes, user.split, str(user.downloads), user.skip_bad, user.unlabeled, user.attributes,
        labels=user.labels, oversample=user.oversample,
        label_maps=() if user.label_maps is None and (user.data or not user.attributes) else row.label_maps,
    )  # fmt: skip


def resolve(user: TrainSettings) -> RunSettings:
    """Complete the command line's options for a denoiser from the preset.

    :raises UserError: for an unknown name, and for a number out of range
    """
    row = preset_row(user)
    if user.conditional:
        raise UserError("--conditional is for --model dcgan; a denoiser always knows the labels of its images")
    learning = LearningSettings(
        images=row.images,
        batch_size=row.batch_size,
        learning_rate=row.learning_rate,
        weight_floor=row.weight_floor,
        warmup=min(100_000, row.images // 20) if user.warmup is None else user.warmup,
        **{name: getattr(user, name) for name in _SAME},
    )
    settings = RunSettings(
        name=check_name(user.name or f"{user.preset}-{user.seed}"),
        seed=user.seed,
        device=user.device,
        precision=user.precision,
        data=data_settings(user, row),
        vocabulary=Vocabulary(()),
        denoiser=DenoiserSettings(row.size, row.patch, row.channels, row.layers, row.attention, dropout=user.dropout),
        noise=Noise(user.schedule, user.prediction),
        learning=learning,
        checkpoint_every=row.checkpoint_every,
        sample_every=row.sample_every,
        checkpoint_minutes=user.checkpoint_minutes,
        threads=1 if user.threads is None else user.threads,
        stop_at=row.stop_at,
    )
    settings.check()
    return settings


MAY_CHANGE = (
    "learning.images", "learning.warmup", "checkpoint_every", "sample_every", "checkpoint_minutes", "versions",
    "git_commit", "device", "data.downloads", "data.labels", "stop_at",
)  # fmt: skip

# Fields that ``TrainSettings`` and ``LearningSettings`` share.
_SAME = (
    "weight_decay", "min_snr", "class_dropout", "attribute_dropout", "source_dropout", "all_dropout", "flips",
    "ema_decay", "ema_power", "shift",
)  # fmt: skip


def differing(before: BaseRunSettings, now: BaseRunSettings) -> str | None:
    """The settings that differ, although a run may not change them, in words; None when there are none.

    Images to train on, the warm-up that follows from them, intervals and the device may change.
    """
    return difference(before, now, MAY_CHANGE)
