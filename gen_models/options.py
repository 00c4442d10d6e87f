"""The options of the commands of ``run_pegasus.py``, one dataclass each; texts of fields are the command line's help.

What takes seconds to import stands in the commands' own modules, so that help and mistakes are answered at once.

Credits: CleanRL (Huang et al. 2022, JMLR 23) for one dataclass whose field texts are the command line's help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from common.errors import UserError, check_counts
from common.options import Command, Precision, TrackerName
from gen_models.request import Prediction, SampleRequest, Schedule

DOWNLOADS = Path("data")
WINGED_HORSE = "horse=2,spread=3.5"

MOST_IMAGES_AT_ONCE = 65_536
MOST_SAMPLES = 1_000_000

# Options of several commands, each with its text.
Checkpoint = Annotated[str | None, arg(help="Checkpoint, such as step-000180096. Default: the latest.")]
Averaged = Annotated[bool, arg(help="Take the moving average of the weights, not the last ones.")]
BatchSize = Annotated[int, arg(help="Images at once; more take more memory, and change images by rounding only.")]
Device = Annotated[str, arg(help="Device of the network: auto, cpu, cuda, cuda:1, mps.")]


def check_batch_size(batch_size: int) -> None:
    """:raises UserError: for a number of images at once that makes no sense"""
    check_counts(MOST_IMAGES_AT_ONCE, {"--batch-size": batch_size})


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What is trained."""

    model: Literal["diffusion", "dcgan"] = "diffusion"
    """What is trained. diffusion: a denoiser; dcgan: a generator and a discriminator, to compare with. A DCGAN takes
    the images, their number and the intervals from the preset, and none of the denoiser's options."""
    conditional: bool = False
    """dcgan: both networks know the class of each image."""
    preset: str = "sprites"
    """A row of settings: sprites, cifar-cpu, cifar-gpu, stl-96-gpu or smoke. Other options
    take precedence over it."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run: how long it is, and what it leaves."""

    images: int | None = None
    """Images to train on, each counted as often as it is seen. Default: the preset's."""
    seed: int = 742
    """Seed of everything random."""
    name: str | None = None
    """Name of the run; its folder is RUNS/pegasus/NAME. Default: made of model, preset and seed."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    checkpoint_every: int | None = None
    """Interval between checkpoints, in images. Default: the preset's."""
    checkpoint_minutes: float = 5.0
    """Longest time between checkpoints, in minutes; 0 for no limit."""
    sample_every: int | None = None
    """Interval between pictures of samples, in images; 0 for none. Default: the preset's."""
    resume_if_exists: bool = False
    """Resume the run if its folder exists, for job scripts that are started again."""
    track: TrackerName | None = None
    """Send TensorBoard's numbers to wandb, trackio or mlflow as well."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The images."""

    data: tuple[str, ...] | None = None
    """Images: cifar10, stl10, folder:PATH, ffhq:PATH, lsun:PATH, npz:PATH, sprites; several are joined. Default: the
    preset's."""
    size: int | None = None
    """Side of the images in pixels, such as 32, 64 or 96. Default: the preset's."""
    classes: tuple[str, ...] | None = None
    """Classes to train on, as in --classes horse bird. Default: the preset's; with sprites all."""
    split: Literal["train", "test", "all"] = "train"
    """Which part of the images."""
    downloads: Path = DOWNLOADS
    """Folder of the original files of cifar10 and stl10, downloaded if missing."""
    skip_bad: bool = False
    """Skip corrupt pictures of a folder, with a warning."""
    unlabeled: bool = False
    """Also train on images without a class, such as STL-10's 100,000."""
    flips: bool = True
    """Mirror images left to right at random."""
    shift: int = 0
    """Move images at random by up to this many pixels, up or down and left or right, reflected at the edges."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """The images' attributes and labels."""

    attributes: bool = True
    """Also train on attributes of the images: white, spread, sky."""
    labels: tuple[str, ...] = ()
    """Attributes of images given by hand: FILE.csv, or SOURCE=FILE.csv with several --data. Columns: the image's index
    or path, then either attribute and label, or one column for each attribute; cells: yes, no."""
    oversample: str = ""
    """Labels whose images come more often, as in spread=8 or spread=8,horse+white=3: times in each epoch."""
    label_maps: tuple[str, ...] | None = None
    """Also train on maps of what each pixel shows, for sample --compose map: attributes, such as spread, whose images
    are regions of their own beside the classes. Default: the preset's; with --data none."""


@dataclass(frozen=True, kw_only=True)
class DenoiserOptions:
    """The network, and what it predicts."""

    patch: int | None = None
    """Side of a patch in pixels; 1 for none. Default: the preset's."""
    channels: tuple[int, ...] | None = None
    """Channels at each resolution, the finest first. Default: the preset's."""
    layers: int | None = None
    """Residual blocks at each resolution. Default: the preset's."""
    attention: tuple[int, ...] | None = None
    """Resolutions with self-attention, 0 for the finest. Default: the preset's."""
    dropout: float = 0.0
    """Dropout in the residual blocks, a probability."""
    prediction: Prediction = "v"
    """What the denoiser predicts."""
    schedule: Schedule = "cosine"
    """Noise schedule."""
    stop_at: float | None = None
    """Noise level at which sampling from the run ends unless asked otherwise, with the image predicted there. Default:
    the preset's."""


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """The optimisation."""

    batch_size: int | None = None
    """Images a step, over all processes. Default: the preset's; 128 for dcgan."""
    learning_rate: float | None = None
    """Highest learning rate. Default: the preset's; 0.0002 for dcgan, where it is constant."""
    warmup: int | None = None
    """Images over which the learning rate rises; it falls as a cosine afterwards. Default: one in twenty of --images,
    at most 100000."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    min_snr: float = 5.0
    """Gamma of the min-SNR weights; 0 for equal weights."""
    weight_floor: float | None = None
    """Floor under the min-SNR weights at low noise, 0 to 1, so that the network learns to remove grain; 0 for none.
    Default: the preset's."""
    class_dropout: float = 0.15
    """Probability of dropping the class of an image."""
    attribute_dropout: float = 0.15
    """Probability of dropping each attribute."""
    source_dropout: float = 0.15
    """Probability of dropping the source."""
    all_dropout: float = 0.1
    """Probability of dropping all labels of an image, which trains the unconditional prediction."""
    ema_decay: float = 0.9999
    """Highest decay of the moving average of the weights."""
    ema_power: float = 0.75
    """The average's decay after n steps is 1 - n to the power of minus this, up to --ema-decay."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """What the run computes with."""

    device: Device = "auto"
    precision: Precision = "auto"
    """Arithmetic of the network; auto takes bfloat16 where it is faster."""
    threads: int | None = None
    """CPU threads that share each batch; part of the run, since the rounding of sums depends on it. Default: the cores,
    or OMP_NUM_THREADS; 1 on a GPU, with several processes or with --dropout."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings(
    ModelOptions, RunOptions, DataOptions, LabelOptions, DenoiserOptions, LearningOptions, MachineOptions, Command
):
    """Train a denoiser, or a DCGAN to compare with, on images and leave a run folder."""


@dataclass(frozen=True)
class ResumeSettings(Command):
    """Resume a run where it was stopped or killed, as if nothing had happened."""

    run: Positional[Path]
    """The run folder."""
    images: int | None = None
    """New number of images to train on; the decay of the learning rate stretches to it."""
    checkpoint_every: int | None = None
    """New interval between checkpoints, in images."""
    checkpoint_minutes: float | None = None
    """New longest time between checkpoints, in minutes; 0 for no limit."""
    sample_every: int | None = None
    """New interval between pictures of samples, in images; 0 for none."""
    device: str | None = None
    """New device: auto, cpu, cuda, cuda:1, mps."""
    track: TrackerName | None = None
    """Send TensorBoard's numbers to wandb, trackio or mlflow as well."""


@dataclass(frozen=True)
class ExportSettings(Command):
    """Export a run as a folder that diffusers loads, with a model card."""

    run: Positional[Path]
    """The run folder."""
    output: Positional[Path]
    """The new folder."""
    format: Literal["diffusers"] = "diffusers"
    """diffusers: a pipeline, with its own source file for what diffusers lacks."""
    checkpoint: Checkpoint = None
    averaged: Averaged = True


@dataclass(frozen=True)
class PackSettings(Command):
    """Make a small copy of a run, with all that is needed to sample from it."""

    run: Positional[Path]
    """The run folder."""
    output: Positional[Path]
    """The new folder."""
    checkpoint: Checkpoint = None


@dataclass(frozen=True)
class SampleSettings(Command):
    """Sample images from a trained run into its folder samples/NAME."""

    run: Positional[Path]
    """The run folder."""
    request: SampleRequest = field(default_factory=SampleRequest)
    """The request: conditions, composition and sampler."""
    n: int = 64
    """Images to sample."""
    name: str | None = None
    """Name of the folder in samples/. Default: from method, weights and seed."""
    checkpoint: Checkpoint = None
    averaged: Averaged = True
    batch_size: BatchSize = 16
    device: Device = "auto"
    again: Path | None = None
    """A samples.npz of this run: sample its images again and compare, write nothing. Exit status 1 if they differ."""


@dataclass(frozen=True)
class FiguresSettings(Command):
    """Make the figures of a run, in its folder figures/NAME."""

    run: Positional[Path]
    """The run folder."""
    weights: str | None = None
    """Conditions of the interpolations with their weights: horse=2,spread=3.5. Default: the first two words that
    the run knows, 2 each."""
    to: str | None = None
    """Conditions at the end of the last four interpolations, with the same weights in the same order. Default: each
    class becomes the next one."""
    sweep: tuple[str, str] | None = None
    """The two conditions whose weights the sweep varies. Default: the first two of --weights, or of the run's words."""
    from_: Annotated[str, arg(name="from")] = ""
    """A class, such as bird: the sweep is of --compose contrast, from this class, with the first of the two conditions
    as the base and the second added."""
    sweep_weights: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 5.0)
    """Weights in the sweep's rows and columns."""
    steps: int = 50
    """Steps of ddim from noise to image, in the interpolations and in the sweep."""
    seed: int = 0
    """Seed of the images."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network."""
    name: str = "paper"
    """Name of the folder in figures/."""
    checkpoint: Checkpoint = None
    averaged: Averaged = True
    batch_size: BatchSize = 16
    device: Device = "auto"


@dataclass(frozen=True)
class ProveSettings(Command):
    """Count the winged horses that each method of composition gives, with a run on sprites."""

    run: Positional[Path]
    """The run folder."""
    images: int = 256
    """Images that count, for each method."""
    sweep_images: int = 32
    """Images for each setting of the sweep."""
    steps: int = 25
    """Steps from noise to image."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network."""
    seed: int = 1
    """Seed of the images that count; the sweep has the next one."""
    methods: tuple[str, ...] = ()
    """Methods to count, such as contrast or 'horse alone'. Default: all."""
    name: str = "composition"
    """Name of the results' folder in the run folder."""
    scorer: Path | None = None
    """Folder of the scorer, which is trained if missing. Default: sprite-scorer beside the run."""
    checkpoint: Checkpoint = None
    batch_size: BatchSize = 32
    device: Device = "auto"


@dataclass(frozen=True)
class SelectionWeights:
    """The weight of each term of the selection; 0 to leave it out."""

    lift_weight: float = 1.0
    """Weight of the lift: how much more probable the requested classes are than in real images."""
    white_weight: float = 0.5
    """Weight of the whiteness of the foreground."""
    distance_weight: float = 0.25
    """Weight of the distance to the nearest training image."""
    diversity_weight: float = 0.5
    """Weight of the distance to the images kept so far."""

    def check(self) -> None:
        """:raises UserError: for a weight that is negative or not a number"""
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise UserError(f"--{name.replace('_', '-')} {value:g}: a number from 0")


@dataclass(frozen=True)
class JudgeSettings(Command):
    """Evaluate images of runs or of other sources beside real ones; of a run, also select the best."""

    what: Positional[tuple[Path, ...]]
    """Run folders, to sample images from; folders of pictures; pictures of many tiles; samples.npz files. Several are
    compared side by side."""
    request: SampleRequest = field(default_factory=lambda: SampleRequest(WINGED_HORSE))
    """The request to sample from a run."""
    draw: int = 256
    """Images to sample from a run."""
    keep: int = 64
    """Images to keep of these."""
    selection: SelectionWeights = field(default_factory=SelectionWeights)
    """Weights of the selection's terms."""
    samples: Path | None = None
    """A samples.npz of the run to select from, instead of sampling."""
    training: str | None = None
    """Real images to compare with: a run folder, or cifar10, stl10, folder:PATH, npz:PATH. Default: the run's."""
    size: int = 32
    """Side in pixels, where --training names images rather than a run."""
    rows: int | None = None
    """Rows of tiles in a picture. Default: detected."""
    columns: int | None = None
    """Columns of tiles in a picture. Default: detected."""
    skip_bad: bool = False
    """Skip corrupt pictures of a folder, with a warning."""
    name: str | None = None
    """Name of the results' folder in RUN/judge, or in RUNS/judge where no run is named. Default: batch, batch-2, ..."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    downloads: Path = DOWNLOADS
    """Folder of the original files of cifar10 and stl10."""
    checkpoint: Checkpoint = None
    averaged: Averaged = True
    batch_size: BatchSize = 16
    device: Device = "auto"


@dataclass(frozen=True)
class ServeSettings(Command):
    """Sample from a trained run on a page in the browser, with each image's nearest training images."""

    run: Positional[Path]
    """The run folder."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 admits everybody who can reach this machine."""
    port: int = 7860
    """Port to listen at."""
    checkpoint: Checkpoint = None
    averaged: Averaged = True
    batch_size: BatchSize = 16
    device: Device = "auto"
