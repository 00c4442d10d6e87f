"""Attributes of images, from the data alone: white or not, wings spread or not, sky or water around it or not.

``white`` is a rule on colours, the same for every class. The picture's border is taken as the background. Pixels that
differ from all four of its sides, weighted towards the middle, are the foreground. The attribute is yes where most of
the foreground is bright and almost without colour, the white area is large enough, and the background is not white
too. It is no where the middle has hardly any bright pixels, and unknown otherwise.

``spread`` is found by classifiers trained here: a bird that is classified as an airplane, and that has an even border
(only sky or water around it), has its wings spread. Without the condition on the border, the background would decide.
The classifiers are cross-fitted: each half of the images is classified by a network trained on the other half. A source
with airplanes is needed. Animals without wings are no. A bird of which the classifier is not sure, and anything else,
is unknown.

``sky`` is a rule on the border, the same for every class: it is yes where the border is even and bluish, or bright and
grey to white, and no where it is dark, of a warm colour, or green. With a word of its own for what is around an animal,
``spread`` need not stand for it.

Of CIFAR-10's 5,000 training horses 209 are white and 1,791 not, of its birds 39 and 2,168; 106 birds have their wings
spread and 3,994 not. Checked by eye, 59 of 64 white horses are right, 22 of 39 white birds, 41 of 64 spread wings; of
each no, at least 62 of 64. 185 birds and 14 horses are before a sky: 43 of 50 birds and 12 of 14 horses are right.

Credits: the birds taken for airplanes are an idea of this project; cross-fitting as in V. Chernozhukov et al. 2016,
arXiv 1608.00060.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gen_models.classifiers.classifier import train_classifier
from gen_models.images.image_set import UNKNOWN, ImageSet

WHITE, SPREAD, SKY = "white", "spread", "sky"
ATTRIBUTES = (WHITE, SPREAD, SKY)
YES, NO = 1, 0

# The rule for white. Colours are from 0 to 255.
BRIGHT, BRIGHT_COLOURED = 180, 36  # a white pixel's least channel, and largest difference between its channels
PALE, PALE_COLOURED = 130, 45  # a pixel that might be white in the shade
MIDDLE = 0.35  # standard deviation of the middle's Gaussian weight; 1 is half the picture
DISTANCE = 1.25  # of the foreground's colour from the background's, in the background's standard deviations
LEAST_DEVIATION = 12.0
MOSTLY_WHITE = 0.65  # share of the foreground
ENOUGH_WHITE = 0.14  # share of the middle
BACKGROUND_WHITE = 0.25  # white share of the background from which yes is ruled out
HARDLY_PALE = 0.10  # share of the middle

# The rule for sky. Colours are means along the border.
BLUE, BLUISH = 100.0, 12.0  # least blue of a bluish border, and blue above red
GREENISH = 10.0  # green above the mean of red and blue, from which a border is grass
LIGHT, LIGHT_COLOURED = 160.0, 22.0  # a grey or white border's least channel, and largest difference between channels

# The classifiers for spread.
EPOCHS = 12
LIKELY, HARDLY = 0.4, 0.1  # least probability of an airplane for yes, and greatest for no
EVEN = 20.0  # greatest standard deviation of a channel along the border of a bird in the air
AIRPLANE, BIRD = "airplane", "bird"
WINGLESS = ("cat", "deer", "dog", "frog", "horse", "monkey")

PIECE = 1_000  # images at a time, to save memory

Progress = Callable[[int, int], None]


def with_attributes(
    images: ImageSet, seed: int = 0, epochs: int = EPOCHS, device: str = "cpu", progress: Progress | None = None
) -> ImageSet:
    """The images with ``white``, ``spread`` and ``sky``; sources that have attributes, such as sprites, keep them.

    Pass all classes of the sources, including airplanes, and choose among them afterwards with ``ImageSet.only``.

    :param device: where the classifiers are trained
    :param progress: called with the training steps done and their total
    """
    labelled = [images.sources[values != UNKNOWN] for values in images.attributes.values()]
    missing = ~np.isin(images.sources, np.concatenate([*labelled, np.empty(0, np.int64)]))
    rest = images.take(missing)
    found = {
        WHITE: white_or_not(rest.images),
        SPREAD: spread_or_not(rest, seed, epochs, device, progress),
        SKY: sky_or_not(rest.images),
    }
    attributes = dict(images.attributes)
    for name, values in found.items():
        attributes[name] = images.attributes.get(name, np.full(len(images), UNKNOWN, np.int8)).copy()
        attributes[name][missing] = values
    return replace(images, attributes=attributes)


def white_or_not(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The attribute ``white``.

    :param images: uint8 (N, S, S, 3)
    :return: int8 (N,): 1 yes, 0 no, -1 unknown
    """
    pieces = [_white_or_not(images[start : start + PIECE]) for start in range(0, len(images), PIECE)]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int8)


def whiteness(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The white share of the foreground, weighted towards the middle.

    :param images: uint8 (N, S, S, 3)
    :return: float32 (N,), 0 to 1
    """
    starts = range(0, len(images), PIECE)
    pieces = [_Colours(images[start : start + PIECE]).white_foreground for start in starts]
    return np.concatenate(pieces) if pieces else np.empty(0, np.float32)


def _white_or_not(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    colours = _Colours(images)
    middle = colours.middle
    mostly = colours.white_foreground > MOSTLY_WHITE
    enough = (colours.weighted * colours.white).sum(axis=(1, 2)) / middle.sum() > ENOUGH_WHITE
    clear = _share(colours.white, 1 - colours.foreground) < BACKGROUND_WHITE
    yes = mostly & enough & clear
    no = ~yes & (_share(colours.pale, np.broadcast_to(middle, colours.pale.shape)) < HARDLY_PALE)
    return np.where(yes, YES, np.where(no, NO, UNKNOWN)).astype(np.int8)


class _Colours:
    """White and pale pixels, bool (N, S, S), and weights from 0 to 1: middle (S, S) and foreground (N, S, S)."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        x = images.astype(np.float32)
        least, coloured = x.min(axis=3), np.ptp(x, axis=3)
        self.white = (least >= BRIGHT) & (coloured <= BRIGHT_COLOURED)
        self.pale = (least >= PALE) & (coloured <= PALE_COLOURED)
        places = np.linspace(-1, 1, x.shape[1], dtype=np.float32)
        self.middle = np.exp(-(places[:, None] ** 2 + places**2) / (2 * MIDDLE**2))
        self.foreground = foreground_of(images)
        self.weighted = self.foreground * self.middle
        self.white_foreground = _share(self.white, self.weighted)


def foreground_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The foreground weight of each pixel, 0 to 1, float32 (N, S, S), by its colour's distance from the borders."""
    x = images.astype(np.float32)
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    colours = np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=3)
    width = max(1, x.shape[1] // 16)
    nearest = np.full(x.shape[:3], np.inf, np.float32)
    for side in (colours[:, :width], colours[:, -width:], colours[:, :, :width], colours[:, :, -width:]):
        border = side.reshape(len(x), -1, 3)
        mean = border.mean(axis=1)[:, None, None]
        variance = border.var(axis=1)[:, None, None] + LEAST_DEVIATION**2
        nearest = np.minimum(nearest, np.sqrt(((colours - mean) ** 2 / variance).mean(axis=3)))
    return np.asarray(np.clip(nearest - DISTANCE + 0.5, 0, 1), np.float32)


def _share(which: NDArray[np.bool_], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    total = weight.sum(axis=(1, 2))
    return np.asarray((which * weight).sum(axis=(1, 2)) / np.maximum(total, 1e-6), np.float32)


def spread_or_not(
    images: ImageSet, seed: int = 0, epochs: int = EPOCHS, device: str = "cpu", progress: Progress | None = None
) -> NDArray[np.int8]:
    """The attribute ``spread``.

    :return: int8 (N,): 1 yes, 0 no, -1 unknown
    """
    spread = np.full(len(images), UNKNOWN, np.int8)
    for name in set(WINGLESS) & set(images.class_names):
        spread[images.of_class(name)] = NO
    if not {AIRPLANE, BIRD} <= set(images.class_names):
        return spread
    airplanes, birds = images.of_class(AIRPLANE), images.of_class(BIRD)
    with_airplanes = np.isin(images.sources, np.unique(images.sources[airplanes]))
    classified = np.flatnonzero(with_airplanes & (images.classes >= 0))
    if not birds[classified].any():
        return spread
    probability = np.full(len(images), np.nan, np.float32)
    probability[classified] = airplane_probability(images.take(classified), seed, epochs, device, progress)
    spread[birds & (probability < HARDLY)] = NO
    spread[birds & (probability >= LIKELY) & (border_deviation(images.images) < EVEN)] = YES
    return spread


def border_deviation(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The standard deviation of the colour along the border, the largest of the channels, float32 (N,)."""
    return np.asarray(_border(images).std(axis=1).max(axis=1), np.float32)


def sky_or_not(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The attribute ``sky``.

    :param images: uint8 (N, S, S, 3)
    :return: int8 (N,): 1 yes, 0 no, -1 unknown
    """
    red, green, blue = np.moveaxis(_border(images).mean(axis=1), 1, 0)
    least = np.minimum(np.minimum(red, green), blue)
    coloured = np.maximum(np.maximum(red, green), blue) - least
    grass = green > (red + blue) / 2 + GREENISH
    bluish = (blue > BLUE) & (blue > red + BLUISH) & ~grass
    light = (least > LIGHT) & (coloured < LIGHT_COLOURED)
    yes = (bluish | light) & (border_deviation(images) < EVEN)
    no = ~light & ((blue < BLUE) | (blue < red) | grass)
    return np.where(yes, YES, np.where(no, NO, UNKNOWN)).astype(np.int8)


def _border(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The pixels along the border, float32 (N, P, 3)."""
    size = images.shape[1]
    width = max(1, size // 16)
    inside = np.zeros((size, size), np.bool_)
    inside[width:-width, width:-width] = True
    return images[:, ~inside].astype(np.float32)


def airplane_probability(
    images: ImageSet, seed: int = 0, epochs: int = EPOCHS, device: str = "cpu", progress: Progress | None = None
) -> NDArray[np.float32]:
    """Each image's probability of an airplane, by a classifier trained on the other half of the images, float32 (N,).

    :param images: of several classes, airplanes among them
    """
    half = np.random.default_rng([seed, len(images)]).permutation(len(images)) % 2
    probability = np.empty(len(images), np.float32)
    for fold in (0, 1):
        training, others = images.take(half == fold), images.take(half != fold)
        classifier = train_classifier(
            training.images,
            training.classes,
            images.class_names,
            seed=seed + fold,
            epochs=epochs,
            device=device,
            progress=None if progress is None else _half_of(progress, fold),
        )
        probability[half != fold] = classifier.probabilities(others.images)[:, images.class_names.index(AIRPLANE)]
    return probability


def _half_of(progress: Progress, fold: int) -> Progress:
    return lambda done, steps: progress(fold * steps + done, 2 * steps)
