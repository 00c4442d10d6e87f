"""The steps of a colouriser's training: mean squared error of the chroma, and a little of the classes' cross entropy.

Credits: Iizuka et al. 2016, section 3.4 (the loss) and 3.5 (Adadelta); Zeiler 2012 (arXiv 1212.5701), by PyTorch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from common.run_folder import RunFolder
from common.tracking import Tracker
from gen_models.colourisation.colouring import coloured_images, grey_images
from gen_models.colourisation.lab import rgb_to_lab, scaled_chroma
from gen_models.colourisation.loss_log import ColouriserLog
from gen_models.colourisation.network import Colouriser, losses
from gen_models.colourisation.options import ColouriseTrainSettings
from gen_models.colourisation.settings import ColourisationSettings, resolve_colouriser
from gen_models.colourisation.state import capture, restore
from gen_models.images.grids import grid
from gen_models.options import ResumeSettings
from gen_models.training.data import WEIGHTS, Batches, seed_of
from gen_models.training.loop import resume_run, train_run
from gen_models.training.preview import COLUMNS, scale
from gen_models.training.trainer import Trainer, loss_file


def train(user: ColouriseTrainSettings) -> None:
    """Train a colouriser; see ``gen_models.training.loop.train_run``."""
    train_run(user, resolve_colouriser(user), ColouriserTrainer, user.threads)


def resume(user: ResumeSettings) -> None:
    """Resume the run of a colouriser; see ``gen_models.training.loop.resume_run``."""
    resume_run(user, ColourisationSettings, ColouriserTrainer)


def build_colouriser(settings: ColourisationSettings) -> Colouriser:
    """The untrained network, with first weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.seed, WEIGHTS))
        return Colouriser(settings.colouriser, len(settings.vocabulary.classes))


class ColouriserTrainer(Trainer[ColourisationSettings]):
    """The state of a colouriser's training, see ``Trainer``."""

    log: ColouriserLog

    def __init__(
        self,
        settings: ColourisationSettings,
        folder: RunFolder,
        batches: Batches,
        accelerator: Accelerator,
        checkpoint: Path | None,
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(settings, folder, batches, accelerator, checkpoint, tracker)
        self.network = build_colouriser(settings).to(accelerator.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adadelta(self.network.parameters(), settings.learning.learning_rate)
        state = restore(checkpoint, self.network, self.optimizer) if checkpoint is not None else None
        logged, size = state["log"] if state else None, settings.learning.batch_size
        self.log = ColouriserLog(accelerator, loss_file(folder), folder.tensorboard, size, logged, tracker)

    def step(self) -> None:
        """See ``Trainer``."""
        batch = self.batches.at(self.log.step)
        lab = rgb_to_lab((batch.x + 1) / 2)
        chroma, logits = self.network(lab[:, :1])
        logits = logits if self.settings.classifies else None
        error, entropy, accuracy = losses(chroma, scaled_chroma(lab), logits, batch.labels[:, 0])
        loss = error + self.settings.class_weight * entropy
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.log.add(loss, error, entropy, accuracy)

    def write_window(self) -> None:
        """See ``Trainer``."""
        self.log.write_window(self.settings.learning.learning_rate)

    def files(self) -> dict[str, bytes]:
        """See ``Trainer``."""
        return capture(self.network, self.optimizer, {"images": self.images, "log": self.log.state()})

    def picture(self) -> Image.Image:
        """See ``Trainer``: eight training images in colours, in grey, and coloured."""
        chosen = np.linspace(0, len(self.batches.images) - 1, COLUMNS).astype(np.int64)
        originals = self.batches.images.images[chosen]
        self.network.eval()
        coloured = coloured_images(self.network, originals, COLUMNS)
        self.network.train()
        rows = np.concatenate([originals, grey_images(originals), coloured])
        labels = [word for word in ("original", "grey", "coloured") for _ in range(COLUMNS)]
        return grid(rows, COLUMNS, scale(self.settings.data.size), labels=labels)
