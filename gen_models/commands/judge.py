"""``run_pegasus.py judge``: evaluates images of runs or of other sources, and selects the best images of a run.

Images are sampled from a run and some of them selected. Metrics and figures are of both the selected and the first
samples. Folders of pictures and pictures of many tiles are evaluated as they are. One table holds all of them, beside
real images.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from common.checkpoints import choose_checkpoint
from common.device import usable_device
from common.errors import UserError, check_counts
from common.files import new_folder, write_atomic
from common.records import plain
from common.run_folder import RunFolder, check_name
from gen_models.adversarial.run_sampler import load_sampler
from gen_models.adversarial.sampling import AdversarialSampler
from gen_models.adversarial.settings import is_adversarial, settings_of_run
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.guidance import composed
from gen_models.diffusion.samples import Samples
from gen_models.figures.batch_figures import save_batch, save_best, save_nearest_neighbours, save_side_by_side
from gen_models.images.grids import save_png
from gen_models.images.loaders import check_spec
from gen_models.judging.judge import CLASSIFIER, FOLDER, Judge, classifier_of
from gen_models.judging.judged_images import JudgedImages, read_images
from gen_models.judging.judging_data import JudgingData, data_of_run, data_of_spec
from gen_models.judging.measured import Measured
from gen_models.judging.metric_table import Column
from gen_models.judging.selection import Selection, outputs_for, select
from gen_models.options import MOST_SAMPLES, WINGED_HORSE, JudgeSettings, check_batch_size
from gen_models.request import PAIRS, SampleRequest
from gen_models.training.run_sampler import sampling_progress


def judge(user: JudgeSettings) -> None:
    """Sample, select and measure images, and write the table and the figures.

    :raises UserError: for images that cannot be read, sampled or cut, and for invalid numbers
    """
    if user.request.compose in PAIRS and user.request.weights == WINGED_HORSE:
        user = replace(user, request=replace(user.request, weights=""))  # the default, which is for other methods
    runs = [path for path in user.what if RunFolder(path).settings.exists()]
    _check(user, runs)
    against, size = _against(user, runs)
    # What cannot be cut is said now, not after the training images have been loaded.
    others = [read_images(path, size, user.rows, user.columns, user.skip_bad) for path in user.what if path not in runs]
    home, trained, data = _folders_and_data(user, runs, against)
    folder = home / _name(user.name, home)
    classifier = classifier_of(data, trained / CLASSIFIER, usable_device(user.device))
    evaluator = Judge(data, classifier)
    with new_folder(folder) as temporary:
        columns: list[Column] = []
        for run in runs:
            columns += _evaluate_run(user, run, evaluator, temporary / run.name if len(runs) > 1 else temporary)
        columns += [Column(other.name, evaluator.measure(other), other.notes) for other in others]
        for number, other in enumerate(others, start=1):
            if other.cuts is not None:
                end = "" if len(others) == 1 else f"-{number}"
                save_png(Image.fromarray(other.cuts), temporary / f"tiles{end}.png")
        columns = _distinct(columns)
        table = evaluator.table(columns)
        write_atomic(temporary / "metrics.json", json.dumps(table.as_json(), indent=1) + "\n")
        write_atomic(temporary / "metrics.md", table.markdown())
        shown = [(column.heading, column.measured.images) for column in table.columns]
        save_side_by_side(shown, temporary / "side-by-side.png", f"Beside real images of {data.name}, unselected.")
        names = ", ".join(sorted(path.name for path in temporary.iterdir()))
    table.show(Console())
    print(f"{names} are in {folder}")


def _check(user: JudgeSettings, runs: Sequence[Path]) -> None:
    """Find errors before the long work.

    :raises UserError: see ``judge``
    """
    if not user.what:
        raise UserError("name a run folder, or images to judge")
    if user.keep < 1 or (user.samples is None and user.keep > user.draw):
        raise UserError(f"--keep {user.keep} of --draw {user.draw}: at least 1, and no more than are drawn")
    for path in user.what:
        if not path.exists():
            raise UserError(f"there is no {path}")
    check_batch_size(user.batch_size)
    check_counts(MOST_SAMPLES, {"--draw": user.draw})
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
    count = len(Samples.load(user.samples).images)
    if user.keep > count:
        raise UserError(f"--keep {user.keep} of the {count} images in {user.samples}: no more than there are")


def _against(user: JudgeSettings, runs: Sequence[Path]) -> tuple[Path | None, int]:
    """The run whose images to compare with, None where ``training`` names images, and the side of these in pixels."""
    run = (runs[0] if runs else None) if user.training is None else Path(user.training)
    if run is None:
        raise UserError("say what to compare with: --training RUN, or images such as --training cifar10")
    if user.training is not None and not RunFolder(run).settings.exists():
        check_spec(user.training)
        return None, user.size
    return run, settings_of_run(run).data.size


def _folders_and_data(
    user: JudgeSettings, runs: Sequence[Path], against: Path | None
) -> tuple[Path, Path, JudgingData]:
    """The folder of results, the folder of the classifier, and the real images to compare with.

    A run's folder holds only classifiers trained on its own images, since ``serve`` relies on it.
    """
    if against is None:
        data = data_of_spec(str(user.training), user.size, user.downloads, user.skip_bad)
        return (runs[0] if runs else user.runs) / FOLDER, user.runs / FOLDER, data
    return (runs[0] if runs else against) / FOLDER, against / FOLDER, data_of_run(against)


def _name(name: str | None, home: Path) -> str:
    """The name of the results' folder."""
    if name is None:
        names = itertools.chain(["batch"], (f"batch-{k}" for k in itertools.count(2)))
        return next(name for name in names if not (home / name).exists())
    if check_name(name) == CLASSIFIER or (home / name).exists():
        raise UserError(
            f"{home / name} exists, or is for the classifier, and is not overwritten; choose another --name"
        )
    return name


def _evaluate_run(user: JudgeSettings, run: Path, evaluator: Judge, folder: Path) -> list[Column]:
    """Sample and select images of one run, and write its figures; returns the selected images and the first ones."""
    samples = _sampled(user, run)
    # A DCGAN may not know what was asked for: its images are selected by that all the same, as any others are.
    adversarial = samples.origin.model == "dcgan"
    asked = user.request if adversarial and user.samples is None else samples.request
    notes = (f"a DCGAN, sampled with {samples.request.words or 'no condition'}",) if adversarial else ()
    if samples.images.shape[1] != evaluator.data.size:
        raise UserError(
            f"{run} samples images of {samples.images.shape[1]} pixels, beside {evaluator.data.size} of the data"
        )
    measured = evaluator.measure(JudgedImages(run.name, samples.images))
    wanted = outputs_for(_words(asked, run), evaluator.data.test.class_names)
    selection = select(measured, user.keep, wanted, evaluator.base_rates(), user.selection)
    kept, first = measured.take(selection.kept), measured.take(np.arange(min(user.keep, len(measured))))
    samples.save(folder / "samples.npz")
    write_atomic(folder / "selection.csv", selection.to_csv(samples.indices))
    write_atomic(folder / "selection.json", json.dumps(_as_json(user, samples, selection), indent=1) + "\n")
    _figures(samples, kept, first, evaluator.data.training.images, folder)
    return [Column(f"{run.name}, selected", kept, notes), Column(f"{run.name}, unselected", first, notes)]


def _sampled(user: JudgeSettings, run: Path) -> Samples:
    if user.samples is not None:
        return Samples.load(user.samples)
    sampler = load_sampler(run, user.checkpoint, user.averaged, user.batch_size, user.device)
    request = sampler.understood(user.request) if isinstance(sampler, AdversarialSampler) else user.request
    with sampling_progress(user.draw * request.steps, request.steps) as progress:
        return sampler.sample(request, range(user.draw), progress)


def _words(request: SampleRequest, run: Path) -> list[str]:
    """The words of the request's conditions whose weight is above 0.

    :raises UserError: for a condition that the run does not know; a DCGAN need not know any
    """
    adversarial = is_adversarial(run)
    if adversarial and request.compose in PAIRS:
        return f"{request.base}+{request.add}".lower().replace(" ", "").split("+")
    vocabulary = _any_words(request.weights) if adversarial else settings_of_run(run).vocabulary
    conditions, composition = composed(request, vocabulary)
    if request.compose in PAIRS:
        return f"{request.base}+{request.add}".lower().replace(" ", "").split("+")
    words = [
        word.strip().lower()
        for condition, weight in zip(conditions, composition.weights, strict=True)
        for word in condition.name.split("+")
        if weight > 0
    ]
    return list(dict.fromkeys(words))


def _any_words(weights: str) -> Vocabulary:
    """A vocabulary of whatever these weights name."""
    names = [word for part in weights.split(",") for word in part.partition("=")[0].lower().split("+")]
    return Vocabulary((), tuple(dict.fromkeys(name.strip().removeprefix("no-") for name in names if name.strip())))


def _as_json(user: JudgeSettings, samples: Samples, selection: Selection) -> dict[str, object]:
    """``selection.json``: how the images were selected."""
    return {
        "drawn": len(samples.images),
        "kept": [samples.indices[k] for k in selection.kept],
        "best": samples.indices[selection.best],
        "weights": plain(user.selection),
        "request": plain(samples.request),
        "origin": plain(samples.origin),
    }


def _figures(samples: Samples, kept: Measured, first: Measured, training: NDArray[np.uint8], folder: Path) -> None:
    count, how = len(samples.images), samples.caption()
    save_batch(kept.images, folder / "batch.png", f"Selected: {len(kept)} of {count} drawn images. {how}")
    unselected = f"Unselected: the first {len(first)} of {count} drawn images. {how}"
    save_batch(first.images, folder / "batch-random.png", unselected)
    save_best(kept.images[0], folder / "best-pegasus.png", f"The best of {count} drawn images, by score. {how}")
    save_nearest_neighbours(
        kept.images,
        training,
        kept.pixel_neighbours.indices,
        kept.pixel_neighbours.distances,
        kept.feature_neighbours.indices,
        kept.feature_neighbours.distances,
        folder / "nearest-neighbours.png",
        f"The {len(kept)} selected of {count} images, each with its nearest of {len(training):,} training images, "
        "mirrored or not, in pixels (RMSE, 0 to 1) and in own features (Euclidean).",
    )


def _distinct(columns: Sequence[Column]) -> list[Column]:
    """The columns, with a number behind repeated names."""
    counts: dict[str, int] = {}
    distinct = []
    for column in columns:
        counts[column.name] = counts.get(column.name, 0) + 1
        number = f" {counts[column.name]}" if counts[column.name] > 1 else ""
        distinct.append(Column(column.name + number, column.measured, column.notes))
    return distinct
