"""Rates on a quiet machine and beside busy loops, of everything that computes for long.

    python -m bench.busy                       # all works, one busy loop on none, one and two of two cores
    python -m bench.busy --works denoiser sampling --rounds 3

Each work is measured in a process of its own in two ways: its batches divided among threads of one torch thread each
(``common.parallel``), as the project does, and with torch's own threads. A share is the rate beside the loops over the
rate without.

Credits: GNU's libgomp manual for ``GOMP_SPINCOUNT``, by which torch's waiting threads spin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from unittest import mock

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from common import parallel
from common.processors import cores

WAYS = ("divided", "torch's threads")
Work = Callable[[], int]  # does a piece and says of how many units


@dataclass(frozen=True)
class Settings:
    """Measure works beside busy loops."""

    works: tuple[str, ...] = ("ppo-ram", "ppo-pixels", "qrdqn-pixels", "denoiser", "classifier", "sampling")
    """Which works."""
    loops: tuple[int, ...] = tuple(range(cores() + 1))
    """Busy loops beside the work, one measurement each; the first is the quiet one."""
    seconds: float = 5.0
    """Shortest time of a measurement."""
    rounds: int = 1
    """Measurements of each, the ways in turn."""
    only: str | None = None
    """Measure this way in this process and print its rates."""


def main() -> None:
    """Measure and print."""
    settings = tyro.cli(Settings)
    if settings.only is not None:
        with torchs_own_threads() if settings.only != WAYS[0] else contextlib.nullcontext():
            print(f"rates {json.dumps(_rates(settings))}")
        return
    table = Table(title=f"units/s beside busy loops on {cores()} cores, median of {settings.rounds} rounds")
    for column in ("work", "way", *(f"{count} loops" for count in settings.loops), "shares of the first"):
        table.add_column(column)
    for work in settings.works:
        rates: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(settings.rounds):
            for way in WAYS:
                rates[way].append(_in_a_process(settings, work, way))
        for way in WAYS:
            medians = [statistics.median(column) for column in zip(*rates[way], strict=True)]
            shares = ", ".join(f"{100 * rate / medians[0]:.0f} %" for rate in medians[1:])
            table.add_row(work, way, *(f"{rate:,.1f}" for rate in medians), shares)
    Console(width=120).print(table)


def _in_a_process(settings: Settings, work: str, way: str) -> list[float]:
    command = [sys.executable, "-m", "bench.busy", "--only", way, "--works", work, "--seconds", str(settings.seconds)]
    done = subprocess.run([*command, "--loops", *map(str, settings.loops)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{work}, {way}: {done.stderr.strip().splitlines()[-1]}")
    return list(json.loads(done.stdout.split("rates ")[-1]))


def _rates(settings: Settings) -> list[float]:
    (name,) = settings.works
    rates = []
    with _training(name) if name in TRAININGS else WORKS[name]() as work:
        work()
        for count in settings.loops:
            with busy_loops(count):
                began, units = time.perf_counter(), 0
                while time.perf_counter() - began < settings.seconds:
                    units += work()
                rates.append(units / (time.perf_counter() - began))
    return rates


def _spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing, as fast as they can."""
    context = multiprocessing.get_context("spawn")
    loops = [context.Process(target=_spin, daemon=True) for _ in range(count)]
    for loop in loops:
        loop.start()
    if loops:
        time.sleep(2)  # while they start
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()


@contextlib.contextmanager
def torchs_own_threads() -> Iterator[None]:
    """Nothing is divided, and torch has all its threads at all times."""

    def one_by_one(function: Callable[[Any], Any], parts: Any) -> list[Any]:
        return [function(part) for part in parts]

    with contextlib.ExitStack() as stack:
        for place in ("common.parallel", "gen_models.diffusion.sampling"):
            stack.enter_context(mock.patch(f"{place}.slices", lambda count, parts: [slice(0, count)]))
        for place in ("gen_models.classifiers.classifier", "gen_models.diffusion.sampling"):
            stack.enter_context(mock.patch(f"{place}.run_parts", one_by_one))
        stack.enter_context(mock.patch("torch.set_num_threads", lambda count: None))
        yield


TRAININGS = ("ppo-ram", "ppo-pixels", "qrdqn-pixels")


@contextlib.contextmanager
def _training(name: str) -> Iterator[Work]:
    """Agent steps of a training."""
    from bench.training import LEARNING_STARTS, our_model

    model = our_model(cast(Any, name), "auto")
    steps = model.n_envs * model.n_steps if name.startswith("ppo") else 400
    if not name.startswith("ppo"):
        model.learn(LEARNING_STARTS)

    def work() -> int:
        with parallel.one_torch_thread():
            model.learn(steps, reset_num_timesteps=False)
        return steps

    yield work
    model.env.close()


@contextlib.contextmanager
def _denoiser() -> Iterator[Work]:
    """Images of the sprites preset's training."""
    from bench.denoiser_training import ours
    from common.device import resolve_precision
    from gen_models.options import TrainSettings
    from gen_models.training.data import load_training_images, vocabulary_of
    from gen_models.training.settings import resolve

    run = resolve(TrainSettings(preset="sprites", data=("sprites:2000",), device="cpu"))
    images = load_training_images(run.data)
    run = dataclasses.replace(run, vocabulary=vocabulary_of(images, attributes=True))
    with ours(run, images, 1, resolve_precision("auto", "cpu")) as step:

        def work() -> int:
            step()
            return run.learning.batch_size

        yield work


@contextlib.contextmanager
def _classifier() -> Iterator[Work]:
    """Images of the training of a classifier for own features."""
    from gen_models.classifiers.classifier import train_classifier
    from gen_models.classifiers.own_features import WIDTHS

    images = np.random.default_rng(0).integers(0, 256, (512, 32, 32, 3), np.uint8)
    labels = np.arange(512) % 4

    def work() -> int:
        train_classifier(images, labels, ("a", "b", "c", "d"), epochs=1, widths=WIDTHS, precision="auto")
        return len(images)

    yield work


@contextlib.contextmanager
def _sampling() -> Iterator[Work]:
    """Image steps with two conditions, of the sprites preset's network."""
    from gen_models.diffusion.sampling import sample
    from gen_models.options import TrainSettings
    from gen_models.request import SampleRequest
    from gen_models.training.data import load_training_images, vocabulary_of
    from gen_models.training.denoiser_trainer import build_denoiser
    from gen_models.training.settings import resolve

    run = resolve(TrainSettings(preset="sprites", data=("sprites:2000",), device="cpu"))
    run = dataclasses.replace(run, vocabulary=vocabulary_of(load_training_images(run.data), attributes=True))
    denoiser = build_denoiser(run)
    request = SampleRequest("horse=2,spread=3.5", steps=5)

    def work() -> int:
        sample(denoiser, run.vocabulary, run.noise, request, range(16))
        return 16 * request.steps

    yield work


WORKS: dict[str, Callable[[], contextlib.AbstractContextManager[Work]]] = {
    "denoiser": _denoiser,
    "classifier": _classifier,
    "sampling": _sampling,
}


if __name__ == "__main__":
    main()
