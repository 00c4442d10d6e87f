"""Features and class probabilities of the project's own: a classifier trained on the images that a run was trained on.

Everything that is measured in these features is "in own features": its numbers cannot be compared with those in the
features of Inception or of any other network, nor with those of a classifier that was trained on other images.

An epoch of 20,000 images of 32 x 32 takes 26 s of one core of a processor with bfloat16, 45 s without; there are ten.
Torchvision's ResNet-18 with a stem for small images would take 330 s an epoch, which is why the project's own small
network is used.

Credits: K. He et al. 2015, arXiv 1512.03385 (residual networks); Heusel et al. 2017, arXiv 1706.08500 (distances in a
classifier's features).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from gen_models.classifiers.attribute_table import digests
from gen_models.classifiers.classifier import SETTINGS_FILE, Classifier, train_classifier, with_test_accuracy
from gen_models.images.image_set import ImageSet

WIDTHS = (48, 96, 192, 256)
EPOCHS = 10
SHIFT = 2  # pixels of 32
SIZE = 32  # pixels a side, at most
SEED = 0
ENOUGH = 0.85  # test accuracy below which the numbers come with a warning


def own_classifier(
    learning: ImageSet,
    test: ImageSet,
    folder: Path,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Classifier:
    """The classifier that was trained on these images; it is trained and kept where it is not in the folder yet.

    ``features(images)`` and ``probabilities(images)`` are its methods; ``settings.test_accuracy`` is one number.

    :param learning: images with a class
    :param test: images of the same classes, for the accuracy
    :param folder: of classifiers; each lies in a folder named by the digest of what it was made from
    :param progress: told the training steps done and all of them
    :raises UserError: when the folder cannot be written, or what it holds is damaged
    """
    place = folder / made_from(learning)
    if (place / SETTINGS_FILE).exists():
        return Classifier.load(place, device)
    trained = train_classifier(
        learning.images,
        learning.classes,
        learning.class_names,
        seed=SEED,
        epochs=EPOCHS,
        widths=WIDTHS,
        size=min(SIZE, learning.size),
        shift=max(1, SHIFT * learning.size // SIZE),
        device=device,
        progress=progress,
        precision="auto",
    )
    with_test_accuracy(trained, test.images, test.classes).save(place)
    return trained


def made_from(learning: ImageSet) -> str:
    """A word for the images, their classes and how a classifier learns from them."""
    content = hashlib.sha256(repr((learning.class_names, WIDTHS, EPOCHS, SHIFT, SIZE, SEED)).encode())
    content.update("".join(digests(learning.images)).encode())
    content.update(learning.classes.tobytes())
    return content.hexdigest()[:12]


def accuracy_warning(classifier: Classifier) -> str | None:
    """What to say where the classifier is not good enough for its numbers to mean much."""
    (accuracy,) = classifier.settings.test_accuracy
    if accuracy >= ENOUGH:
        return None
    return (
        f"the classifier is right on {100 * accuracy:.1f} % of its test images, below {100 * ENOUGH:.0f} %: "
        "what is measured in own features, and its probabilities, say little"
    )
