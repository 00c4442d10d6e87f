"""A small residual image classifier, trained here from scratch, for attributes, scores and metrics.

Stages of one residual block each follow a stem that turns every 2 x 2 pixels into 12 channels. Images are resized to
the size of the network. Its features are the input of the last layer.

Credits: K. He et al. 2015, arXiv 1512.03385 (residual networks). W. Shi et al. 2016, arXiv 1609.05158 (pixel
unshuffle). Y. Wu and J. Johnson 2021, arXiv 2105.07576 (statistics found after the training). PyTorch; safetensors
for the file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from safetensors.torch import save as pack_weights
from torch import Tensor, nn
from torch.nn import functional

from common.device import resolve_precision
from common.errors import UserError, first_line
from common.files import write_atomic
from common.options import Precision
from common.parallel import PARTS, divided, one_torch_thread, run_parts
from gen_models.images.image_set import flipped, to_model_space

BATCH = 64
EVALUATION_BATCH = 250
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
STATISTICS_IMAGES = 2_048
WARM_UP = 0.2  # share of the training during which the learning rate rises

SETTINGS_FILE = "classifier.json"
WEIGHTS_FILE = "classifier.safetensors"


@dataclass(frozen=True)
class ClassifierSettings:
    """Settings of the network.

    :param outputs: names of the outputs
    :param multi_label: each output is a yes or no of its own; else exactly one is right
    :param widths: channels of the stages; the last is the number of features
    :param size: side in pixels of the network's input
    :param test_accuracy: share of right answers on test images, by output if ``multi_label``; empty until measured
    """

    outputs: tuple[str, ...]
    multi_label: bool = False
    widths: tuple[int, ...] = (32, 64, 128)
    size: int = 32
    test_accuracy: tuple[float, ...] = ()


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.residual(x) + self.shortcut(x))


class _Network(nn.Module):
    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        first = settings.widths[0]
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        before = (first, *settings.widths[:-1])
        self.stages = nn.Sequential(
            *(
                _Block(a, b, 1 if index == 0 else 2)
                for index, (a, b) in enumerate(zip(before, settings.widths, strict=True))
            )
        )
        self.head = nn.Linear(settings.widths[-1], len(settings.outputs))

    def features(self, x: Tensor) -> Tensor:
        """The input of the last layer, (B, D)."""
        h: Tensor = self.stages(self.stem(x))
        return h.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class Classifier:
    """A network with its settings, in evaluation mode.

    :param device: of the network
    """

    def __init__(self, settings: ClassifierSettings, device: torch.device | str = "cpu") -> None:
        self.settings = settings
        self.device = torch.device(device)
        network = _Network(settings).to(self.device)
        # On CPUs twice as fast as contiguous planes.
        self.network = network.to(memory_format=torch.channels_last)
        self.network.eval()

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The features of images uint8 (N, S, S, 3), float32 (N, D)."""
        return self._evaluate(images, self.network.features, self.settings.widths[-1])

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability of each output, float32 (N, outputs); rows add up to 1 unless ``multi_label``."""
        squash: Callable[[Tensor], Tensor] = torch.sigmoid if self.settings.multi_label else _softmax
        return self._evaluate(images, lambda x: squash(self.network(x)), len(self.settings.outputs))

    def accuracy(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[float, ...]:
        """Share of right answers, one for each output if ``multi_label``, else one.

        :param labels: (N,) or, if ``multi_label``, (N, outputs)
        """
        probabilities = self.probabilities(images)
        if self.settings.multi_label:
            return tuple(((probabilities > 0.5) == (labels == 1)).mean(axis=0).tolist())
        return (float((probabilities.argmax(axis=1) == labels).mean()),)

    @torch.inference_mode()
    def _evaluate(
        self, images: NDArray[np.uint8], function: Callable[[Tensor], Tensor], width: int
    ) -> NDArray[np.float32]:
        out = np.empty((len(images), width), np.float32)

        def evaluate(batch: slice) -> None:
            out[batch] = function(self.prepare(images[batch])).float().cpu().numpy()

        batches = [slice(first, first + EVALUATION_BATCH) for first in range(0, len(images), EVALUATION_BATCH)]
        if self.device.type == "cpu":
            run_parts(evaluate, batches)
        else:
            for batch in batches:
                evaluate(batch)
        return out

    def prepare(self, images: NDArray[np.uint8]) -> Tensor:
        """Images as input of the network, float32 (B, 3, size, size) on its device."""
        x = to_model_space(images, self.device)
        if x.shape[-1] != self.settings.size:
            x = functional.interpolate(x, [self.settings.size] * 2, mode="bilinear", antialias=True)
        return x.contiguous(memory_format=torch.channels_last)

    def save(self, folder: Path) -> None:
        """Write weights and settings into a folder; the settings last, as the mark of a complete folder."""
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        write_atomic(folder / WEIGHTS_FILE, pack_weights(weights))
        write_atomic(folder / SETTINGS_FILE, json.dumps(asdict(self.settings), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Classifier:
        """Read what ``save`` wrote.

        :raises UserError: when it is missing or damaged
        """
        try:
            known = json.loads((folder / SETTINGS_FILE).read_text())
            settings = ClassifierSettings(
                tuple(map(str, known["outputs"])),
                bool(known["multi_label"]),
                tuple(map(int, known["widths"])),
                int(known["size"]),
                tuple(map(float, known["test_accuracy"])),
            )
            classifier = cls(settings, device)
            classifier.network.load_state_dict(load_weights((folder / WEIGHTS_FILE).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, SafetensorError) as error:
            raise UserError(f"no intact classifier in {folder} ({first_line(error)}); delete the folder", 1) from error
        return classifier


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)


def train_classifier(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    outputs: Sequence[str],
    multi_label: bool = False,
    seed: int = 0,
    epochs: int = 12,
    learning_rate: float = 0.05,
    widths: tuple[int, ...] = (32, 64, 128),
    size: int = 32,
    shift: int = 2,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    precision: Precision = "float32",
) -> Classifier:
    """Train a classifier from random weights, with random flips and shifts.

    The same seed gives the same weights on one kind of machine, with any number of cores. Each half of a batch is
    normalised by its own statistics; those for evaluation are averaged over images after the training.

    :param images: uint8 (N, S, S, 3)
    :param labels: (N,) indices of ``outputs``; if ``multi_label``, (N, outputs) with 1 yes, 0 no, -1 not known
    :param learning_rate: its highest value; it rises and falls linearly
    :param shift: greatest shift in pixels, in each direction
    :param progress: called with the steps done and their total
    :param precision: arithmetic of the training; the trained network is evaluated in float32
    """
    if len(images) == 0:
        raise ValueError("no images to train on")
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = Classifier(ClassifierSettings(tuple(outputs), multi_label, widths, size), device)
    network = classifier.network.train()
    arithmetic = resolve_precision(precision, str(classifier.device))
    optimizer = torch.optim.SGD(network.parameters(), learning_rate, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(1e-3, min((step + 1) / (WARM_UP * steps), (steps - step) / ((1 - WARM_UP) * steps)))
    )
    parameters = list(network.parameters())

    def logits_of(x: Tensor) -> tuple[Tensor]:
        with torch.autocast(classifier.device.type, torch.bfloat16, enabled=arithmetic == "bfloat16"):
            return (network(x).float(),)

    with one_torch_thread(), _statistics_of_each_batch(network):
        for step, which in enumerate(_batches(len(images), epochs, rng)):
            x = classifier.prepare(augmented(images[which], shift, rng))
            y = torch.from_numpy(labels[which]).to(classifier.device)
            (logits,) = divided(logits_of, parameters, PARTS, x)
            loss = _loss(logits, y, multi_label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress(step + 1, steps)
    chosen = rng.permutation(len(images))[:STATISTICS_IMAGES]
    _find_statistics(classifier, augmented(images[chosen], shift, rng))
    network.eval()
    return classifier


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@contextlib.contextmanager
def _statistics_of_each_batch(network: nn.Module) -> Iterator[None]:
    """Batch normalisation without running means, which would depend on the order of the threads."""
    for norm in _norms(network):
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in _norms(network):
            norm.track_running_stats = True


@torch.no_grad()
def _find_statistics(classifier: Classifier, images: NDArray[np.uint8]) -> None:
    """Set the means and variances for evaluation: averages over batches like those of the training."""
    norms = _norms(classifier.network)
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to ask for the average over all batches
    with one_torch_thread():
        for first in range(0, len(images), BATCH // PARTS):
            classifier.network(classifier.prepare(images[first : first + BATCH // PARTS]))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum


def with_test_accuracy(classifier: Classifier, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Classifier:
    """Measure the accuracy on test images and keep it in the settings; returns the same classifier."""
    classifier.settings = replace(classifier.settings, test_accuracy=classifier.accuracy(images, labels))
    return classifier


def _loss(logits: Tensor, labels: Tensor, multi_label: bool) -> Tensor:
    if not multi_label:
        return functional.cross_entropy(logits, labels)
    known = labels >= 0
    return functional.binary_cross_entropy_with_logits(logits[known], labels[known].to(logits.dtype))


def _batches(count: int, epochs: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Indices of the images of each batch, every image once per epoch."""
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, BATCH):
            yield order[start : start + BATCH]


def augmented(images: NDArray[np.uint8], shift: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images, randomly flipped and shifted by up to ``shift`` pixels, with reflection at the edges."""
    count, size = images.shape[:2]
    images = flipped(images, np.asarray(rng.random(count) < 0.5))
    if shift == 0:
        return images
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), "reflect")
    starts = rng.integers(2 * shift + 1, size=(2, count, 1))
    rows, columns = starts + np.arange(size)
    return np.asarray(padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]], np.uint8)
