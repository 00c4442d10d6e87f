"""The scores of one sampled image on the page: class probabilities, whiteness and nearest training images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen_models.classifiers.attributes import whiteness
from gen_models.classifiers.classifier import Classifier
from gen_models.classifiers.own_features import accuracy_warning
from gen_models.images.image_set import ImageSet
from gen_models.judging.neighbours import nearest_either_way
from gen_models.training.data import load_training_images
from gen_models.training.settings import DataSettings

NEIGHBOURS = 6


@dataclass(frozen=True)
class NearestImages:
    """The training images nearest to a sampled one or its mirror image, the nearest first.

    :param images: uint8 (K, S, S, 3)
    :param classes: the class of each, empty where it is unknown
    :param distances: (K,), in the unit of the space
    """

    images: NDArray[np.uint8]
    classes: tuple[str, ...]
    distances: tuple[float, ...]

    @property
    def ratio(self) -> float | None:
        """First distance over the second, 0 (a copy) to 1; None where there is no second."""
        if len(self.distances) < 2:
            return None
        first, second = self.distances[:2]
        return first / second if first else 0.0


@dataclass(frozen=True)
class Scores:
    """The scores of an image.

    :param whiteness: white share of the foreground, 0 to 1
    :param pixels: the nearest training images in pixels, distances as RMSE, 0 to 1
    :param features: those in own features, Euclidean
    :param probabilities: of the own classifier's outputs
    :param warning: about a classifier that is often wrong
    """

    whiteness: float
    pixels: NearestImages | None = None
    features: NearestImages | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    warning: str | None = None


class Scorer:
    """Scores images against the run's training images.

    :param training: the run's training images; None where they are missing
    :param classifier: trained on the run's data; None where there is none
    """

    def __init__(self, training: ImageSet | None, classifier: Classifier | None = None) -> None:
        self.training = training
        self.classifier = classifier
        both = training is not None and classifier is not None
        self._features = classifier.features(training.images) if both else None  # type: ignore[union-attr]

    def __call__(self, image: NDArray[np.uint8]) -> Scores:
        """The scores of an image uint8 (S, S, 3)."""
        as_it_is, mirrored = image[None], image[None, :, ::-1]
        pixels = features = None
        if self.training is not None:
            pixels = self._near(as_it_is, mirrored, self.training.images, 255 * math.sqrt(image.size))
        if self.classifier is not None and self._features is not None:
            in_features = self.classifier.features
            features = self._near(in_features(as_it_is), in_features(mirrored), self._features, 1.0)
        warning = None if self.classifier is None else accuracy_warning(self.classifier)
        white = float(whiteness(as_it_is)[0])
        return Scores(white, pixels, features, self._probabilities(as_it_is), warning)

    def _probabilities(self, images: NDArray[np.uint8]) -> dict[str, float]:
        if self.classifier is None:
            return {}
        values = self.classifier.probabilities(images)[0].tolist()
        return dict(zip(self.classifier.settings.outputs, values, strict=True))

    def _near(
        self, query: NDArray[Any], mirrored: NDArray[Any], references: NDArray[Any], unit: float
    ) -> NearestImages:
        assert self.training is not None
        near = nearest_either_way(query, mirrored, references, min(NEIGHBOURS, len(references)))
        chosen = self.training.take(near.indices[0])
        names = (*chosen.class_names, "")  # the last is that of an image without a class
        classes = tuple(names[index] for index in chosen.classes)
        return NearestImages(chosen.images, classes, tuple((near.distances[0] / unit).tolist()))


def training_images(settings: DataSettings) -> ImageSet:
    """A run's training images, without attributes.

    :raises UserError: when they are not where they were
    """
    return load_training_images(dataclasses.replace(settings, attributes=False))
