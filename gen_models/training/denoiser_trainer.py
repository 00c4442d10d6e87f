"""The steps of a denoiser's training.

Credits: Ho et al. 2020 (arXiv 2006.11239, the loss), Hang et al. 2023 (arXiv 2303.09556, its weights); accelerate for
devices and processes; diffusers' ``EMAModel``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor

from common.parallel import divided
from common.run_folder import RunFolder
from common.tracking import Tracker
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.label_maps import planes_of
from gen_models.training.data import DROPOUT, WEIGHTS, Batches, seed_of
from gen_models.training.loss_log import LossLog
from gen_models.training.preview import preview
from gen_models.training.settings import RunSettings
from gen_models.training.state import averaged_weights, build_ema, capture, restore
from gen_models.training.trainer import Trainer, loss_file

CLIP = 1.0  # largest norm of the gradient


def build_denoiser(settings: RunSettings) -> Denoiser:
    """The untrained denoiser, with initial weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.seed, WEIGHTS))
        return Denoiser(settings.denoiser, settings.vocabulary.sizes, planes_of(settings.vocabulary))


class DenoiserTrainer(Trainer[RunSettings]):
    """The state of a denoiser's training, see ``Trainer``."""

    log: LossLog

    def __init__(
        self,
        settings: RunSettings,
        folder: RunFolder,
        batches: Batches,
        accelerator: Accelerator,
        checkpoint: Path | None,
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(settings, folder, batches, accelerator, checkpoint, tracker)
        learning = settings.learning
        self.denoiser = build_denoiser(settings).to(accelerator.device)
        if accelerator.device.type == "cuda":
            self.denoiser = self.denoiser.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            self.denoiser.parameters(), learning.learning_rate, weight_decay=learning.weight_decay, fused=True
        )
        self.ema: EMAModel = build_ema(self.denoiser, learning)
        state = restore(checkpoint, self.denoiser, self.ema, optimizer) if checkpoint else None
        logged = state["log"] if state else None
        self.log = LossLog(accelerator, loss_file(folder), folder.tensorboard, learning.batch_size, logged, tracker)
        self.model: Any
        self.optimizer: Any
        self.model, self.optimizer = accelerator.prepare(self.denoiser, optimizer)
        self.model.train()
        self._parameters = list(self.denoiser.parameters())
        self.weights = settings.noise.weights(learning.min_snr or None, learning.weight_floor).to(accelerator.device)

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

    def write_window(self) -> None:
        """See ``Trainer``."""
        self.log.write_window(self.settings.learning.learning_rate_at(self.log.step - 1))

    def files(self) -> dict[str, bytes]:
        """See ``Trainer``."""
        return capture(self.denoiser, self.ema, self.optimizer, {"images": self.images, "log": self.log.state()})

    def picture(self) -> Image.Image:
        """See ``Trainer``."""
        settings = self.settings
        with averaged_weights(self.denoiser, self.ema):
            return preview(
                self.denoiser, settings.vocabulary, settings.noise, settings.seed, settings.precision, settings.stop_at
            )
