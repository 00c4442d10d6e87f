"""The steps of a DCGAN's training: the discriminator learns, then the generator against it.

Credits: Goodfellow et al. 2014 (arXiv 1406.2661, algorithm 1, and section 3 for the generator's loss); Radford et al.
2016 (arXiv 1511.06434); PyTorch's DCGAN tutorial by N. Inkawhich for real and generated images in batches of their own.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from common.run_folder import RunFolder
from common.tracking import Tracker
from gen_models.adversarial.dcgan import Discriminator, Generator
from gen_models.adversarial.loss_log import AdversarialLog
from gen_models.adversarial.sampling import class_shares, generated, latent
from gen_models.adversarial.settings import BETAS, AdversarialSettings, resolve_adversarial
from gen_models.adversarial.state import capture, restore
from gen_models.diffusion.conditions import Vocabulary
from gen_models.images.grids import grid
from gen_models.options import ResumeSettings, TrainSettings
from gen_models.training.data import LATENTS, WEIGHTS, Batches, seed_of
from gen_models.training.loop import resume_run, train_run
from gen_models.training.preview import COLUMNS, preview_rows, scale
from gen_models.training.trainer import Trainer, loss_file


def train(user: TrainSettings) -> None:
    """Train a DCGAN; see ``gen_models.training.loop.train_run``."""
    train_run(user, resolve_adversarial(user), AdversarialTrainer, user.threads)


def resume(user: ResumeSettings) -> None:
    """Resume the run of a DCGAN; see ``gen_models.training.loop.resume_run``."""
    resume_run(user, AdversarialSettings, AdversarialTrainer)


def build_networks(settings: AdversarialSettings) -> tuple[Generator, Discriminator]:
    """The untrained networks, with first weights from the seed."""
    classes = len(settings.vocabulary.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.seed, WEIGHTS))
        return Generator(settings.dcgan, classes), Discriminator(settings.dcgan, classes)


def shown_vocabulary(settings: AdversarialSettings) -> Vocabulary:
    """The words that the pictures of samples have a row for, besides the row without a condition."""
    return Vocabulary(settings.vocabulary.classes if settings.dcgan.conditional else ())


class AdversarialTrainer(Trainer[AdversarialSettings]):
    """The state of a DCGAN's training, see ``Trainer``."""

    log: AdversarialLog

    def __init__(
        self,
        settings: AdversarialSettings,
        folder: RunFolder,
        batches: Batches,
        accelerator: Accelerator,
        checkpoint: Path | None,
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(settings, folder, batches, accelerator, checkpoint, tracker)
        rate, size = settings.learning.learning_rate, settings.learning.batch_size
        generator, discriminator = build_networks(settings)
        # A fifth faster on a processor, too.
        self.generator = generator.to(accelerator.device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(accelerator.device).to(memory_format=torch.channels_last)
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), rate, BETAS, fused=True)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), rate, BETAS, fused=True)
        state = None
        if checkpoint is not None:
            state = restore(checkpoint, self.generator, self.discriminator, self._optimizers)
        logged = state["log"] if state else None
        self.log = AdversarialLog(accelerator, loss_file(folder), folder.tensorboard, size, logged, tracker)

    @property
    def _optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return self.generator_optimizer, self.discriminator_optimizer

    def step(self) -> None:
        """See ``Trainer``: one step of each network on the same generated images."""
        number = self.log.step
        batch = self.batches.at(number)
        shares = F.one_hot(batch.labels[:, 0], len(self.settings.vocabulary.classes) + 1).float()
        latents = self._latents(number, len(batch.x))
        before = [copies(network) for network in (self.generator, self.discriminator)]
        fakes = self.generator(latents, shares)
        real, fake = self._teach_discriminator(batch.x, fakes.detach(), shares)
        loss = self._teach_generator(fakes, shares)
        changes = (change(self.generator, before[0]), change(self.discriminator, before[1]))
        self.log.add(loss, real, fake, changes)

    def _latents(self, number: int, count: int) -> Tensor:
        device = self.accelerator.device
        generator = torch.Generator(device).manual_seed(seed_of(self.settings.seed, LATENTS, number))
        return torch.randn((count, self.settings.dcgan.latent), generator=generator, device=device)

    def _teach_discriminator(self, x: Tensor, fakes: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """The losses on real and on generated images."""
        self.discriminator_optimizer.zero_grad()
        real = cross_entropy(self.discriminator(x, shares), real=True)
        fake = cross_entropy(self.discriminator(fakes, shares), real=False)
        self.accelerator.backward(real + fake)
        self.discriminator_optimizer.step()
        return real, fake

    def _teach_generator(self, fakes: Tensor, shares: Tensor) -> Tensor:
        """The generator's loss: its images are to be taken for real ones (the loss that does not saturate)."""
        self.generator_optimizer.zero_grad()
        self.discriminator.requires_grad_(False)  # the gradient goes through it, and is not for it
        loss = cross_entropy(self.discriminator(fakes, shares), real=True)
        self.accelerator.backward(loss)
        self.discriminator.requires_grad_(True)
        self.generator_optimizer.step()
        return loss

    def write_window(self) -> None:
        """See ``Trainer``."""
        self.log.write_window(self.settings.learning.learning_rate)

    def files(self) -> dict[str, bytes]:
        """See ``Trainer``."""
        state = {"images": self.images, "log": self.log.state()}
        return capture(self.generator, self.discriminator, self._optimizers, state)

    def picture(self) -> Image.Image:
        """See ``Trainer``: eight samples without a condition, and eight of each class."""
        settings, vocabulary = self.settings, shown_vocabulary(self.settings)
        rows = preview_rows(vocabulary)
        latents = torch.stack([latent(settings.seed, index, settings.dcgan.latent) for index in range(COLUMNS)])
        shares = [class_shares(words, settings.vocabulary, settings.dcgan.conditional) for words in rows.values()]
        self.generator.eval()
        images = generated(
            self.generator,
            latents.repeat(len(rows), 1),
            torch.stack(shares).repeat_interleave(COLUMNS, dim=0),
            COLUMNS,
            self.accelerator.device,
        )
        self.generator.train()
        labels = [name for name in rows for _ in range(COLUMNS)]
        return grid(images, COLUMNS, scale(settings.dcgan.size), labels=labels)


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """The mean binary cross entropy in nats, ().

    :param logits: that images are real, (B,)
    :param real: what they are to be taken for
    """
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def copies(network: nn.Module) -> list[Tensor]:
    """Copies of a network's weights."""
    return [parameter.detach().clone() for parameter in network.parameters()]


def change(network: nn.Module, before: list[Tensor]) -> Tensor:
    """How far a network's weights have moved, as a share of their norm before, ()."""
    now = [parameter.detach() for parameter in network.parameters()]
    moved = torch.stack(torch._foreach_norm(torch._foreach_sub(now, before))).norm()
    share: Tensor = moved / torch.stack(torch._foreach_norm(before)).norm()
    return share
