"""The real images that others are evaluated against: training images, and test images of the classifier.

The classifier of ``gen_models.classifiers.own_features`` is trained on the training images and tested on the source's
test images. Where a source has none, a fifth of the training images is held out from the classifier, though not from
the generative model. Half of the test images are the reference from which distances are measured. The other half is
evaluated like generated images, so that the numbers of these can be compared with numbers of real ones.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from gen_models.adversarial.settings import settings_of_run
from gen_models.images.image_set import ImageSet
from gen_models.images.loaders import Split, load_images
from gen_models.training.data import digest, labels_of, load_training_images, vocabulary_of
from gen_models.training.settings import HORSES_AND_BIRDS, DataSettings

CONTRAST = ("airplane", "deer")  # classes that the classifier is trained on besides, where the source has them
HELD_OUT = 5  # every fifth image of a class is a test image, where the source has none


@dataclass(frozen=True)
class JudgingData:
    """Real images, all of one size.

    :param training: training images of the generative model
    :param learning: training images of the classifier: of the model's classes and those of ``CONTRAST``
    :param test: of the same classes as ``learning``, not in it
    :param classes: of the model
    :param name: of the source
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
        """Indices of the reference among the test images: half of each of these classes."""
        return np.concatenate([self._half(name, 0) for name in classes])

    def held_out(self, classes: tuple[str, ...], count: int) -> NDArray[np.int64]:
        """Indices of up to ``count`` test images outside the reference, as evenly from these classes as possible."""
        halves = [self._half(name, 1) for name in classes]
        turns = np.concatenate([np.arange(len(half)) for half in halves])
        return np.concatenate(halves)[np.argsort(turns, kind="stable")][:count]

    def _half(self, name: str, which: int) -> NDArray[np.int64]:
        indices = np.flatnonzero(self.test.of_class(name))
        return np.asarray(np.random.default_rng(0).permutation(indices)[which::2], np.int64)


def data_of_run(run: Path) -> JudgingData:
    """The real images of a run.

    :raises UserError: when the run or its images do not exist, or the images are not those that it was trained on
    """
    settings = settings_of_run(run)
    training = load_training_images(settings.data, run)
    if settings.data.digest:
        labels = labels_of(training, vocabulary_of(training, settings.data.attributes))
        if digest(training, labels) != settings.data.digest:
            raise UserError(
                f"{', '.join(settings.data.specs)}: not the images that {run} was trained on; restore them", 1
            )
    return judging_data(settings.data, training)


def data_of_spec(spec: str, size: int, downloads: Path, skip_bad: bool = False) -> JudgingData:
    """The real images of a source: its horses and birds, or all if it has neither.

    :param spec: see ``gen_models.images.loaders.load_images``, also for ``skip_bad``
    :raises UserError: one line that names the fault
    """
    settings = DataSettings((spec,), size, None, "train", str(downloads), skip_bad, False, False)
    everything = _load(settings, "train")
    classes = tuple(name for name in HORSES_AND_BIRDS if name in everything.class_names)
    return judging_data(settings, everything.only(classes) if classes else everything)


def judging_data(settings: DataSettings, training: ImageSet) -> JudgingData:
    """The real images for a model with these training images.

    :param settings: of the images' source
    :param training: the training images
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
    """The name of a source in captions, with only the last part of its path."""
    kind, colon, path = spec.partition(":")
    return f"{kind}{colon}{Path(path).name}"


def _load(settings: DataSettings, split: Split) -> ImageSet:
    """The images of all classes of the sources."""
    downloads = Path(settings.downloads)
    return load_images(settings.specs, settings.size, None, split, downloads, settings.skip_bad)


def _with_class(images: ImageSet) -> ImageSet:
    return images.take(images.classes >= 0)
