"""The losses of a colouriser: of the chroma and of the classes.

Credits: see gen_models/training/loss_log.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gen_models.training.loss_log import WindowLog

NAMES = ("loss", "chroma, mean squared error", "classes, cross entropy", "classes, accuracy")


class ColouriserLog(WindowLog):
    """Means over windows of the loss and of its parts."""

    first_line = "images,loss,chroma_error,class_entropy,class_accuracy,images_per_second\n"
    checked = 1
    means: tuple[float, ...] = (math.nan,) * len(NAMES)  # of the last window

    @property
    def words(self) -> str:
        """See ``WindowLog``."""
        loss, chroma, entropy, _ = self.means
        return "" if math.isnan(loss) else f"losses {chroma:.5f} (chroma), {entropy:.3f} (classes)"

    def add(self, loss: Tensor, chroma: Tensor, entropy: Tensor, accuracy: Tensor) -> None:
        """Record a step: the loss, its two parts, and the share of the images classified right, each ()."""
        self._record(torch.stack([loss, chroma, entropy, accuracy]).detach())

    def _summary(self, totals: list[float], steps: int, learning_rate: float) -> tuple[str, dict[str, float]]:
        self.means = tuple(total / steps for total in totals)
        return ",".join(f"{mean:.6g}" for mean in self.means), dict(zip(NAMES, self.means, strict=True))
