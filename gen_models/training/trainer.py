"""What the training of every model has: its files, what is due, checkpoints and pictures of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from accelerate import Accelerator
from PIL import Image

from common.checkpoints import prune, write_checkpoint
from common.run_folder import RunFolder
from common.tracking import Tracker
from gen_models.images.grids import save_png
from gen_models.training.data import Batches
from gen_models.training.loss_log import WindowLog
from gen_models.training.settings import BaseRunSettings

KEPT = 3  # checkpoints

S = TypeVar("S", bound=BaseRunSettings)


def loss_file(folder: RunFolder) -> Path:
    """The file with images, losses and images/s of a run."""
    return folder.path / "loss.csv"


def samples_file(folder: RunFolder, images: int) -> Path:
    """The file with the picture of samples after this many images."""
    return folder.path / "samples" / f"samples-{images:09d}.png"


class Trainer(Generic[S]):
    """The state of a training run. A subclass has the networks, their step and their files.

    :param checkpoint: the one to resume from; None for a new run
    :param tracker: gets what TensorBoard gets
    """

    log: WindowLog

    def __init__(
        self,
        settings: S,
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
        self.checkpoint = checkpoint
        self.tracker = tracker

    @property
    def images(self) -> int:
        """Images trained on so far."""
        return self.log.step * self.settings.learning.batch_size

    def step(self) -> None:
        """One step of the optimisation, recorded in the log."""
        raise NotImplementedError

    def write_window(self) -> None:
        """Write the means since the last call.

        :raises NotFinite: when a loss is no longer finite
        """
        raise NotImplementedError

    def files(self) -> dict[str, bytes]:
        """The files of a checkpoint: the state between two steps."""
        raise NotImplementedError

    def picture(self) -> Image.Image:
        """A picture of samples, from the same start each time. Changes nothing in the training."""
        raise NotImplementedError

    def save(self) -> Path:
        """Write a checkpoint; on the main process only.

        :raises NotFinite: instead of saving weights that are not finite
        :raises UserError: when the disk is full (status 1); the last good checkpoint stays
        """
        self.log.collect()
        path = self.folder.checkpoints / f"step-{self.images:09d}"
        if self.accelerator.is_main_process:
            write_checkpoint(self.folder.checkpoints, path.name, self.files())
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
        picture = self.picture()
        save_png(picture, file)
        assert self.log.board is not None
        self.log.board.add_image("samples", np.asarray(picture), self.images, dataformats="HWC")
