"""Features for content and style: of a classifier trained here, in place of the paper's VGG-19.

Its layers are the stem and the outputs of its stages, all after a ReLU. A classifier's stem looks at every other pixel,
so that pictures made by its features would have patterns of 2 x 2 pixels. Here the same stem looks at all.

Credits: L. A. Gatys et al. 2015, arXiv 1508.06576 (features for content and style).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError
from gen_models.classifiers.classifier import SETTINGS_FILE, Classifier, train_classifier, with_test_accuracy
from gen_models.classifiers.own_features import EPOCHS, SEED, SHIFT, SIZE, WIDTHS
from gen_models.images.loaders import load_images

HELD_OUT = 10  # every tenth image is not learnt from, for the accuracy


class FeatureNetwork:
    """The layers of a classifier, for pictures of any size.

    :param classifier: its weights are shared and never change
    """

    def __init__(self, classifier: Classifier) -> None:
        self.network = classifier.network.requires_grad_(False)
        _, convolution, self._norm, self._relu = self.network.stem
        assert isinstance(convolution, nn.Conv2d)
        self._dense = dense_weight(convolution.weight)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from the pixels up."""
        return ("stem", *(f"stage{number}" for number in range(1, len(self.network.stages) + 1)))

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """The features of a picture by layer, each float32 (1, N, h, w).

        :param x: float32 (1, 3, H, W) from -1 to 1
        """
        h: Tensor = self._relu(self._norm(functional.conv2d(x, self._dense, padding=2)))
        found = {"stem": h}
        h = h[..., ::2, ::2]
        for name, stage in zip(self.layers[1:], self.network.stages, strict=True):
            h = stage(h)
            found[name] = h
        return found


def dense_weight(weight: Tensor) -> Tensor:
    """The weight of the convolution over pixels that one over 2 x 2 unshuffled pixels is.

    :param weight: (N, 4 C, k, k) behind ``PixelUnshuffle(2)``
    :return: (N, C, 2 k, 2 k); with stride 2 and the same padding in pixels it gives the same
    """
    channels, planes, size, _ = weight.shape
    apart = weight.reshape(channels, planes // 4, 2, 2, size, size)  # N, C, dy, dx, ky, kx
    return apart.permute(0, 1, 4, 2, 5, 3).reshape(channels, planes // 4, 2 * size, 2 * size).contiguous()


def load_features(
    folder: Path, data: str, downloads: Path, device: str, progress: Callable[[int, int], None] | None = None
) -> Classifier:
    """The classifier in a folder; it is trained and saved there first if missing.

    :param data: a source with classes, see ``gen_models.images.loaders.load_images``
    :param progress: called with the training steps done and their total
    :raises UserError: when it is damaged, or there are no images of two classes to train with
    """
    if (folder / SETTINGS_FILE).exists():
        return Classifier.load(folder, device)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} holds no classifier ({SETTINGS_FILE}); choose another --features")
    images = load_images((data,), SIZE, downloads=downloads)
    if len(images.class_names) < 2:
        raise UserError(f"{data} has images of {len(images.class_names)} class; features take a classifier of two")
    held_out = np.arange(len(images)) % HELD_OUT == 0
    learning, test = images.take(~held_out), images.take(held_out)
    trained = train_classifier(
        learning.images, learning.classes, learning.class_names, seed=SEED, epochs=EPOCHS, widths=WIDTHS, size=SIZE,
        shift=SHIFT, device=device, progress=progress, precision="auto",
    )  # fmt: skip
    with_test_accuracy(trained, test.images, test.classes).save(folder)
    return trained
