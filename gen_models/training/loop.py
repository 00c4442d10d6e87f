"""Training of a model, from settings to a run folder, and resuming it after a stop or a kill.

    python run_pegasus.py train --preset smoke
    accelerate launch --multi_gpu --num_processes 2 run_pegasus.py train --preset cifar-gpu

The second line also starts two processes on CPUs; with ``--cpu`` accelerate ignores ``--num_processes`` and starts one.

``train`` and ``resume`` are for a denoiser; for another model ``train_run`` and ``resume_run`` get its settings and
its trainer.

Credits: accelerate for devices and processes; nanoGPT (Karpathy) for a loop that reads from top to bottom.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator

from common.checkpoints import (
    CheckpointClock,
    check_budget,
    discard_after,
    latest_checkpoint,
)
from common.device import OutOfMemory, memory_errors, resolve_precision, usable_device
from common.errors import UserError
from common.extras import check_installed
from common.files import write_atomic
from common.options import TrackerName
from common.parallel import default_parts, torch_threads
from common.progress import ProgressLine
from common.run_folder import RunFolder, check_new, git_commit, package_versions, warn_of_other_versions
from common.signals import StopSignals
from common.tracking import Tracker
from gen_models.classifiers.hand_labels import HandLabel
from gen_models.diffusion.layout import FILE as SILHOUETTES
from gen_models.diffusion.layout import pack_silhouettes, silhouettes_of
from gen_models.options import ResumeSettings, RunOptions, TrainSettings
from gen_models.training.data import (
    Batches,
    changed_labels,
    digest,
    hand_labels,
    keep_attributes,
    labels_digest,
    labels_of,
    load_training_images,
    vocabulary_of,
)
from gen_models.training.denoiser_trainer import DenoiserTrainer
from gen_models.training.hardware import build_accelerator
from gen_models.training.loss_log import WINDOW, NotFinite
from gen_models.training.oversampling import shares, times_of
from gen_models.training.settings import BaseRunSettings, RunSettings, differing, resolve
from gen_models.training.trainer import S, Trainer, loss_file

TASK = "pegasus"
PACKAGES = ("torch", "diffusers", "accelerate", "numpy", "pillow")


def train(user: TrainSettings) -> None:
    """Train a denoiser; see ``train_run``."""
    train_run(user, resolve(user), DenoiserTrainer, user.threads)


def train_run(user: RunOptions, settings: S, trainer: type[Trainer[S]], threads: int | None) -> None:
    """Train a run; its results are in ``RUNS/pegasus/NAME``.

    :param settings: resolved from the command line's
    :param threads: as on the command line; None for what suits the machine
    :raises UserError: for invalid settings or images, and for a run that exists, unless it is to be resumed
    """
    if user.track is not None:
        check_installed(user.track)
    path = user.runs / TASK / settings.name
    if not user.resume_if_exists:
        check_new(path)
    device = usable_device(settings.device)
    settings = dataclasses.replace(
        settings,
        precision=resolve_precision(settings.precision, device),
        versions=package_versions(PACKAGES),
        git_commit=git_commit(),
    )
    accelerator = build_accelerator(settings.device, settings.precision)
    if threads is None:
        settings = dataclasses.replace(settings, threads=_threads(settings, accelerator))
    settings, batches, labels = _with_data(settings, accelerator, path)
    if user.resume_if_exists and path.exists():
        before = settings.from_yaml(path / "settings.yml")
        if threads is None:
            settings = dataclasses.replace(settings, threads=before.threads)
        changed = changed_labels(settings.data, path)
        if changed:
            raise UserError(f"{changed}; give those, or another --name")
        difference = differing(before, settings)
        if difference:
            raise UserError(f"the run has {difference}; give the setting it began with, or another --name")
        check_budget(RunFolder(path).checkpoints, "--images", user.images, before.learning.images)
        continued = before.changed(user.images, user.checkpoint_every, user.sample_every, user.checkpoint_minutes)
        continued = dataclasses.replace(continued, device=settings.device)
        _resume(RunFolder(path), continued, trainer, batches, accelerator, user.track)
        return
    accelerator.wait_for_everyone()  # all have checked that there is no folder
    folder = RunFolder(path)
    if accelerator.is_main_process:
        RunFolder.create(path, settings.to_yaml())
        keep_attributes(settings.data, path, labels)
        if settings.vocabulary.regions:
            silhouettes = silhouettes_of(batches.images, batches.labels, settings.vocabulary, settings.seed)
            write_atomic(path / SILHOUETTES, pack_silhouettes(silhouettes))
    try:
        with _locked(folder, accelerator):
            shared = f" with {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
            _print(accelerator, f"training on {len(batches.images):,} images{shared} in {path}")
            _print_labels(settings, labels, batches, accelerator)
            _train(settings, folder, trainer, batches, accelerator, None, user.track)
    except OutOfMemory:
        if accelerator.is_main_process and latest_checkpoint(folder.checkpoints) is None:
            # Without a checkpoint there is nothing to go on from, and the next try may want the name.
            shutil.rmtree(path, ignore_errors=True)
        raise


def resume(user: ResumeSettings) -> None:
    """Resume the run of a denoiser; see ``resume_run``."""
    resume_run(user, RunSettings, DenoiserTrainer)


def resume_run(user: ResumeSettings, kind: type[S], trainer: type[Trainer[S]]) -> None:
    """Resume a run.

    :param kind: of its settings
    :raises UserError: when it cannot be resumed, or another process is training in its folder
    """
    if user.track is not None:
        check_installed(user.track)
    folder = RunFolder(user.run)
    before = kind.from_yaml(folder.settings)
    check_budget(folder.checkpoints, "--images", user.images, before.learning.images)
    settings = before.changed(user.images, user.checkpoint_every, user.sample_every, user.checkpoint_minutes)
    settings = dataclasses.replace(settings, device=user.device or settings.device)
    settings.check()
    accelerator = build_accelerator(settings.device, settings.precision)
    settings, batches, _ = _with_data(settings, accelerator, folder.path)
    difference = differing(before, settings)
    if difference:
        raise UserError(f"the run has {difference}: its images are no longer those it began with; put them back")
    changed = changed_labels(settings.data, folder.path)
    if changed:
        _print(accelerator, f"{changed}; it goes on with the kept ones")
    _resume(folder, settings, trainer, batches, accelerator, user.track)


def _resume(
    folder: RunFolder,
    settings: S,
    trainer: type[Trainer[S]],
    batches: Batches,
    accelerator: Accelerator,
    track: TrackerName | None,
) -> None:
    with _locked(folder, accelerator):
        checkpoint = latest_checkpoint(folder.checkpoints)
        accelerator.wait_for_everyone()  # all have found it before any is removed
        if accelerator.is_main_process:
            write_atomic(folder.settings, settings.to_yaml())
            warn_of_other_versions(settings.versions, PACKAGES)
            if checkpoint is None:  # killed before the first one: start again
                loss_file(folder).unlink(missing_ok=True)
            else:
                discard_after(checkpoint)
        _print(accelerator, f"resuming {folder.path} at {checkpoint.name if checkpoint else 'its beginning'}")
        _train(settings, folder, trainer, batches, accelerator, checkpoint, track)


def _with_data(settings: S, accelerator: Accelerator, path: Path) -> tuple[S, Batches, list[HandLabel]]:
    """The settings completed with the images' vocabulary and digest, the run's batches, and its labels by hand.

    :param path: the run's folder
    """
    settings.check_processes(accelerator.num_processes)
    labelled = hand_labels(settings.data, path)
    _print(accelerator, f"loading the images: {', '.join(settings.data.specs)}")  # some take seconds
    with accelerator.main_process_first():  # it writes the table of attributes
        images = load_training_images(settings.data, path, str(accelerator.device), labelled)
    vocabulary = vocabulary_of(images, settings.data.attributes, settings.data.label_maps)
    labels = labels_of(images, vocabulary)
    settings.check_labels(labels)
    data = dataclasses.replace(
        settings.data,
        digest=digest(images, labels),
        labels_digest=labels_digest(labelled),
    )
    batches = Batches(
        images, labels, vocabulary, settings.learning, settings.seed,
        accelerator.process_index, accelerator.num_processes, accelerator.device,
        times_of(data.oversample, images),
    )  # fmt: skip
    return dataclasses.replace(settings, data=data, vocabulary=vocabulary), batches, labelled


def _print_labels(
    settings: BaseRunSettings, labels: list[HandLabel], batches: Batches, accelerator: Accelerator
) -> None:
    """Say how many images were labelled by hand, and which come more often."""
    given = Counter((label.attribute, label.word) for label in labels)
    for name in dict.fromkeys(attribute for attribute, _ in given):
        _print(accelerator, f"labelled by hand: {name}, {given[name, 'yes']:,} yes, {given[name, 'no']:,} no")
    for line in shares(settings.data.oversample, batches.times, batches.images):
        _print(accelerator, line)


def _threads(settings: BaseRunSettings, accelerator: Accelerator) -> int:
    """The number of threads that share each batch of a new run."""
    if accelerator.num_processes > 1:
        return 1
    return min(default_parts(accelerator.device, settings.learning.batch_size), settings.most_threads)


def _train(
    settings: S,
    folder: RunFolder,
    kind: type[Trainer[S]],
    batches: Batches,
    accelerator: Accelerator,
    checkpoint: Path | None,
    track: TrackerName | None,
) -> None:
    tracker = Tracker(track, TASK, folder.path, settings) if track and accelerator.is_main_process else None
    signals = StopSignals(f"run_pegasus.py resume {folder.path}")
    signals.open()
    on_cpu = accelerator.device.type == "cpu"
    threads = torch_threads(settings.torch_threads) if on_cpu else contextlib.nullcontext()
    with contextlib.closing(signals), memory_errors(settings.learning.batch_size), threads:
        trainer = kind(settings, folder, batches, accelerator, checkpoint, tracker)
        try:
            _steps_to_the_end(trainer, signals)
        except NotFinite as error:
            good = f"the last good checkpoint is {trainer.checkpoint}" if trainer.checkpoint else "it has no checkpoint"
            raise UserError(f"{error}; {good}; train again with a lower --learning-rate", status=1) from error
        finally:
            trainer.log.close()
    files = f"loss.csv, checkpoints/, tensorboard/{', samples/' if settings.sample_every else ''}"
    _print(accelerator, f"{trainer.images:,} images, {trainer.log.words}; the run is in {folder.path}: {files}")


def _steps_to_the_end(trainer: Trainer[S], signals: StopSignals) -> None:
    settings, learning, log = trainer.settings, trainer.settings.learning, trainer.log
    clock = CheckpointClock(settings.checkpoint_minutes)
    with _progress(trainer) as show:
        while True:
            done = log.step >= learning.steps
            if trainer.due(settings.sample_every, done):
                trainer.sample()
            if done:
                return
            trainer.step()
            show(trainer.images)
            done = log.step == learning.steps
            if log.step % WINDOW == 0 or done:
                trainer.write_window()
            stop, late = _agree(trainer.accelerator, signals, clock, log.step)
            if stop or late or trainer.due(settings.checkpoint_every, done):
                saved = trainer.save()
                clock.restart()
                if stop:
                    raise signals.interrupted(saved)


@contextlib.contextmanager
def _progress(trainer: Trainer[S]) -> Iterator[Callable[[int], None]]:
    """Yields a function that shows the number of images trained on; it does nothing on other than the main process."""
    if not trainer.accelerator.is_main_process:
        yield lambda images: None
        return
    learning, before = trainer.settings.learning, trainer.images

    def describe(elapsed: float) -> str:
        losses = f", {trainer.log.words}" if trainer.log.words else ""
        return f"{trainer.images:,} images, {(trainer.images - before) / elapsed:,.0f}/s{losses}"

    line = ProgressLine(learning.steps * learning.batch_size, trainer.images, describe)
    with contextlib.closing(line):
        yield line.update


def _agree(accelerator: Accelerator, signals: StopSignals, clock: CheckpointClock, step: int) -> tuple[bool, bool]:
    """Whether to stop, and whether a checkpoint is due by time.

    All processes get the same answer at the same step: yes if it is yes for one of them.
    """
    if accelerator.num_processes == 1:
        return signals.received is not None, clock.due
    if step % WINDOW:
        return False, False
    ours = torch.tensor([[signals.received or 0, clock.due]], device=accelerator.device)
    received, late = accelerator.gather(ours).amax(dim=0).tolist()
    signals.received = received or None
    return signals.received is not None, bool(late)


@contextlib.contextmanager
def _locked(folder: RunFolder, accelerator: Accelerator) -> Iterator[None]:
    """Holds the run's lock, on the main process only."""
    with folder.lock() if accelerator.is_main_process else contextlib.nullcontext():
        yield


def _print(accelerator: Accelerator, text: str) -> None:
    if accelerator.is_main_process:
        print(text, flush=True)
