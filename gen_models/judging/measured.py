"""Measurements of single images: features, probabilities, sharpness, grain, whiteness, nearest training images.

An image is compared with each training image both as it is and mirrored, since training uses both.

Credits: J. L. Pech-Pacheco et al. 2000 (doi 10.1109/ICPR.2000.903548, variance of the Laplacian as sharpness), with
OpenCV. J. Immerkaer 1996 (doi 10.1006/cviu.1996.0060, the noise of an image from a difference of two Laplacians). X. Gu
et al. 2023 (arXiv 2310.02664, memorised where the nearest training image is less than a third as far as the second
nearest, after T. Yoon et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gen_models.classifiers.attributes import whiteness
from gen_models.classifiers.classifier import Classifier
from gen_models.images.image_set import ImageSet, flipped
from gen_models.judging.neighbours import Neighbours, Progress, nearest_either_way

# Grain is measured where the image is even: where the mean of 5 x 5 pixels changes by less than this per pixel.
EVEN_SLOPE = 4.0  # grey levels
EVEN_ENOUGH = 0.05  # least share of even pixels
IMMERKAER = np.outer((1, -2, 1), (1, -2, 1)) / 6  # white noise keeps its standard deviation, planes and edges vanish

MEMORISED = 1 / 3  # ratio of the first to the second neighbour's distance below which an image is memorised


@dataclass(frozen=True)
class Measured:
    """N images and their measurements.

    :param images: uint8 (N, S, S, 3), of the training images' size
    :param features: own features, float32 (N, D)
    :param probabilities: of the classifier's K outputs, float32 (N, K)
    :param sharpness: float32 (N,), see ``sharpness``
    :param whiteness: float32 (N,), see ``gen_models.classifiers.attributes.whiteness``
    :param pixel_neighbours: the nearest training images; distances are RMSE of pixels from 0 to 1
    :param feature_neighbours: the nearest training images in own features, Euclidean
    :param notes: about cutting and resizing
    """

    images: NDArray[np.uint8]
    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    whiteness: NDArray[np.float32]
    pixel_neighbours: Neighbours
    feature_neighbours: Neighbours
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.images)

    def take(self, which: NDArray[np.int64]) -> Measured:
        """Some of the images, in this order."""
        arrays = ("images", "features", "probabilities", "sharpness", "whiteness")
        return replace(
            self,
            **{name: getattr(self, name)[which] for name in arrays},
            pixel_neighbours=self.pixel_neighbours.take(which),
            feature_neighbours=self.feature_neighbours.take(which),
        )


class Measurer:
    """Measures images by a classifier and a model's training images.

    :param classifier: gives features and probabilities
    :param training: the training images
    """

    def __init__(self, classifier: Classifier, training: ImageSet) -> None:
        self.classifier = classifier
        self.training = training
        self.training_features = classifier.features(training.images)

    def measure(self, images: NDArray[np.uint8], progress: Progress | None = None) -> Measured:
        """Measure images.

        :param images: uint8 (N, S, S, 3), of the training images' size
        :param progress: called with the number of image pairs compared and of all pairs
        """
        mirrored = flipped(images, np.ones(len(images), np.bool_))
        features = self.classifier.features(images)
        return Measured(
            images,
            features,
            self.classifier.probabilities(images),
            sharpness(images),
            whiteness(images),
            _rmse(nearest_either_way(images, mirrored, self.training.images, 2, progress), images.shape[1]),
            nearest_either_way(features, self.classifier.features(mirrored), self.training_features, 2),
        )


def _rmse(neighbours: Neighbours, size: int) -> Neighbours:
    """Convert Euclidean distances between bytes to RMSE of pixels from 0 to 1."""
    return replace(neighbours, distances=(neighbours.distances / (255 * np.sqrt(size * size * 3))).astype(np.float32))


def first_to_second(neighbours: Neighbours) -> NDArray[np.float32]:
    """The nearest neighbour's distance over the second's, float32 (N,), 0 to 1; 0 for a copy."""
    first, second = neighbours.distances[:, 0], neighbours.distances[:, 1]
    return np.divide(first, second, out=np.zeros_like(first), where=first > 0)


def memorised(measured: Measured) -> NDArray[np.bool_]:
    """Which images are memorised, bool (N,): much nearer to one training image than to the others, in either space."""
    pixels, features = first_to_second(measured.pixel_neighbours), first_to_second(measured.feature_neighbours)
    return np.asarray((pixels < MEMORISED) | (features < MEMORISED), np.bool_)


def sharpness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The variance of the Laplacian of each image in grey, float32 (N,), in squared grey levels from 0 to 255.

    :param images: uint8 (N, S, S, 3)
    """
    grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images)
    return np.array([cv2.Laplacian(image, cv2.CV_32F).var() for image in grey], np.float32)


def grain(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The standard deviation of the noise in the even areas of each image in grey, float32 (N,), in grey levels.

    It is the root mean square of what Immerkaer's kernel leaves. A chessboard of +a and -a has the grain 8/3 a.

    :param images: uint8 (N, S, S, 3)
    :return: not a number for an image without even areas
    """
    return np.array([_grain(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)) for image in images])


def _grain(grey: NDArray[np.float32]) -> np.float32:
    mean = cv2.blur(grey, (5, 5))
    down, right = np.gradient(mean)
    even = np.hypot(down, right) < EVEN_SLOPE
    if even.mean() < EVEN_ENOUGH:
        return np.float32(np.nan)
    return np.float32(np.sqrt(np.square(cv2.filter2D(grey, cv2.CV_32F, IMMERKAER)[even]).mean()))
