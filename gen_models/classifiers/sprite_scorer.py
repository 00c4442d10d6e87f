"""Scores images in the style of the sprites: a horse's head, trunk and legs, raised wings, white.

A small network, trained on sprites of every combination, including winged horses, and on wrong drawings
(``gen_models.classifiers.wrong_drawings``), half of them a little blurred, bent, noisy or paler, like samples of a
generative model. It answers for each part by itself. An image shows a horse if head, trunk and legs are right, and a
winged horse if the wings are, too.

How well it does on kinds of wrong drawings that it was never shown is measured with some left out of the training:
``held_out_mistakes``. A second network, which has no say in the score, tells the kinds of drawings apart. Samples are
compared with drawings in its features, so that images which only fool the first network are found out.

Credits: Pillow and OpenCV for filters and warps; K. He et al. 2015 (arXiv 1512.03385) for the networks.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_atomic
from common.progress import progress_of
from gen_models.classifiers import classifier as classifier_module
from gen_models.classifiers import wrong_drawings as wrong_drawings_module
from gen_models.classifiers.classifier import BATCH, Classifier, train_classifier, with_test_accuracy
from gen_models.classifiers.wrong_drawings import OUTPUTS, WRONG, bent, blurred, wrong_drawings
from gen_models.images import sprite_drawing, sprites
from gen_models.images.image_set import resized
from gen_models.images.sprite_drawing import SIZE
from gen_models.images.sprites import KINDS, draw_sprites

HORSE = ("head", "body", "legs")
WINGED_HORSE = (*HORSE, "wings")

# Probability above which a part counts as right. At 0.5 nearly no right drawing is missed, and more wrong ones pass.
ENOUGH = 0.8
WIDTHS = (32, 64, 128)
TRAINING_SEED, HELD_OUT_SEED = 1_000_001, 1_000_002  # no data set is drawn from these
MADE_FROM = "made-from.json"
MISTAKES = "mistakes.json"
MISSED = "winged horses missed"
WITNESS = "witness"  # folder of the network whose features are measured in

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScorerTraining:
    """How much the scorer is trained on.

    :param drawings: sprites of each of the kinds horse and bird; of winged horses twice as many
    :param wrong: wrong drawings of each kind
    :param epochs: of the scorer
    :param witness_epochs: of the network for features
    :param held_out: drawings of each kind with which mistakes are counted
    """

    drawings: int = 1_500
    wrong: int = 150
    epochs: int = 14
    witness_epochs: int = 4
    held_out: int = 200


class SpriteScorer:
    """The scorer.

    :param classifier: a network with the outputs of ``OUTPUTS``
    :param witness: a network that tells the kinds of drawings apart
    :param mistakes: by kind of wrong drawing, the share that is scored as a winged horse; and for ``MISSED``, the share
        of right drawings of winged horses that is not
    """

    def __init__(self, classifier: Classifier, witness: Classifier, mistakes: dict[str, float]) -> None:
        self.classifier = classifier
        self.witness = witness
        self.mistakes = mistakes

    @classmethod
    def trained(
        cls, folder: Path, device: torch.device | str = "cpu", progress: Progress | None = None
    ) -> SpriteScorer:
        """The scorer from a folder; trained and saved there, in some minutes, if missing or of another version.

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
                kept: dict[str, Any] = json.loads((folder / MISTAKES).read_text())
                networks = Classifier.load(folder, device), Classifier.load(folder / WITNESS, device)
                return cls(*networks, {kind: float(share) for kind, share in kept.items()})
        except (OSError, UserError, ValueError, AttributeError):
            pass
        return None

    def keep(self, folder: Path) -> None:
        """Write the scorer into a folder; its version last, as the mark of a complete folder."""
        self.classifier.save(folder)
        self.witness.save(folder / WITNESS)
        write_atomic(folder / MISTAKES, json.dumps(self.mistakes, indent=1) + "\n")
        write_atomic(folder / MADE_FROM, code_digest())

    def probabilities(self, images: Images) -> dict[str, NDArray[np.float32]]:
        """The probabilities of ``head``, ``body``, ``legs``, ``wings`` and ``white``, float32 (N,).

        And those of ``horse`` and ``winged horse``, the least of their parts'.

        :param images: uint8 (N, S, S, 3)
        """
        columns = dict(zip(OUTPUTS, self.classifier.probabilities(resized(images, SIZE)).T, strict=True))
        for name, parts in (("horse", HORSE), ("winged horse", WINGED_HORSE)):
            columns[name] = np.min([columns[part] for part in parts], axis=0)
        return columns

    def score(self, images: Images) -> dict[str, NDArray[np.bool_]]:
        """What is right in each image, bool (N,) by name: probabilities above ``ENOUGH``."""
        return {name: column > ENOUGH for name, column in self.probabilities(images).items()}

    def features(self, images: Images) -> NDArray[np.float32]:
        """The witness's features, float32 (N, 128), in which samples are compared with drawings."""
        return self.witness.features(resized(images, SIZE))

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of right answers by output, on held-out sprites, a third of each kind."""
        return dict(zip(OUTPUTS, self.classifier.settings.test_accuracy, strict=True))


def train_scorer(
    training: ScorerTraining | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> SpriteScorer:
    """Train the scorer and the witness; measure accuracy on held-out sprites, and mistakes on other wrong drawings."""
    size = training or ScorerTraining()
    images, labels, kinds = _learning(size, tuple(WRONG))
    steps = [epochs * -(-len(images) // BATCH) for epochs in (size.epochs, size.witness_epochs)]

    def after(before: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(before + done, sum(steps))

    classifier = _part_classifier(size, images, labels, device, after(0))
    witness = train_classifier(
        images,
        kinds,
        (*KINDS, *WRONG),
        epochs=size.witness_epochs,
        widths=WIDTHS,
        size=SIZE,
        device=device,
        progress=after(steps[0]),
        precision="auto",
    )
    return SpriteScorer(classifier, witness, _mistakes(classifier, tuple(WRONG), size.held_out))


def held_out_mistakes(
    fold: int,
    folds: int,
    training: ScorerTraining | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train a scorer that is not shown some kinds of wrong drawings, and count its mistakes on these.

    :param fold: kind k is left out if k modulo ``folds`` is this, so that some kinds of every part are
    :return: see ``SpriteScorer``
    """
    size = training or ScorerTraining()
    left_out = tuple(WRONG)[fold::folds]
    images, labels, _ = _learning(size, tuple(kind for kind in WRONG if kind not in left_out))
    classifier = _part_classifier(size, images, labels, device, progress)
    return _mistakes(classifier, left_out, size.held_out)


def _part_classifier(
    size: ScorerTraining, images: Images, labels: Labels, device: torch.device | str, progress: Progress | None
) -> Classifier:
    trained = train_classifier(
        images,
        labels,
        OUTPUTS,
        multi_label=True,
        epochs=size.epochs,
        widths=WIDTHS,
        size=SIZE,
        device=device,
        progress=progress,
        precision="auto",
    )
    return with_test_accuracy(trained, *labelled_drawings(3 * size.held_out, HELD_OUT_SEED))


def _learning(size: ScorerTraining, wrong: Sequence[str]) -> tuple[Images, Labels, Labels]:
    """The images to learn from, their labels (N, 5), and the index of each one's kind (N,)."""
    parts = [labelled_drawings(3 * size.drawings, TRAINING_SEED)]
    winged, labels = labelled_drawings(3 * size.drawings, TRAINING_SEED + 2)
    parts.append((winged[-size.drawings :], labels[-size.drawings :]))  # winged horses are as many as the two others
    parts += [wrong_drawings(kind, size.wrong, TRAINING_SEED, 0.75) for kind in wrong]
    kinds = [*range(3), 2, *range(3, 3 + len(wrong))]
    counts = [size.drawings] * 4 + [size.wrong] * len(wrong)
    images = roughened(np.concatenate([one for one, _ in parts]), np.random.default_rng(TRAINING_SEED))
    return images, np.concatenate([one for _, one in parts]), np.repeat(kinds, counts)


def _mistakes(classifier: Classifier, kinds: Sequence[str], n: int) -> dict[str, float]:
    """See ``SpriteScorer``; of ``n`` drawings each that it was not trained on."""
    columns = [OUTPUTS.index(part) for part in WINGED_HORSE]

    def share(images: Images) -> float:
        return float((classifier.probabilities(images)[:, columns] > ENOUGH).all(axis=1).mean())

    found = {kind: share(wrong_drawings(kind, n, HELD_OUT_SEED)[0]) for kind in kinds}
    return {MISSED: 1 - share(draw_sprites("winged horse", 5 * n, HELD_OUT_SEED)[0]), **found}


def labelled_drawings(n: int, seed: int) -> tuple[Images, Labels]:
    """Sprites, a third of each kind, and labels int64 (N, 5), in the order of ``OUTPUTS``."""
    images, labels = [], []
    for kind in KINDS:
        drawn, known = draw_sprites(kind, n // len(KINDS), seed)
        horse = np.full(len(drawn), kind != "bird")
        images.append(drawn)
        labels.append(np.stack([horse, horse, horse, known["spread"], known["white"]], axis=1).astype(np.int64))
    return np.concatenate(images), np.concatenate(labels)


def roughened(images: Images, rng: np.random.Generator) -> Images:
    """A copy in which half of the images, at random, are a little blurred, bent, noisy and of another contrast."""
    out = images.copy()
    for index in np.flatnonzero(rng.random(len(images)) < 0.5):
        soft = blurred(bent(images[index], rng.uniform(0, 0.7), rng), rng.uniform(0, 0.6)).astype(np.float64)
        soft = (soft - 128) * rng.uniform(0.85, 1.1) + 128 + rng.normal(0, rng.uniform(0, 8), soft.shape)
        out[index] = soft.round().clip(0, 255)
    return out


def code_digest() -> str:
    """The version of the scorer: a digest of the code that it depends on, so that an older one is not used."""
    modules = (sprite_drawing, sprites, classifier_module, wrong_drawings_module, inspect.getmodule(code_digest))
    code = "".join(inspect.getsource(module) for module in modules if module is not None)
    return json.dumps({"code": hashlib.sha256(code.encode()).hexdigest()}) + "\n"


def load_scorer(folder: Path) -> SpriteScorer:
    """The scorer from a folder, with a progress bar if it has to be trained."""
    with progress_of("training the scorer") as progress:
        return SpriteScorer.trained(folder, progress=progress)
