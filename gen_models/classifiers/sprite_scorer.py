"""Scores images in the style of the sprites: a horse's body, raised wings, white.

A small network, trained on sprites of every combination, including winged horses. Some are slightly blurred, noisy or
paler, like samples of a generative model. It is also trained on images of no animal, for which all three answers are
no: averages of a horse and a bird, halves of both side by side, sprites too blurred or noisy to recognise, and empty
backgrounds. A ghostly mixture therefore does not count as a winged horse.

Credits: Pillow's filters.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from common.errors import UserError
from common.files import write_atomic
from common.progress import progress_of
from gen_models.classifiers import classifier as classifier_module
from gen_models.classifiers.classifier import Classifier, train_classifier, with_test_accuracy
from gen_models.images import sprite_drawing, sprites
from gen_models.images.image_set import resized
from gen_models.images.sprite_drawing import OVERSAMPLING, SIZE, background, draw_scene
from gen_models.images.sprites import KINDS, draw_sprites, random_scene

OUTPUTS = ("horse", "wings", "white")
WIDTHS = (24, 48, 96)
EPOCHS = 6
DRAWINGS = 6_000
NOTHINGS = 3_000
HELD_OUT = 3_000
TRAINING_SEED, HELD_OUT_SEED = 1_000_001, 1_000_002  # no data set is drawn from these
MADE_FROM = "made-from.json"

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class SpriteScorer:
    """The scorer.

    :param classifier: a network with the outputs horse, wings and white
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier

    @classmethod
    def trained(
        cls,
        folder: Path,
        device: torch.device | str = "cpu",
        progress: Callable[[int, int], None] | None = None,
    ) -> SpriteScorer:
        """The scorer from a folder; trained and saved there, in about a minute, if missing or of another version.

        :param progress: called with the training steps done and their total
        :raises UserError: when the folder cannot be written
        """
        kept = cls.kept(folder, device)
        if kept is not None:
            return kept
        scorer = train_scorer(device=device, progress=progress)
        scorer.keep(folder)
        return scorer

    @classmethod
    def kept(cls, folder: Path, device: torch.device | str = "cpu") -> SpriteScorer | None:
        """The scorer from a folder; None where it is missing, incomplete or of another version."""
        try:
            if (folder / MADE_FROM).read_text() == code_digest():
                return cls(Classifier.load(folder, device))
        except (OSError, UserError):
            pass
        return None

    def keep(self, folder: Path) -> None:
        """Write the scorer into a folder; its version last, as the mark of a complete folder."""
        self.classifier.save(folder)
        write_atomic(folder / MADE_FROM, code_digest())

    def probabilities(self, images: Images) -> dict[str, NDArray[np.float32]]:
        """The probabilities of ``horse``, ``wings`` and ``white``, float32 (N,); images uint8 (N, S, S, 3)."""
        columns = self.classifier.probabilities(resized(images, SIZE))
        return {name: columns[:, index] for index, name in enumerate(OUTPUTS)}

    def score(self, images: Images) -> dict[str, NDArray[np.bool_]]:
        """``horse``, ``wings`` and ``white``, bool (N,): probabilities above 0.5."""
        return {name: column > 0.5 for name, column in self.probabilities(images).items()}

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of right answers by output, on held-out sprites, a third of each kind."""
        return dict(zip(OUTPUTS, self.classifier.settings.test_accuracy, strict=True))


def train_scorer(
    drawings: int = DRAWINGS,
    nothings: int = NOTHINGS,
    epochs: int = EPOCHS,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> SpriteScorer:
    """Train the scorer and measure its accuracy on held-out sprites.

    :param drawings: number of sprites of all kinds together
    :param nothings: number of images of no animal
    """
    images, labels = labelled_drawings(drawings, TRAINING_SEED)
    images = roughened(images, np.random.default_rng(TRAINING_SEED))
    nothing = np.concatenate([images_of_nothing(kind, nothings // len(NOTHING), TRAINING_SEED) for kind in NOTHING])
    trained = train_classifier(
        np.concatenate([images, nothing]),
        np.concatenate([labels, np.zeros((len(nothing), len(OUTPUTS)), np.int64)]),
        OUTPUTS,
        multi_label=True,
        epochs=epochs,
        widths=WIDTHS,
        size=SIZE,
        device=device,
        progress=progress,
    )
    return SpriteScorer(with_test_accuracy(trained, *labelled_drawings(HELD_OUT, HELD_OUT_SEED)))


def labelled_drawings(n: int, seed: int) -> tuple[Images, Labels]:
    """Sprites, a third of each kind, and labels int64 (N, 3): horse, wings, white."""
    images, labels = [], []
    for kind in KINDS:
        drawn, known = draw_sprites(kind, n // len(KINDS), seed)
        images.append(drawn)
        horse = np.full(len(drawn), kind != "bird")
        labels.append(np.stack([horse, known["spread"], known["white"]], axis=1).astype(np.int64))
    return np.concatenate(images), np.concatenate(labels)


def roughened(images: Images, rng: np.random.Generator) -> Images:
    """A copy in which half of the images, at random, are slightly blurred, noisy and of another contrast."""
    out = images.copy()
    for index in np.flatnonzero(rng.random(len(images)) < 0.5):
        soft = _blurred(images[index], rng.uniform(0, 0.6)).astype(np.float64)
        soft = (soft - 128) * rng.uniform(0.85, 1.1) + 128 + rng.normal(0, rng.uniform(0, 8), soft.shape)
        out[index] = soft.round().clip(0, 255)
    return out


def images_of_nothing(kind: str, n: int, seed: int) -> Images:
    """Images that show neither a horse nor a bird, uint8 (n, 32, 32, 3).

    :param kind: a key of ``NOTHING``
    """
    rng = np.random.default_rng([seed, list(NOTHING).index(kind)])
    return NOTHING[kind](n, seed, rng)


def _blends(n: int, seed: int, rng: np.random.Generator) -> Images:
    """Averages of a horse and a bird."""
    share = rng.uniform(0.35, 0.65, size=(n, 1, 1, 1))
    horses, birds = _pairs(n, rng)
    return np.asarray((share * horses + (1 - share) * birds).round(), np.uint8)


def _halves(n: int, seed: int, rng: np.random.Generator) -> Images:
    """The left part of a horse beside the right part of a bird, or the other way round."""
    horses, birds = _pairs(n, rng)
    left = (np.arange(SIZE) < rng.integers(14, 19, size=(n, 1))) ^ (rng.random((n, 1)) < 0.5)
    return np.where(left[:, None, :, None], horses, birds)


def _pairs(n: int, rng: np.random.Generator) -> tuple[Images, Images]:
    """Horses and birds, every second pair in the same place, of the same colour and before the same background."""
    horses = [random_scene("horse", rng) for _ in range(n)]
    birds = [random_scene("bird", rng) for _ in range(n)]
    birds[::2] = [
        replace(horse, horse=False, wings=bird.wings, flying=bird.flying)
        for horse, bird in zip(horses[::2], birds[::2], strict=True)
    ]
    return np.stack([draw_scene(scene) for scene in horses]), np.stack([draw_scene(scene) for scene in birds])


def _blurs(n: int, seed: int, rng: np.random.Generator) -> Images:
    """Sprites blurred beyond recognition."""
    drawn = _any_kind(n, seed + 30)
    return np.stack([_blurred(image, radius) for image, radius in zip(drawn, rng.uniform(2.5, 5, size=n), strict=True)])


def _noises(n: int, seed: int, rng: np.random.Generator) -> Images:
    """Sprites with noise beyond recognition."""
    share = rng.uniform(0, 0.4, size=(n, 1, 1, 1))
    noise = rng.normal(128, 60, size=(n, SIZE, SIZE, 3))
    return np.asarray((share * _any_kind(n, seed + 40) + (1 - share) * noise).round().clip(0, 255), np.uint8)


def _empty(n: int, seed: int, rng: np.random.Generator) -> Images:
    """Backgrounds alone."""
    scenes = [random_scene("bird", rng) for _ in range(n)]
    return np.stack([np.asarray(Image.fromarray(background(scene)).reduce(OVERSAMPLING)) for scene in scenes])


NOTHING: dict[str, Callable[[int, int, np.random.Generator], Images]] = {
    "blend": _blends,
    "halves": _halves,
    "blur": _blurs,
    "noise": _noises,
    "empty": _empty,
}


def _any_kind(n: int, seed: int) -> Images:
    drawn = np.concatenate([draw_sprites(kind, -(-n // len(KINDS)), seed)[0] for kind in KINDS])
    return drawn[:n] if n < len(KINDS) else drawn[np.linspace(0, len(drawn) - 1, n).astype(int)]


def _blurred(image: Images, radius: float) -> Images:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(radius))))


def code_digest() -> str:
    """The version of the scorer: a digest of the code that it depends on, so that an older one is not used."""
    modules = (sprite_drawing, sprites, classifier_module, inspect.getmodule(code_digest))
    code = "".join(inspect.getsource(module) for module in modules if module is not None)
    return json.dumps({"code": hashlib.sha256(code.encode()).hexdigest()}) + "\n"


def load_scorer(folder: Path) -> SpriteScorer:
    """The scorer from a folder, with a progress bar if it has to be trained."""
    with progress_of("training the scorer") as progress:
        return SpriteScorer.trained(folder, progress=progress)
