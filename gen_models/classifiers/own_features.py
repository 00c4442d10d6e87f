"""Own features and class probabilities: from a classifier trained on the images of a run.

Numbers measured in these features are "in own features". They cannot be compared with numbers in the features of
Inception or any other network, nor with those of a classifier trained on other images.

An epoch of 20,000 images of 32 x 32 takes 26 s of one core of a processor with bfloat16, 45 s without; there are ten.
Torchvision's ResNet-18 with a stem for small images would take 330 s an epoch; hence the small network.

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
    """The classifier of these images, from the folder; it is trained and saved there first if missing.

    ``features(images)`` and ``probabilities(images)`` are its methods; ``settings.test_accuracy`` is one number.

    :param learning: images with a class
    :param test: images of the same classes, for the accuracy
    :param folder: of classifiers, each in a folder named by the digest of its training images and settings
    :param progress: called with the training steps done and their total
    :raises UserError: when the folder cannot be written, or the classifier is damaged
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
    """A digest of the images, their classes and the settings of the training, 12 hexadecimal digits."""
    content = hashlib.sha256(repr((learning.class_names, WIDTHS, EPOCHS, SHIFT, SIZE, SEED)).encode())
    content.update("".join(digests(learning.images)).encode())
    content.update(learning.classes.tobytes())
    return content.hexdigest()[:12]


def accuracy_warning(classifier: Classifier) -> str | None:
    """A warning if the classifier's accuracy is too low for its numbers to mean much."""
    (accuracy,) = classifier.settings.test_accuracy
    if accuracy >= ENOUGH:
        return None
    return (
        f"the classifier is right on {100 * accuracy:.1f} % of its test images, below {100 * ENOUGH:.0f} %: "
        "what is measured in own features, and its probabilities, say little"
    )
