"""Recipes of training, each for the same processor time, by the images that come of them.

    python -m bench.recipes                                     # drawings
    python -m bench.recipes --preset cifar-cpu --seconds 900 --recipes before batch-32 x0
    python -m bench.recipes --seeds 742 743 744 --recipes before batch-32

First all recipes' training steps are timed in turn; that gives each one's number of images. Then each is trained, in a
run folder of its own, which a second call resumes or uses as it is. Of every run the averaged weights are sampled, and
the images predicted at several noise levels are measured, as ``--stop-at`` would return them: Frechet distance in own
features to images that the run has not seen, and grain in even areas, for one condition at one weight after another.

For drawings the features are those of the scorer; otherwise those of a small classifier of the source's classes.
Processor time, not wall time: what other programs do then matters less.

Credits: Karras et al. 2022 (arXiv 2206.00364) for tables in which one change follows another.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.alternate import alternate
from bench.denoiser_training import ours
from common.device import resolve_precision
from common.errors import UserError
from common.progress import progress_of
from gen_models.classifiers.classifier import Classifier, train_classifier
from gen_models.classifiers.sprite_scorer import load_scorer
from gen_models.diffusion.sampling import make_scheduler, noise_levels, set_times
from gen_models.images.grids import grid, save_png
from gen_models.images.image_set import resized, to_pixels
from gen_models.images.loaders import load_images
from gen_models.images.sprite_drawing import SIZE
from gen_models.images.sprites import draw_sprites
from gen_models.judging.frechet import frechet_distance
from gen_models.judging.measured import grain
from gen_models.options import TrainSettings
from gen_models.request import SampleRequest
from gen_models.training.data import load_training_images, vocabulary_of
from gen_models.training.loop import TASK, train
from gen_models.training.run_sampler import RunSampler, load_run_sampler
from gen_models.training.settings import RunSettings, resolve

Images = NDArray[np.uint8]
Features = Callable[[Images], NDArray[np.float32]]

# What each recipe changes of the preset as it was: batches of 128, v, min-SNR without a floor.
BEFORE: dict[str, dict[str, Any]] = {
    "sprites": {"batch_size": 128, "learning_rate": 1.5e-3, "prediction": "v", "weight_floor": 0.0},
    "cifar-cpu": {"batch_size": 128, "learning_rate": 6e-4, "prediction": "v", "weight_floor": 0.0},
}
SMALL = {"batch_size": 32, "learning_rate": 1.2e-3}
RECIPES: dict[str, dict[str, Any]] = {
    "before": {},
    "batch-32": SMALL,
    "batch-32-low-rate": {**SMALL, "learning_rate": 6e-4},
    "batch-16": {"batch_size": 16, "learning_rate": 1.2e-3},
    "floor": {**SMALL, "weight_floor": 0.2},
    "equal-weights": {**SMALL, "min_snr": 0.0},
    "x0": {**SMALL, "prediction": "x0"},
    "x0-floor": {**SMALL, "prediction": "x0", "weight_floor": 0.2},
    "shift": {**SMALL, "shift": 2},
    "pixels": {**SMALL, "patch": 1},
    "narrow": {**SMALL, "channels": (32, 64, 64), "layers": 1},
    "one-block": {**SMALL, "layers": 1},
}
STOPS = (0.4, 0.25, 0.1, 0.0)
EPOCHS, WIDTHS = 3, (24, 48, 96)  # of the classifier of the features


@dataclass(frozen=True)
class Settings:
    """Compare recipes."""

    preset: str = "sprites"
    """Whose images and network: sprites or cifar-cpu."""
    recipes: tuple[str, ...] = ("before", "batch-32", "floor", "x0")
    """Names of recipes."""
    seconds: float = 240.0
    """Processor time of each training."""
    seeds: tuple[int, ...] = (742,)
    """Seeds of the trainings."""
    data: tuple[str, ...] | None = None
    """Images in place of the preset's."""
    size: int | None = None
    """Side of the images in pixels, in place of the preset's: 16 costs a quarter of 32."""
    condition: str = "horse"
    """The class that is sampled, and compared with."""
    weights: tuple[float, ...] = (1.0, 2.0)
    """Its weights, one after another."""
    n: int = 128
    """Images of each."""
    steps: int = 25
    """Steps of DPM-Solver++."""
    runs: Path = Path("runs/recipes")
    """Folder of the runs and of the tables."""


def main() -> None:
    """Train, measure and print."""
    settings = tyro.cli(Settings)
    unknown = [name for name in settings.recipes if name not in RECIPES]
    if unknown or settings.preset not in BEFORE:
        raise UserError(f"unknown: {' '.join(unknown) or settings.preset}; recipes: {' '.join(RECIPES)}")
    rates = training_rates(settings)
    features, real = reference(settings)
    rows = [measured_real(features, real, settings.n)]
    for seed in settings.seeds:
        for recipe in settings.recipes:
            user = asked(settings, recipe, seed, round(settings.seconds * rates[recipe]))
            began = time.process_time()
            train(user)
            seconds = time.process_time() - began
            sampler = load_run_sampler(settings.runs / TASK / str(user.name), None, True, 32, "cpu")
            for weight in settings.weights:
                images = predicted(sampler, f"{settings.condition}={weight:g}", settings)
                row = {"recipe": recipe, "seed": seed, "images": user.images, "seconds": seconds, "weight": weight}
                for stop, drawn in images.items():
                    rows.append({**row, "stop": stop, **measured(features, drawn, real[settings.n :])})
                save_png(grid(images[STOPS[1]], 16, 2), settings.runs / f"{user.name}-{weight:g}.png")
            file = settings.runs / f"{titled(settings)}.jsonl"
            with file.open("a") as lines:
                lines.writelines(json.dumps(row) + "\n" for row in rows[1:] if row["recipe"] == recipe)
    show(settings, rows)


def titled(settings: Settings) -> str:
    """The name of a comparison, for its files."""
    size = f"-{settings.size}px" if settings.size else ""
    return f"{settings.preset}{size}-{settings.seconds:g}s"


def asked(settings: Settings, recipe: str, seed: int, images: int) -> TrainSettings:
    """The training of a recipe."""
    changes: dict[str, Any] = {**BEFORE[settings.preset], **RECIPES[recipe]}
    return TrainSettings(
        **changes,
        preset=settings.preset,
        data=settings.data,
        size=settings.size,
        images=max(1, images),
        attributes=settings.preset == "sprites",
        sample_every=0,
        device="cpu",
        seed=seed,
        runs=settings.runs,
        name=f"{titled(settings)}-{recipe}-{seed}",
        resume_if_exists=True,
    )


def training_rates(settings: Settings) -> dict[str, float]:
    """Images per second of processor time of each recipe's training, timed in turn.

    Recipes with the same network and batch size have the same rate. Rates are kept in a file.
    """
    runs = {recipe: resolve(asked(settings, recipe, 0, 100_000)) for recipe in settings.recipes}
    costs = {recipe: f"{run.denoiser}, batches of {run.learning.batch_size}" for recipe, run in runs.items()}
    file = settings.runs / f"rates-{settings.preset}.json"
    known: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    missing = {cost: runs[recipe] for recipe, cost in costs.items() if cost not in known}
    if missing:
        known |= timed(missing)
        settings.runs.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=1))
    return {recipe: known[cost] for recipe, cost in costs.items()}


def timed(runs: dict[str, RunSettings]) -> dict[str, float]:
    """Images per second of processor time of each training, the median of three rounds in turn."""
    images = load_training_images(next(iter(runs.values())).data)
    vocabulary = vocabulary_of(images, attributes=True)
    with contextlib.ExitStack() as stack:
        ways = {}
        for name, run in runs.items():
            size = run.learning.batch_size
            steps = max(1, 128 // size)
            trainer = ours(
                dataclasses.replace(run, vocabulary=vocabulary), images, steps, resolve_precision("auto", "cpu")
            )
            ways[name] = by_processor_time(stack.enter_context(trainer), steps * size)
        rates = alternate("training", ways, 3, "images/s of processor time")
    return {name: float(np.median(values)) for name, values in rates.items()}


def by_processor_time(work: Callable[[], float], images: int) -> Callable[[], float]:
    """The rate of a piece of work on so many images, by processor time."""

    def timed() -> float:
        began = time.process_time()
        work()
        return images / (time.process_time() - began)

    return timed


def reference(settings: Settings) -> tuple[Features, Images]:
    """The features, and images of the condition that the runs have not seen."""
    run = resolve(asked(settings, "before", 0, 1)).data
    if settings.preset == "sprites":
        classifier = load_scorer(settings.runs / "sprite-scorer").classifier
        drawn = resized(draw_sprites("horse", 2_000, seed=77)[0], run.size)
        return lambda images: classifier.features(resized(images, SIZE)), drawn
    everything, test = (
        load_images(run.specs, run.size, None, split, Path(run.downloads)) for split in ("train", "test")
    )
    folder = settings.runs / f"classifier-{settings.preset}"
    if not folder.exists():
        with progress_of("training the classifier of the features") as progress:
            made = train_classifier(
                everything.images,
                everything.classes,
                everything.class_names,
                epochs=EPOCHS,
                widths=WIDTHS,
                size=run.size,
                progress=progress,
            )
        made.save(folder)
    return Classifier.load(folder, "cpu").features, test.images[test.of_class(settings.condition)]


def predicted(sampler: RunSampler, weights: str, settings: Settings) -> dict[float, Images]:
    """The images of one sampling as predicted at each of ``STOPS``, by noise level."""
    levels = noise_levels(sampler.noise)
    request = SampleRequest(weights, steps=settings.steps, stop_at=0.0)
    scheduler = make_scheduler(sampler.noise, request)
    last = {stop: len(set_times(scheduler, dataclasses.replace(request, stop_at=stop), levels)) for stop in STOPS}
    batches: dict[float, list[Images]] = {stop: [] for stop in STOPS}
    seen = 0

    def watch(image: Tensor) -> None:
        nonlocal seen
        seen += 1
        for stop in STOPS:
            if last[stop] == (seen - 1) % settings.steps + 1:
                batches[stop].append(to_pixels(image))

    sampler.sample(request, range(settings.n), watch=watch)
    return {stop: np.concatenate(parts) for stop, parts in batches.items()}


def measured(features: Features, images: Images, real: Images) -> dict[str, float]:
    """Frechet distance to real images, and the median of the grain."""
    return {
        "distance": frechet_distance(features(images), features(real)),
        "grain": float(np.nanmedian(grain(images))),
    }


def measured_real(features: Features, real: Images, n: int) -> dict[str, Any]:
    """The same for ``n`` real images."""
    row = measured(features, real[:n], real[n:])
    return {"recipe": "real", "seed": None, "images": None, "seconds": None, "weight": None, "stop": None, **row}


def show(settings: Settings, rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title=f"{settings.preset}, {settings.seconds:g} s of processor time, {settings.n} images")
    columns = ("recipe", "seed", "images", "seconds", "weight", "stop", "distance", "grain")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(f"{row[c]:.4g}" if isinstance(row[c], float) else str(row[c] or "") for c in columns))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
