"""``run_pegasus.py judge``: what a run's images, or other people's, are worth, and which of a run's are the best.

Of a run, images are drawn, some are kept, and both the kept ones and the first ones drawn are judged and shown. Folders
of pictures and pictures of many tiles are judged as they are. All stand in one table, beside real images.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tyro.conf import Positional

from common.checkpoints import choose_checkpoint
from common.device import usable_device
from common.errors import UserError
from common.files import write_atomic
from common.progress import progress_of
from common.records import plain
from common.run_folder import RunFolder, check_name
from gen_models.attribute_table import digests
from gen_models.batch_figures import save_batch, save_best, save_nearest_neighbours, save_side_by_side
from gen_models.classifier import Classifier
from gen_models.drawing import drawing_progress, load_drawer
from gen_models.guidance import parse_weights
from gen_models.judged_images import JudgedImages, read_images
from gen_models.judging_data import JudgingData, data_of_run, data_of_spec
from gen_models.loaders import DOWNLOADS
from gen_models.measured import Measured, Measurer, sharpness
from gen_models.metric_table import Column, MetricTable
from gen_models.metrics import Reference, all_metrics
from gen_models.own_features import accuracy_warning, own_classifier
from gen_models.sample_command import new_folder
from gen_models.samples import Samples
from gen_models.sampling import SampleRequest
from gen_models.selection import Selection, SelectionWeights, outputs_for, select
from gen_models.settings import RunSettings

REAL = 64  # real images of each kind in the table
FOLDER = "judge"
CLASSIFIER = "classifier"
WINGED_HORSE = "horse=2,spread=3.5"


@dataclass(frozen=True)
class JudgeSettings:
    """Judge a run's images or other people's, beside real ones; of a run, also select the best."""

    what: Positional[tuple[Path, ...]]
    """Run folders, of which images are drawn; folders of pictures; pictures of many tiles; samples.npz files. Several
    stand side by side."""
    request: SampleRequest = field(default_factory=lambda: SampleRequest(WINGED_HORSE))
    """What is drawn of a run and how."""
    draw: int = 256
    """Images drawn of a run."""
    keep: int = 64
    """Images of them that are kept."""
    selection: SelectionWeights = field(default_factory=SelectionWeights)
    """What the selection goes by."""
    samples: Path | None = None
    """A samples.npz of the run, to select from rather than to draw."""
    training: str | None = None
    """What to compare with: a run folder, or images as for train: cifar10, folder:PATH, npz:PATH. Default: the run."""
    size: int = 32
    """Side in pixels, where --training names images rather than a run."""
    rows: int | None = None
    """Rows of tiles in a picture. Default: found."""
    columns: int | None = None
    """Columns of tiles in a picture. Default: found."""
    name: str | None = None
    """Name of the results' folder in RUN/judge, or in RUNS/judge where no run is named. Default: batch, batch-2, ..."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    downloads: Path = DOWNLOADS
    """Folder of the original files of cifar10 and stl10."""
    checkpoint: str | None = None
    """Which checkpoint, such as step-000180096. Default: the latest."""
    averaged: bool = True
    """Draw with the moving average of the weights."""
    batch_size: int = 16
    """Images drawn at once."""
    device: str = "auto"
    """Device of the networks: auto, cpu, cuda, cuda:1, mps."""
    debug: bool = False
    """Show a traceback where something goes wrong."""


def judge(user: JudgeSettings) -> None:
    """Draw, select, measure, and write the table and the figures.

    :raises UserError: for what cannot be read, drawn or cut, and for numbers that cannot be
    """
    runs = [path for path in user.what if RunFolder(path).settings.exists()]
    _check(user, runs)
    home, learnt, data = _folders_and_data(user, runs)
    folder = home / _name(user.name, home)
    others = [read_images(path, data.size, user.rows, user.columns) for path in user.what if path not in runs]
    classifier = _classifier(data, learnt / CLASSIFIER, usable_device(user.device))
    judge_ = Judge(data, classifier)
    with new_folder(folder) as temporary:
        columns: list[Column] = []
        for run in runs:
            columns += _judge_run(user, run, judge_, temporary / run.name if len(runs) > 1 else temporary)
        columns += [Column(other.name, judge_.measure(other), other.notes) for other in others]
        columns = _distinct(columns)
        table = judge_.table(columns)
        write_atomic(temporary / "metrics.json", json.dumps(table.as_json(), indent=1) + "\n")
        write_atomic(temporary / "metrics.md", table.markdown())
        shown = [(column.heading, column.measured.images) for column in table.columns]
        save_side_by_side(shown, temporary / "side-by-side.png", f"Beside real images of {data.name}, unselected.")
        names = ", ".join(sorted(path.name for path in temporary.iterdir()))
    Console().print(table.terminal())
    print(f"{names} are in {folder}")


def _check(user: JudgeSettings, runs: Sequence[Path]) -> None:
    """Whatever can be said before the long work."""
    if not user.what:
        raise UserError("name a run folder, or images to judge")
    if user.keep < 1 or (user.samples is None and user.keep > user.draw):
        raise UserError(f"--keep {user.keep} of --draw {user.draw}: at least 1, and no more than are drawn")
    if user.batch_size < 1:
        raise UserError("--batch-size must be at least 1")
    user.selection.check()
    user.request.check()
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two runs are called {name}, and their results would lie in one folder; judge them apart")
    if user.samples is None:
        for run in runs:
            choose_checkpoint(RunFolder(run).checkpoints, user.checkpoint)
            _words(user.request, run)
        return
    if len(runs) != 1:
        raise UserError("--samples takes exactly one run, whose images it holds")
    drawn = len(Samples.load(user.samples).images)
    if user.keep > drawn:
        raise UserError(f"--keep {user.keep} of the {drawn} images in {user.samples}: no more than there are")


def _folders_and_data(user: JudgeSettings, runs: Sequence[Path]) -> tuple[Path, Path, JudgingData]:
    """The folder of judgements, that of the classifier, and the real images to compare with.

    A run's folder holds classifiers of its own images only, since ``serve`` takes them for such.
    """
    if user.training is not None and not RunFolder(Path(user.training)).settings.exists():
        data = data_of_spec(user.training, user.size, user.downloads)
        return (runs[0] if runs else user.runs) / FOLDER, user.runs / FOLDER, data
    run = runs[0] if user.training is None and runs else None if user.training is None else Path(user.training)
    if run is None:
        raise UserError("say what to compare with: --training RUN, or images such as --training cifar10")
    return (runs[0] if runs else run) / FOLDER, run / FOLDER, data_of_run(run)


def _name(name: str | None, home: Path) -> str:
    """The results' folder."""
    if name is None:
        names = itertools.chain(["batch"], (f"batch-{k}" for k in itertools.count(2)))
        return next(name for name in names if not (home / name).exists())
    if check_name(name) == CLASSIFIER or (home / name).exists():
        raise UserError(
            f"{home / name} exists, or is for the classifier, and is not overwritten; choose another --name"
        )
    return name


def classifier_of_run(run: Path, device: str) -> Classifier:
    """The classifier of a run's own images, in the run's folder; trained once where it is not there yet.

    :raises UserError: where the images are not there or not those that the run was trained on
    """
    return _classifier(data_of_run(run), run / FOLDER / CLASSIFIER, usable_device(device))


def _classifier(data: JudgingData, folder: Path, device: str) -> Classifier:
    with progress_of("training the classifier, once") as progress:
        return own_classifier(data.learning, data.test, folder, device, progress)


class Judge:
    """Judges sets of images by a classifier and real images.

    :param data: the real images
    :param classifier: trained on them
    """

    def __init__(self, data: JudgingData, classifier: Classifier) -> None:
        self.data = data
        self.classifier = classifier
        self.measurer = Measurer(classifier, data.training)
        # Real images that were trained on, too, are compared with all others: each would be nearest to itself.
        others = ~np.isin(digests(data.training.images), digests(data.test.images))
        self.seen = not others.all()
        self.of_real = Measurer(classifier, data.training.take(others)) if self.seen else self.measurer

    def measure(self, judged: JudgedImages, real: bool = False) -> Measured:
        """What is measured of each image, with a progress bar.

        :param real: whether these are test images
        """
        measurer = self.of_real if real else self.measurer
        with progress_of(f"{judged.name}: looking for the nearest of {len(measurer.training):,} images") as progress:
            return measurer.measure(judged.images, progress)

    def table(self, columns: Sequence[Column]) -> MetricTable:
        """The metrics of these sets, and of real images beside them."""
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
        """Real images of each class and of all, held out.

        :param count: images of the largest set, as many as which are taken of all classes together, at least 64
        """
        kinds: dict[str, tuple[tuple[str, ...], int]] = {f"real {name}": ((name,), REAL) for name in self.data.classes}
        kinds["held-out half"] = (self.data.classes, max(REAL, count))
        notes = ("was trained on, too; compared with the training images that are not test images",)
        columns = []
        for name, (classes, number) in kinds.items():
            images = self.data.test.images[self.data.held_out(classes, number)]
            measured = self.measure(JudgedImages(name, images), real=True)
            columns.append(Column(name, measured, notes if self.seen else (), real=True))
        return columns

    def base_rates(self) -> NDArray[np.float32]:
        """The mean probability of each output in real images, (K,)."""
        return np.asarray(self.classifier.probabilities(self.data.test.images).mean(axis=0), np.float32)


def _judge_run(user: JudgeSettings, run: Path, judge_: Judge, folder: Path) -> list[Column]:
    """Draw, select, and write the figures of one run; the kept images and the first ones drawn."""
    samples = _draw(user, run)
    if samples.images.shape[1] != judge_.data.size:
        raise UserError(
            f"{run} draws images of {samples.images.shape[1]} pixels, beside {judge_.data.size} of the data"
        )
    measured = judge_.measure(JudgedImages(run.name, samples.images))
    wanted = outputs_for(_words(samples.request, run), judge_.data.test.class_names)
    selection = select(measured, user.keep, wanted, judge_.base_rates(), user.selection)
    kept, first = measured.take(selection.kept), measured.take(np.arange(min(user.keep, len(measured))))
    samples.save(folder / "samples.npz")
    write_atomic(folder / "selection.csv", selection.to_csv(samples.indices))
    write_atomic(folder / "selection.json", json.dumps(_as_json(user, samples, selection), indent=1) + "\n")
    _figures(samples, kept, first, judge_.data.training.images, folder)
    return [Column(f"{run.name}, selected", kept), Column(f"{run.name}, unselected", first)]


def _draw(user: JudgeSettings, run: Path) -> Samples:
    if user.samples is not None:
        return Samples.load(user.samples)
    drawer = load_drawer(run, user.checkpoint, user.averaged, user.batch_size, user.device)
    with drawing_progress(user.draw * user.request.steps, user.request.steps) as progress:
        return drawer.draw(user.request, range(user.draw), progress)


def _words(request: SampleRequest, run: Path) -> list[str]:
    """The words that are asked for, with a weight above 0."""
    vocabulary = RunSettings.from_yaml(RunFolder(run).settings).vocabulary
    conditions, weights = parse_weights(request.weights, vocabulary)
    request.composition(weights)
    words = [
        word.strip().lower()
        for condition, weight in zip(conditions, weights, strict=True)
        for word in condition.name.split("+")
        if weight > 0
    ]
    return list(dict.fromkeys(words))


def _as_json(user: JudgeSettings, samples: Samples, selection: Selection) -> dict[str, object]:
    """How the images were selected."""
    return {
        "drawn": len(samples.images),
        "kept": [samples.indices[k] for k in selection.kept],
        "best": samples.indices[selection.best],
        "weights": plain(user.selection),
        "request": plain(samples.request),
        "origin": plain(samples.origin),
    }


def _figures(samples: Samples, kept: Measured, first: Measured, training: NDArray[np.uint8], folder: Path) -> None:
    drawn, how = len(samples.images), samples.caption()
    save_batch(kept.images, folder / "batch.png", f"Selected: {len(kept)} of {drawn} drawn images. {how}")
    unselected = f"Unselected: the first {len(first)} of {drawn} drawn images. {how}"
    save_batch(first.images, folder / "batch-random.png", unselected)
    save_best(kept.images[0], folder / "best-pegasus.png", f"The best of {drawn} drawn images, by score. {how}")
    save_nearest_neighbours(
        kept.images,
        training,
        kept.pixel_neighbours.indices,
        kept.pixel_neighbours.distances,
        kept.feature_neighbours.indices,
        kept.feature_neighbours.distances,
        folder / "nearest-neighbours.png",
        f"The {len(kept)} selected of {drawn} images, each with its nearest of {len(training):,} training images, "
        "mirrored or not, in pixels (RMSE, 0 to 1) and in own features (Euclidean).",
    )


def _distinct(columns: Sequence[Column]) -> list[Column]:
    """The columns, with a number behind a name that is there already."""
    seen: dict[str, int] = {}
    out = []
    for column in columns:
        seen[column.name] = seen.get(column.name, 0) + 1
        again = f" {seen[column.name]}" if seen[column.name] > 1 else ""
        out.append(Column(column.name + again, column.measured, column.notes))
    return out
