"""The real images by which others are judged: those trained on, and those that the classifier has not seen.

The classifier of ``gen_models.classifiers.own_features`` learns from the training images and is tested on the source's
test images,
or, where it has none, on a fifth of the training images that it is not shown, though the generative model was. Half of
the test images are the reference from which distances are measured. The other half is held out, to be judged like
generated images, so that their numbers can be read beside those of real ones.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.images.image_set import ImageSet
from gen_models.images.loaders import Split, load_images
from gen_models.training.data import digest, labels_of, load_training_images, vocabulary_of
from gen_models.training.settings import HORSES_AND_BIRDS, DataSettings, RunSettings

CONTRAST = ("airplane", "deer")  # classes that the classifier learns besides, where the source has them
HELD_OUT = 5  # every fifth image of a class, where there are no test images


@dataclass(frozen=True)
class JudgingData:
    """Real images, all of one size.

    :param training: what the generative model was trained on
    :param learning: what the classifier learns from: the model's classes and those of ``CONTRAST``
    :param test: of the same classes as ``learning``, not in it
    :param classes: the model's classes
    :param name: where the images are from
    """

    training: ImageSet
    learning: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    name: str

    @property
    def size(self) -> int:
        """Side of an image in pixels."""
        return self.training.size

    def reference(self, classes: tuple[str, ...]) -> NDArray[np.int64]:
        """Which test images of these classes are the reference: half of each class."""
        return np.concatenate([self._half(name, 0) for name in classes])

    def held_out(self, classes: tuple[str, ...], count: int) -> NDArray[np.int64]:
        """Up to ``count`` test images of these classes that are not in the reference, as many of each as can be."""
        halves = [self._half(name, 1) for name in classes]
        turns = np.concatenate([np.arange(len(half)) for half in halves])
        return np.concatenate(halves)[np.argsort(turns, kind="stable")][:count]

    def _half(self, name: str, which: int) -> NDArray[np.int64]:
        indices = np.flatnonzero(self.test.of_class(name))
        return np.asarray(np.random.default_rng(0).permutation(indices)[which::2], np.int64)


def data_of_run(run: Path) -> JudgingData:
    """The real images of a run.

    :raises UserError: when there is no such run, or its images are not there or not those that it was trained on
    """
    folder = RunFolder(run)
    settings = RunSettings.from_yaml(folder.settings)
    training = load_training_images(settings.data, run)
    if settings.data.digest:
        labels = labels_of(training, vocabulary_of(training, settings.data.attributes))
        if digest(training, labels) != settings.data.digest:
            raise UserError(
                f"{', '.join(settings.data.specs)}: not the images that {run} was trained on; restore them", 1
            )
    return judging_data(settings.data, training)


def data_of_spec(spec: str, size: int, downloads: Path) -> JudgingData:
    """The real images of a source: its horses and birds, or all where it has none of them.

    :param spec: see ``gen_models.images.loaders.load_images``
    :raises UserError: one line that says what is at fault
    """
    settings = DataSettings((spec,), size, None, "train", str(downloads), False, False, False)
    everything = _load(settings, "train")
    classes = tuple(name for name in HORSES_AND_BIRDS if name in everything.class_names)
    return judging_data(settings, everything.only(classes) if classes else everything)


def judging_data(settings: DataSettings, training: ImageSet) -> JudgingData:
    """The real images beside those of a training.

    :param settings: where the images are from
    :param training: those trained on
    :raises UserError: when a classifier cannot be trained with them
    """
    everything = _load(settings, settings.split)
    classes = training.class_names
    known = (*classes, *(name for name in CONTRAST if name in everything.class_names and name not in classes))
    if len(known) < 2:
        raise UserError(
            f"{', '.join(settings.specs)} has images of {len(known)} class; to judge by them takes a classifier of two"
        )
    everything = _with_class(everything.only(known))
    learning, test = everything, None
    if settings.split == "train":
        try:
            test = _with_class(_load(settings, "test").only(known))
        except UserError as error:
            print(f"no test images ({error}): a fifth of the training images takes their place", file=sys.stderr)
    if test is None or any(not test.of_class(name).any() for name in known):
        held_out = np.zeros(len(everything), np.bool_)
        for name in known:
            held_out[np.flatnonzero(everything.of_class(name))[::HELD_OUT]] = True
        learning, test = everything.take(~held_out), everything.take(held_out)
    return JudgingData(training, learning, test, classes, ", ".join(map(_shown, settings.specs)))


def _shown(spec: str) -> str:
    """Images as a caption names them: the last part of a path says enough."""
    kind, colon, path = spec.partition(":")
    return f"{kind}{colon}{Path(path).name}"


def _load(settings: DataSettings, split: Split) -> ImageSet:
    """Images of all classes that the sources have."""
    asked = dataclasses.replace(settings, split=split)
    return load_images(asked.specs, asked.size, None, asked.split, Path(asked.downloads), asked.skip_bad)


def _with_class(images: ImageSet) -> ImageSet:
    return images.take(images.classes >= 0)
