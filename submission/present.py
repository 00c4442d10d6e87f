"""``run_pegasus.py present``: what the edition of 2021 wants to see of a generative model, in one folder.

    python run_pegasus.py present runs/pegasus/cifar --edition 2021
    python run_pegasus.py present runs/pegasus/cifar --edition 2021 --pick 3 17 140 --name by-eye

64 samples that are not selected, interpolations between 8 pairs of samples, picked examples in a file of their own, and
the bonus table. Examples are picked by score (as ``judge`` does, by classes and diversity), or by eye with ``--pick``
from ``drawn.png``, where all images have their numbers.

Credits: the assignment of 2021.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.device import usable_device
from common.errors import UserError, check_at_least
from common.files import new_folder, write_atomic
from common.run_folder import check_name
from gen_models.adversarial.run_sampler import load_sampler
from gen_models.adversarial.sampling import AdversarialSampler
from gen_models.diffusion.samples import Samples
from gen_models.figures.batch_figures import COLUMNS, TILE, save_batch
from gen_models.figures.interpolation import next_class
from gen_models.figures.pairs import IMAGES, interpolations
from gen_models.images.grids import FULL_WIDTH, grid, save_png
from gen_models.judging.judge import CLASSIFIER, FOLDER, Judge, classifier_of
from gen_models.judging.judged_images import JudgedImages
from gen_models.judging.judging_data import data_of_run
from gen_models.judging.selection import select
from gen_models.options import SelectionWeights, check_batch_size
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler, sampling_progress
from submission.bonus import bonus_markdown, decide, read_run, summary
from submission.edition import Edition, edition_of
from submission.options import PresentSettings

BATCH = 64  # samples that are not selected
DDIM_STEPS = 50
# The classes and how different the images are; nobody asks for white ones.
BY_SCORE = SelectionWeights(white_weight=0.0)
Sampler = RunSampler | AdversarialSampler


def present(user: PresentSettings) -> None:
    """Write the folder RUN/NAME.

    :raises UserError: for another edition, a run, conditions or numbers that cannot be used; no files are left then
    """
    edition = edition_of(user.edition)
    if not edition.interpolations:
        raise UserError(f"the edition of {edition.year} wants a selected batch: run_pegasus.py judge {user.run}")
    _check(user)
    folder = user.run / check_name(user.name or f"edition-{edition.year}")
    if folder.exists():
        raise UserError(f"{folder} exists and is not overwritten; choose another --name")
    sampler = load_sampler(user.run, user.checkpoint, user.averaged, user.batch_size, user.device)
    request = SampleRequest(user.weights, seed=user.seed)
    decisions = decide(edition, [read_run(user.run)])
    with new_folder(folder) as temporary:
        samples = _samples(sampler, request, user.draw)
        picked, how = _picked(user, samples)
        _figures(samples, picked, how, temporary)
        _interpolations(sampler, request, temporary)
        samples.save(temporary / "samples.npz")
        write_atomic(temporary / "bonus.md", bonus_markdown(edition, decisions))
        names = ", ".join(sorted(path.name for path in temporary.iterdir()))
    print(f"bonus: {summary(decisions)}")
    print(f"{names} are in {folder}")
    if isinstance(sampler, RunSampler):  # a DCGAN is for comparison
        for line in wanted_files(edition, user.run):
            print(line)


def wanted_files(edition: Edition, run: Path) -> list[str]:
    """The names of the edition's files about the generative model, each with the command that makes it."""
    paper, code = (edition.rule("images", kind).name for kind in ("paper", "code"))
    script = code.replace(" or .py", "")
    return [
        f"{paper}: python -m submission paper {run} --edition {edition.year}",
        f"{code}: python -m submission bundle {run} {script}",
    ]


def _check(user: PresentSettings) -> None:
    check_at_least(0, {"--seed": user.seed})
    if user.draw < BATCH:
        raise UserError(f"--draw {user.draw}: at least {BATCH}, the samples that are not selected")
    if not 1 <= user.keep <= user.draw:
        raise UserError(f"--keep {user.keep} of --draw {user.draw}: at least 1, and no more than are drawn")
    check_batch_size(user.batch_size)
    for number in user.pick:
        if not 0 <= number < user.draw:
            raise UserError(f"--pick {number}: the images have the numbers 0 to {user.draw - 1}")
    if len(set(user.pick)) < len(user.pick):
        raise UserError("--pick names an image twice")


def _samples(sampler: Sampler, request: SampleRequest, count: int) -> Samples:
    with sampling_progress(count * request.steps, request.steps) as progress:
        return sampler.sample(request, range(count), progress)


def _picked(user: PresentSettings, samples: Samples) -> tuple[NDArray[np.int64], str]:
    """The numbers of the picked examples, and how they were picked."""
    if user.pick:
        return np.array(user.pick, np.int64), "picked by eye"
    data = data_of_run(user.run)
    evaluator = Judge(data, classifier_of(data, user.run / FOLDER / CLASSIFIER, usable_device(user.device)))
    measured = evaluator.measure(JudgedImages(user.run.name, samples.images))
    outputs = data.test.class_names
    shown = tuple(outputs.index(name) for name in data.classes)
    kept = select(measured, user.keep, [shown], evaluator.base_rates(), BY_SCORE).kept
    return kept, "picked by score: how surely the own classifier takes them for images of the classes, how different"


def _figures(samples: Samples, picked: Sequence[int] | NDArray[np.int64], how: str, folder: Path) -> None:
    count, caption = len(samples.images), samples.caption()
    first = f"Not selected: the first {BATCH} images of the seed. {caption}"
    save_batch(samples.images[:BATCH], folder / "samples.png", first)
    chosen = f"Cherry-picked: {len(picked)} of {count} images, {how}. {caption}"
    save_batch(samples.images[np.asarray(picked)], folder / "cherry-picked.png", chosen)
    scale = max(1, TILE // samples.images.shape[1])
    numbers = [str(number) for number in range(count)]
    save_png(grid(samples.images, 2 * COLUMNS, scale, labels=numbers), folder / "drawn.png")


def _interpolations(sampler: Sampler, request: SampleRequest, folder: Path) -> None:
    if isinstance(sampler, RunSampler):
        request = dataclasses.replace(request, sampler="ddim", steps=DDIM_STEPS)
    to = next_class(request.weights, sampler.vocabulary)
    with sampling_progress(IMAGES * request.steps, request.steps) as progress:
        figure = interpolations(sampler, request, to, progress)
    save_png(figure, folder / "interpolations.png", FULL_WIDTH)
