"""Training of a denoiser, from settings to a run folder, and resuming it after a stop or a kill.

    python run_pegasus.py train --preset smoke
    accelerate launch --multi_gpu --num_processes 2 run_pegasus.py train --preset cifar-gpu

The second line also starts two processes on CPUs; with ``--cpu`` accelerate ignores ``--num_processes`` and starts one.

Credits: Ho et al. 2020 (arXiv 2006.11239, the loss), Hang et al. 2023 (arXiv 2303.09556, its weights); accelerate for
devices and processes; diffusers' ``EMAModel``; nanoGPT (Karpathy) for a loop that reads from top to bottom.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor

from common.checkpoints import (
    CheckpointClock,
    check_budget,
    discard_after,
    latest_checkpoint,
    prune,
    write_checkpoint,
)
from common.device import memory_errors, resolve_precision, usable_device
from common.errors import UserError
from common.extras import check_installed
from common.files import write_atomic
from common.options import TrackerName
from common.parallel import default_parts, divided, one_torch_thread
from common.progress import ProgressLine
from common.run_folder import RunFolder, check_new, git_commit, package_versions, warn_of_other_versions
from common.signals import StopSignals
from common.tracking import Tracker
from gen_models.classifiers.hand_labels import HandLabel
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.label_maps import planes_of
from gen_models.diffusion.layout import FILE as SILHOUETTES
from gen_models.diffusion.layout import pack_silhouettes, silhouettes_of
from gen_models.images.grids import save_png
from gen_models.options import ResumeSettings, TrainSettings
from gen_models.training.data import (
    DROPOUT,
    WEIGHTS,
    Batches,
    changed_labels,
    digest,
    hand_labels,
    keep_attributes,
    labels_digest,
    labels_of,
    load_training_images,
    seed_of,
    vocabulary_of,
)
from gen_models.training.hardware import build_accelerator
from gen_models.training.loss_log import WINDOW, LossLog, NotFinite
from gen_models.training.oversampling import shares, times_of
from gen_models.training.preview import preview
from gen_models.training.settings import RunSettings, differing, resolve
from gen_models.training.state import averaged_weights, build_ema, capture, restore

TASK = "pegasus"
PACKAGES = ("torch", "diffusers", "accelerate", "numpy", "pillow")
CLIP = 1.0  # largest norm of the gradient
KEPT = 3  # checkpoints


def train(user: TrainSettings) -> None:
    """Train a run; its results are in ``RUNS/pegasus/NAME``.

    :raises UserError: for invalid settings or images, and for a run that exists, unless it is to be resumed
    """
    if user.track is not None:
        check_installed(user.track)
    settings = resolve(user)
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
    if user.threads is None:
        settings = dataclasses.replace(settings, threads=_threads(settings, accelerator))
    settings, batches, labels = _with_data(settings, accelerator, path)
    if user.resume_if_exists and path.exists():
        before = RunSettings.from_yaml(path / "settings.yml")
        if user.threads is None:
            settings = dataclasses.replace(settings, threads=before.threads)
        changed = changed_labels(settings.data, path)
        if changed:
            raise UserError(f"{changed}; give those, or another --name")
        difference = differing(before, settings)
        if difference:
            raise UserError(f"the run has {difference}; give the setting it began with, or another --name")
        check_budget(RunFolder(path).checkpoints, "--images", user.images, before.learning.images)
        continued = before.changed(user.images, user.checkpoint_every, user.sample_every, user.checkpoint_minutes)
        _resume(RunFolder(path), dataclasses.replace(continued, device=user.device), batches, accelerator, user.track)
        return
    accelerator.wait_for_everyone()  # all have checked that there is no folder
    folder = RunFolder(path)
    if accelerator.is_main_process:
        RunFolder.create(path, settings.to_yaml())
        keep_attributes(settings.data, path, labels)
        if settings.vocabulary.regions:
            silhouettes = silhouettes_of(batches.images, batches.labels, settings.vocabulary, settings.seed)
            write_atomic(path / SILHOUETTES, pack_silhouettes(silhouettes))
    with _locked(folder, accelerator):
        shared = f" with {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
        _print(accelerator, f"training on {len(batches.images):,} images{shared} in {path}")
        _print_labels(settings, labels, batches, accelerator)
        _train(settings, folder, batches, accelerator, None, user.track)


def resume(user: ResumeSettings) -> None:
    """Resume a run.

    :raises UserError: when it cannot be resumed, or another process is training in its folder
    """
    if user.track is not None:
        check_installed(user.track)
    folder = RunFolder(user.run)
    before = RunSettings.from_yaml(folder.settings)
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
    _resume(folder, settings, batches, accelerator, user.track)


def _resume(
    folder: RunFolder, settings: RunSettings, batches: Batches, accelerator: Accelerator, track: TrackerName | None
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
        _train(settings, folder, batches, accelerator, checkpoint, track)


def _with_data(
    settings: RunSettings, accelerator: Accelerator, path: Path
) -> tuple[RunSettings, Batches, list[HandLabel]]:
    """The settings completed with the images' vocabulary and digest, the run's batches, and its labels by hand.

    :param path: the run's folder
    """
    processes, size = accelerator.num_processes, settings.learning.batch_size
    if size % processes:
        raise UserError(f"--batch-size {size} cannot be shared by {processes} processes: choose a multiple of it")
    labelled = hand_labels(settings.data, path)
    _print(accelerator, f"loading the images: {', '.join(settings.data.specs)}")  # some take seconds
    with accelerator.main_process_first():  # it writes the table of attributes
        images = load_training_images(settings.data, path, str(accelerator.device), labelled)
    vocabulary = vocabulary_of(images, settings.data.attributes, settings.data.label_maps)
    labels = labels_of(images, vocabulary)
    data = dataclasses.replace(
        settings.data,
        digest=digest(images, labels),
        labels_digest=labels_digest(labelled),
    )
    batches = Batches(
        images, labels, vocabulary, settings.learning, settings.seed,
        accelerator.process_index, processes, accelerator.device,
        times_of(data.oversample, images),
    )  # fmt: skip
    return dataclasses.replace(settings, data=data, vocabulary=vocabulary), batches, labelled


def _print_labels(settings: RunSettings, labels: list[HandLabel], batches: Batches, accelerator: Accelerator) -> None:
    """Say how many images were labelled by hand, and which come more often."""
    given = Counter((label.attribute, label.word) for label in labels)
    for name in dict.fromkeys(attribute for attribute, _ in given):
        _print(accelerator, f"labelled by hand: {name}, {given[name, 'yes']:,} yes, {given[name, 'no']:,} no")
    for line in shares(settings.data.oversample, batches.times, batches.images):
        _print(accelerator, line)


def _threads(settings: RunSettings, accelerator: Accelerator) -> int:
    """The number of threads that share each batch of a new run.

    Dropout needs a single one, since it draws from torch's global generator in order.
    """
    if accelerator.num_processes > 1 or settings.denoiser.dropout:
        return 1
    return default_parts(accelerator.device, settings.learning.batch_size)


def loss_file(folder: RunFolder) -> Path:
    """The file with images, loss, learning rate and images/s of a run."""
    return folder.path / "loss.csv"


def samples_file(folder: RunFolder, images: int) -> Path:
    """The file with the picture of samples after this many images."""
    return folder.path / "samples" / f"samples-{images:09d}.png"


def build_denoiser(settings: RunSettings) -> Denoiser:
    """The untrained denoiser, with initial weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.seed, WEIGHTS))
        return Denoiser(settings.denoiser, settings.vocabulary.sizes, planes_of(settings.vocabulary))


class Trainer:
    """The state of a training run, and its steps.

    :param checkpoint: the one to resume from; None for a new run
    :param tracker: gets what TensorBoard gets
    """

    def __init__(
        self,
        settings: RunSettings,
        folder: RunFolder,
        batches: Batches,
        accelerator: Accelerator,
        checkpoint: Path | None,
        tracker: Tracker | None = None,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.batches = batches
        self.accelerator = accelerator
        learning = settings.learning
        self.denoiser = build_denoiser(settings).to(accelerator.device)
        if accelerator.device.type == "cuda":
            self.denoiser = self.denoiser.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            self.denoiser.parameters(), learning.learning_rate, weight_decay=learning.weight_decay, fused=True
        )
        self.ema: EMAModel = build_ema(self.denoiser, learning)
        state = restore(checkpoint, self.denoiser, self.ema, optimizer) if checkpoint else None
        self.log = LossLog(
            accelerator,
            loss_file(folder),
            folder.tensorboard,
            learning.batch_size,
            state["log"] if state else None,
            tracker,
        )
        self.model: Any
        self.optimizer: Any
        self.model, self.optimizer = accelerator.prepare(self.denoiser, optimizer)
        self.model.train()
        self._parameters = list(self.denoiser.parameters())
        self.weights = settings.noise.weights(learning.min_snr or None, learning.weight_floor).to(accelerator.device)
        self.checkpoint = checkpoint

    @property
    def images(self) -> int:
        """Images trained on so far."""
        return self.log.step * self.settings.learning.batch_size

    def step(self) -> None:
        """One step of the optimiser."""
        number = self.log.step
        learning, noise = self.settings.learning, self.settings.noise
        if self.settings.denoiser.dropout:
            torch.manual_seed(seed_of(self.settings.seed + self.accelerator.process_index, DROPOUT, number))
        for group in self.optimizer.param_groups:
            group["lr"] = learning.learning_rate_at(number)
        batch = self.batches.at(number)
        noisy = noise.noisy(batch.x, batch.eps, batch.t)
        inputs = (noisy, batch.t, batch.labels) if batch.maps is None else (noisy, batch.t, batch.labels, batch.maps)
        (predicted,) = divided(self._predict, self._parameters, self.settings.threads, *inputs)
        target = noise.target(batch.x, batch.eps, batch.t)
        errors = (predicted - target).square().mean(dim=(1, 2, 3))
        weights = self.weights[batch.t]
        self.accelerator.backward((weights * errors).mean())
        norm: Tensor = self.accelerator.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.step(self.denoiser.parameters())
        self.log.add(errors, weights, batch.t, norm)

    def _predict(self, *inputs: Tensor) -> tuple[Tensor]:
        return (self.model(*inputs),)

    def save(self) -> Path:
        """Write a checkpoint; on the main process only.

        :raises NotFinite: instead of saving weights that are not finite
        :raises UserError: when the disk is full (status 1); the last good checkpoint stays
        """
        self.log.collect()
        path = self.folder.checkpoints / f"step-{self.images:09d}"
        if self.accelerator.is_main_process:
            files = capture(self.denoiser, self.ema, self.optimizer, {"images": self.images, "log": self.log.state()})
            write_checkpoint(self.folder.checkpoints, path.name, files)
            prune(self.folder.checkpoints, KEPT)
        self.checkpoint = path
        return path

    def due(self, every: int, done: bool) -> bool:
        """Whether something is due that happens every ``every`` images, 0 for never, and at the end."""
        last = self.images - self.settings.learning.batch_size
        return every > 0 and (done or self.images // every > max(0, last) // every)

    def sample(self) -> None:
        """Write a picture of samples unless it exists; on the main process only."""
        file = samples_file(self.folder, self.images)
        if not self.accelerator.is_main_process or file.exists():
            return
        settings = self.settings
        with averaged_weights(self.denoiser, self.ema):
            picture = preview(
                self.denoiser, settings.vocabulary, settings.noise, settings.seed, settings.precision, settings.stop_at
            )
        save_png(picture, file)
        assert self.log.board is not None
        self.log.board.add_image("samples", np.asarray(picture), self.images, dataformats="HWC")


def _train(
    settings: RunSettings,
    folder: RunFolder,
    batches: Batches,
    accelerator: Accelerator,
    checkpoint: Path | None,
    track: TrackerName | None,
) -> None:
    tracker = Tracker(track, TASK, folder.path, settings) if track and accelerator.is_main_process else None
    signals = StopSignals(f"run_pegasus.py resume {folder.path}")
    signals.open()
    threads = one_torch_thread() if accelerator.device.type == "cpu" else contextlib.nullcontext()
    with contextlib.closing(signals), memory_errors(settings.learning.batch_size), threads:
        trainer = Trainer(settings, folder, batches, accelerator, checkpoint, tracker)
        try:
            _steps_to_the_end(trainer, signals)
        except NotFinite as error:
            good = f"the last good checkpoint is {trainer.checkpoint}" if trainer.checkpoint else "it has no checkpoint"
            raise UserError(f"{error}; {good}; train again with a lower --learning-rate", status=1) from error
        finally:
            trainer.log.close()
    files = f"loss.csv, checkpoints/, tensorboard/{', samples/' if settings.sample_every else ''}"
    _print(accelerator, f"{trainer.images:,} images, loss {trainer.log.loss:.4f}; the run is in {folder.path}: {files}")


def _steps_to_the_end(trainer: Trainer, signals: StopSignals) -> None:
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
                log.write_window(learning.learning_rate_at(log.step - 1))
            stop, late = _agree(trainer.accelerator, signals, clock, log.step)
            if stop or late or trainer.due(settings.checkpoint_every, done):
                saved = trainer.save()
                clock.restart()
                if stop:
                    raise signals.interrupted(saved)


@contextlib.contextmanager
def _progress(trainer: Trainer) -> Iterator[Callable[[int], None]]:
    """Yields a function that shows the number of images trained on; it does nothing on other than the main process."""
    if not trainer.accelerator.is_main_process:
        yield lambda images: None
        return
    learning, before = trainer.settings.learning, trainer.images

    def describe(elapsed: float) -> str:
        loss = "" if math.isnan(trainer.log.loss) else f", loss {trainer.log.loss:.4f}"
        return f"{trainer.images:,} images, {(trainer.images - before) / elapsed:,.0f}/s{loss}"

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
