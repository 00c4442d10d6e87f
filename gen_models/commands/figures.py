"""``run_pegasus.py figures``: the figures of a run for a paper, except those of its batch.

Interpolations, a sweep of two weights, the architecture, the loss and the samples during training. ``judge`` makes the
figures of the batch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from common.errors import UserError
from common.files import new_folder
from common.run_folder import check_name
from gen_models.adversarial.run_sampler import load_adversarial_sampler
from gen_models.adversarial.settings import AdversarialSettings, settings_of_run
from gen_models.adversarial.trainer import shown_vocabulary
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.guidance import composed
from gen_models.figures.adversarial_figures import LOSSES, losses_figure
from gen_models.figures.architecture_diagram import architecture_figure
from gen_models.figures.guidance_sweep import CELL, sweep, sweep_figure
from gen_models.figures.interpolation import ends, next_class
from gen_models.figures.pairs import IMAGES, interpolations
from gen_models.figures.paper_figures import save_figure
from gen_models.figures.progress_figures import (
    loss_figure,
    read_losses,
    sample_pictures,
    sample_progress_figure,
    sample_progress_width,
)
from gen_models.images.grids import FULL_WIDTH, save_png
from gen_models.options import FiguresSettings, check_batch_size
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import load_run_sampler, sampling_progress
from gen_models.training.settings import BaseRunSettings, RunSettings


def figures(user: FiguresSettings) -> None:
    """Make and write all figures.

    :raises UserError: for an invalid run, conditions or numbers; no files are left then
    """
    check_batch_size(user.batch_size)
    if not user.sweep_weights:
        raise UserError("--sweep-weights needs one weight at least")
    folder = user.run / "figures" / check_name(user.name)
    if folder.exists():
        raise UserError(f"{folder} exists and is not overwritten; choose another --name")
    settings = settings_of_run(user.run)
    with new_folder(folder) as temporary:
        if isinstance(settings, AdversarialSettings):
            _adversarial(user, settings, temporary)
        elif isinstance(settings, RunSettings):
            _sampled(user, settings, temporary)
            save_figure(
                architecture_figure(settings.denoiser, settings.vocabulary, settings.noise.prediction),
                temporary / "architecture",
            )
            _loss(user.run, settings, temporary)
            _pictures(user.run, settings.vocabulary, settings, temporary)
        names = ", ".join(sorted(path.name for path in temporary.iterdir()))
    print(f"{names} are in {folder}")


def _sampled(user: FiguresSettings, settings: RunSettings, folder: Path) -> None:
    vocabulary = settings.vocabulary
    request = SampleRequest(
        default_weights(vocabulary) if user.weights is None else user.weights,
        sampler="ddim",
        steps=user.steps,
        seed=user.seed,
        precision=user.precision,
    )
    request.check()
    to = next_class(request.weights, vocabulary) if user.to is None else user.to
    ends(request.weights, to, vocabulary)
    swept = swept_conditions(request.weights, vocabulary) if user.sweep is None else user.sweep
    for word in swept or ():
        vocabulary.parse(word)  # fails now, not after the interpolations
    cell = request
    if user.from_ and swept:
        cell = replace(request, weights="", compose="contrast", base=swept[0], add=swept[1], from_=user.from_)
        composed(cell, vocabulary)
    sampler = load_run_sampler(user.run, user.checkpoint, user.averaged, user.batch_size, user.device)
    run = f"run {settings.name}, {sampler.origin.checkpoint}"
    how = f"{user.steps} steps of DDIM, seed {user.seed}, {run}"
    cells = len(user.sweep_weights) ** 2 if swept else 0
    with sampling_progress((IMAGES + cells * CELL) * user.steps, user.steps) as progress:
        save_png(interpolations(sampler, request, to, progress), folder / "interpolations.png", FULL_WIDTH)
        shown = sweep(sampler, cell, swept, user.sweep_weights, progress) if swept else None
    if swept and shown is not None:
        contrasted = f"the contrast of {swept[1]} from {user.from_}" if user.from_ else swept[1]
        caption = (
            f"Weights of {swept[0]} (rows) and {contrasted} (columns). Every cell has the same {CELL} start noises, "
            f"the first of the seed, none selected; {how}."
        )
        picture = sweep_figure(shown, swept, user.sweep_weights, caption)
        save_png(picture, folder / "guidance-sweep.png", FULL_WIDTH)
    else:
        print("no guidance-sweep.png: the run knows fewer than two words")


def _adversarial(user: FiguresSettings, settings: AdversarialSettings, folder: Path) -> None:
    """The figures of a DCGAN, which has no guidance to sweep."""
    sampler = load_adversarial_sampler(user.run, user.checkpoint, user.batch_size, user.device)
    vocabulary = shown_vocabulary(settings)
    first = f"{vocabulary.classes[0]}=1" if vocabulary.classes else ""
    request = SampleRequest(first if user.weights is None else user.weights, seed=user.seed)
    to = next_class(request.weights, vocabulary) if user.to is None else user.to
    save_png(interpolations(sampler, request, to), folder / "interpolations.png", FULL_WIDTH)
    images, *losses = read_losses(user.run / "loss.csv", tuple(LOSSES))
    if len(images):
        save_figure(losses_figure(images, losses, settings.name), folder / "loss")
    else:
        print("no loss.pdf: loss.csv has no line yet")
    _pictures(user.run, vocabulary, settings, folder)


def _loss(path: Path, settings: RunSettings, folder: Path) -> None:
    images, losses = read_losses(path / "loss.csv")
    if len(images):
        save_figure(loss_figure(images, losses, settings.learning.batch_size, settings.name), folder / "loss")
    else:
        print("no loss.pdf: loss.csv has no line yet")


def _pictures(path: Path, vocabulary: Vocabulary, settings: BaseRunSettings, folder: Path) -> None:
    """The samples during training; the vocabulary has the words of their rows."""
    pictures = sample_pictures(path / "samples")
    if not pictures:
        print("no sample-progress.png: the training has left no picture of samples yet")
        return
    caption = (
        f"The same start noises after more and more images of training, run {settings.name}; a row for each condition, "
        "the first two samples of each, none selected."
    )
    picture = sample_progress_figure(pictures, vocabulary, settings.data.size, caption)
    save_png(picture, folder / "sample-progress.png", sample_progress_width(len(pictures)))


def default_weights(vocabulary: Vocabulary) -> str:
    """The first two words of a run, classes before attributes, 2 each."""
    return ",".join(f"{word}=2" for word in (*vocabulary.classes, *vocabulary.attributes)[:2])


def swept_conditions(weights: str, vocabulary: Vocabulary) -> tuple[str, str] | None:
    """The first two conditions of --weights; if it has fewer, the run's first two words; None without two words."""
    for text in (weights, default_weights(vocabulary)):
        names = [part.partition("=")[0].strip() for part in text.split(",") if part.strip()]
        if len(names) > 1:
            return names[0], names[1]
    return None
