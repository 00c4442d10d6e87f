"""Evaluation of sets of images against real ones, in features of a classifier trained on the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.device import usable_device
from common.progress import progress_of
from gen_models.classifiers.attribute_table import digests
from gen_models.classifiers.classifier import Classifier
from gen_models.classifiers.own_features import accuracy_warning, own_classifier
from gen_models.judging.judged_images import JudgedImages
from gen_models.judging.judging_data import JudgingData, data_of_run
from gen_models.judging.measured import Measured, Measurer, sharpness
from gen_models.judging.metric_table import Column, MetricTable
from gen_models.judging.metrics import Reference, all_metrics

REAL = 64  # real images of each kind in the table
FOLDER = "judge"
CLASSIFIER = "classifier"


def classifier_of_run(run: Path, device: str) -> Classifier:
    """The classifier of a run's own images, from the run's folder; trained if it is not there yet.

    :raises UserError: when the images are missing, or not those that the run was trained on
    """
    return classifier_of(data_of_run(run), run / FOLDER / CLASSIFIER, usable_device(device))


def classifier_of(data: JudgingData, folder: Path, device: str) -> Classifier:
    """The classifier of these images in a folder, with a progress bar if it has to be trained."""
    with progress_of("training the classifier, once") as progress:
        return own_classifier(data.learning, data.test, folder, device, progress)


class Judge:
    """Evaluates sets of images by a classifier and real images.

    :param data: the real images
    :param classifier: trained on them
    """

    def __init__(self, data: JudgingData, classifier: Classifier) -> None:
        self.data = data
        self.classifier = classifier
        self.measurer = Measurer(classifier, data.training)
        # Test images that the model was trained on are compared with the others only: each would be nearest to itself.
        others = ~np.isin(digests(data.training.images), digests(data.test.images))
        self.overlap = not others.all()
        self.real_measurer = Measurer(classifier, data.training.take(others)) if self.overlap else self.measurer

    def measure(self, judged: JudgedImages, real: bool = False) -> Measured:
        """Measure each image, with a progress bar.

        :param real: whether the images are test images
        """
        measurer = self.real_measurer if real else self.measurer
        with progress_of(f"{judged.name}: looking for the nearest of {len(measurer.training):,} images") as progress:
            return measurer.measure(judged.images, progress)

    def table(self, columns: Sequence[Column]) -> MetricTable:
        """The metrics of these sets, and of sets of real images."""
        (accuracy,) = self.classifier.settings.test_accuracy
        warning = accuracy_warning(self.classifier)
        metrics = all_metrics(self.reference())
        judged = [*columns, *self.real_columns(max(map(len, (column.measured for column in columns))))]
        return MetricTable(metrics, judged, self.data.name, accuracy, [warning] if warning else [])

    def reference(self) -> Reference:
        """The real images that distances are measured from."""
        test, classes = self.data.test, self.data.classes
        features = {name: self.classifier.features(test.images[self.data.reference((name,))]) for name in classes}
        return Reference(features, sharpness(test.images[self.data.reference(classes)]), test.class_names)

    def real_columns(self, count: int) -> list[Column]:
        """Sets of real images, held out: one of each class, and one of all classes.

        :param count: size of the last set, at least 64
        """
        kinds: dict[str, tuple[tuple[str, ...], int]] = {f"real {name}": ((name,), REAL) for name in self.data.classes}
        kinds["held-out half"] = (self.data.classes, max(REAL, count))
        notes = ("was trained on, too; compared with the training images that are not test images",)
        columns = []
        for name, (classes, number) in kinds.items():
            images = self.data.test.images[self.data.held_out(classes, number)]
            measured = self.measure(JudgedImages(name, images), real=True)
            columns.append(Column(name, measured, notes if self.overlap else (), real=True))
        return columns

    def base_rates(self) -> NDArray[np.float32]:
        """The mean probability of each output in real images, float32 (K,)."""
        return np.asarray(self.classifier.probabilities(self.data.test.images).mean(axis=0), np.float32)
