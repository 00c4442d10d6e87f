"""The search for sampling settings that give winged horses: guidance of a trained run, on unselected images.

There are two objectives: the share of winged horses among the images, and the diversity of the images. For a run on
sprites the scorer of ``gen_models.classifiers.sprite_scorer`` finds the winged horses: images that have a horse's
head, trunk and legs, and wings. For other runs the classifier of ``judge``, trained on the run's own images, measures
how far an image is between a horse and something that flies: the mean of 4 p q, with p the probability of a horse and
q that of a bird or an airplane. A classifier that was trained without winged horses can hardly do more.

The diversity is the Vendi score of the centred pixels at 32 x 32: the number of entirely dissimilar images that would
be equally diverse.

Credits: D. Friedman and A. B. Dieng 2022 (arXiv 2210.02410, Vendi score).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import BaseTrial

from common.checkpoints import choose_checkpoint
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.classifiers.attributes import SPREAD
from gen_models.classifiers.sprite_scorer import load_scorer
from gen_models.diffusion.contrast import contrast_conditions
from gen_models.diffusion.guidance import parse_weights
from gen_models.judging.judge import classifier_of_run
from gen_models.judging.metrics import centred_pixels, vendi_score
from gen_models.judging.selection import outputs_for
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler, load_run_sampler
from gen_models.training.settings import HORSES_AND_BIRDS, RunSettings
from tune.settings import PegasusStudy
from tune.spaces import Narrowed, check_searched, distributions, parse_ranges, sampling, sampling_defaults
from tune.task import Direction, Outcome, Params, Progress

Score = Callable[[NDArray[np.uint8]], float]
"""From images uint8 (N, S, S, 3) to the share of winged horses, 0 to 1."""


class PegasusTask:
    """See ``tune.task.Task``.

    :raises UserError: for a missing run or checkpoint, unknown conditions, and a run whose images cannot be scored
    """

    metrics = ("winged horses (share of the images)", "diversity (Vendi score of the pixels)")
    directions: tuple[Direction, ...] = ("maximize", "maximize")

    def __init__(self, study: PegasusStudy) -> None:
        self.study = study
        self.path = Path(study.run)
        self.run_settings = RunSettings.from_yaml(RunFolder(self.path).settings)
        self.checkpoint = choose_checkpoint(RunFolder(self.path).checkpoints, study.checkpoint).name
        parse_weights(",".join(f"{name}=1" for name in study.conditions), self.run_settings.vocabulary)
        if study.from_:
            base, add = study.conditions
            contrast_conditions(base, add, study.from_, self.run_settings.vocabulary)
        self._defaults = sampling_defaults(study.conditions, study.from_)
        self.ranges = parse_ranges(study.range)
        check_searched([*study.search, *self.ranges], list(self._defaults))
        self._run_sampler: RunSampler | None = None
        self._score: Score | None = None
        _check_scorer(self.path, self.run_settings)

    def space(self, trial: BaseTrial) -> Params:
        """The searched fields of ``SampleRequest``."""
        narrowed = Narrowed(trial, self._defaults, self.study.search, self.ranges)
        return sampling(narrowed, self.study.conditions, self.study.from_)

    def defaults(self) -> dict[str, Any]:
        """The settings with which README.md samples."""
        return {name: self._defaults[name] for name in distributions(self.space, self._defaults)}

    def definition(self) -> Mapping[str, Any]:
        """The network, the number of images, and the settings that are not searched."""
        searched = distributions(self.space, self._defaults)
        return {
            "run": self.run_settings.name,
            "checkpoint": self.checkpoint,
            "images": self.study.images,
            "fixed": {name: value for name, value in self._defaults.items() if name not in searched},
        }

    def run(self, params: Params, seeds: Sequence[int], folder: Path, progress: Progress) -> Outcome:
        """Sample images and save them with ``grid.png`` and ``samples.npz`` in ``folder/seed-0`` and so on."""
        values = []
        spent = 0

        def report(steps: int) -> None:
            nonlocal spent
            spent += steps
            progress.spent(spent)

        for index, seed in enumerate(seeds):
            request = SampleRequest(**params, seed=seed)
            samples = self.run_sampler.sample(request, range(self.study.images), report)
            samples.save(folder / f"seed-{index}" / "samples.npz")
            values.append((self.score(samples.images), diversity(samples.images)))
        return Outcome(tuple(np.mean(values, axis=0).tolist()), tuple(values))

    @property
    def run_sampler(self) -> RunSampler:
        """The trained run."""
        if self._run_sampler is None:
            study = self.study
            self._run_sampler = load_run_sampler(self.path, self.checkpoint, True, study.batch_size, study.device)
        return self._run_sampler

    def score(self, images: NDArray[np.uint8]) -> float:
        """The share of winged horses, 0 to 1."""
        if self._score is None:
            self._score = make_score(self.path, self.run_settings, self.study.scorer, self.study.device)
        return self._score(images)


def _is_drawn(settings: RunSettings) -> bool:
    return all(spec.startswith("sprites") for spec in settings.data.specs)


def _check_scorer(path: Path, settings: RunSettings) -> None:
    """:raises UserError: when the run has no classes by which winged horses can be recognised"""
    if not _is_drawn(settings) and not set(HORSES_AND_BIRDS) <= set(settings.vocabulary.classes):
        raise UserError(f"{path} was not trained on horses and birds: nothing says which images are winged horses")


def make_score(path: Path, settings: RunSettings, scorer: str, device: str) -> Score:
    """The function that gives the share of winged horses, for a run that ``_check_scorer`` accepts.

    :param path: the run's folder
    :param scorer: folder of the scorer of sprites; empty for the one beside the run
    :param device: device of the classifier of other images
    :raises UserError: when the run's images are missing
    """
    if _is_drawn(settings):
        kept = load_scorer(Path(scorer) if scorer else path.parent / "sprite-scorer")

        def share(images: NDArray[np.uint8]) -> float:
            return float(kept.score(images)["winged horse"].mean())

        return share
    classifier = classifier_of_run(path, device)
    horse, flying = outputs_for(("horse", SPREAD), classifier.settings.outputs)

    def between(images: NDArray[np.uint8]) -> float:
        probabilities = classifier.probabilities(images)
        return float((4 * probabilities[:, horse].sum(axis=1) * probabilities[:, flying].sum(axis=1)).mean())

    return between


def diversity(images: NDArray[np.uint8]) -> float:
    """Vendi score of the centred pixels (Friedman and Dieng, eq. 1).

    :param images: uint8 (N, S, S, 3)
    :return: 1 (all the same) to N (nothing in common)
    """
    return vendi_score(centred_pixels(images))
