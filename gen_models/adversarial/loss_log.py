"""The losses of both networks of a DCGAN, and a warning where they say that it does not learn.

Credits: see gen_models/training/loss_log.py and gen_models/adversarial/diagnosis.py.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from common.tracking import Tracker
from gen_models.adversarial.diagnosis import LASTING, Window, findings
from gen_models.training.loss_log import WindowLog

COLUMNS = tuple(field.name for field in dataclasses.fields(Window))
NAMES = ("generator loss", "discriminator loss, real images", "discriminator loss, generated images")


class AdversarialLog(WindowLog):
    """Means over windows of both networks' losses and changes; prints what is wrong, each finding once.

    Parameters are those of ``WindowLog``.
    """

    first_line = "images,generator_loss,real_loss,fake_loss,generator_change,discriminator_change,images_per_second\n"
    checked = len(COLUMNS)

    def __init__(
        self,
        accelerator: Accelerator,
        path: Path,
        tensorboard: Path,
        batch_size: int,
        state: dict[str, Any] | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(accelerator, path, tensorboard, batch_size, state, tracker)
        self.windows = [Window(*numbers) for numbers in state["windows"]] if state else []
        self._said: set[str] = set()

    @property
    def words(self) -> str:
        """See ``WindowLog``."""
        if not self.windows:
            return ""
        last = self.windows[-1]
        return f"losses {last.generator:.3f} (generator), {last.real:.3f} (real), {last.fake:.3f} (generated)"

    def add(self, generator: Tensor, real: Tensor, fake: Tensor, changes: tuple[Tensor, Tensor]) -> None:
        """Record a step.

        :param generator: the generator's loss, ()
        :param real: the discriminator's loss on real images, ()
        :param fake: the discriminator's loss on generated images, ()
        :param changes: how far the step moved the weights of generator and discriminator, as shares of their norms
        """
        self._record(torch.stack([generator.detach(), real.detach(), fake.detach(), *changes]))

    def _summary(self, totals: list[float], steps: int, learning_rate: float) -> tuple[str, dict[str, float]]:
        means = [total / steps for total in totals]
        self.windows = [*self.windows, Window(*means)][-LASTING:]
        for finding in findings(self.windows):
            if finding not in self._said:
                images = self.step * self.batch_size
                print(f"\nwarning: after {images:,} images {finding}", file=sys.stderr, flush=True)
                self._said.add(finding)
        scalars = dict(zip(NAMES, means, strict=False))
        scalars |= {
            "weights/generator, change in a step": means[3],
            "weights/discriminator, change in a step": means[4],
        }
        return ",".join(f"{mean:.6g}" for mean in means), scalars

    def state(self) -> dict[str, Any]:
        """See ``WindowLog``."""
        return {**super().state(), "windows": [dataclasses.astuple(window) for window in self.windows]}
