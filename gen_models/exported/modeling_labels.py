"""What a denoiser of Pegasus has besides its UNet: embeddings of labels, and convolutions that join patches.

Credits: Shi et al. 2016 (arXiv 1609.05158, pixel shuffle); Perez et al. 2018 (arXiv 1709.07871, scales and shifts by a
condition).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn


class Labels(ModelMixin, ConfigMixin):
    """Embeddings of words, to be given to the UNet as ``class_labels``, and the refinement of its output.

    :param words: column and value of each word; the value 0 of every column is the null
    :param sizes: number of values of each column
    :param width: of an embedding
    :param patch: pixels a side of a patch, which are channels in the UNet; 1 for none
    :param refinement: channels of the convolutions that join patches
    :param planes: channels of label maps, which are left unknown here
    """

    @register_to_config
    def __init__(
        self, words: dict[str, list[int]], sizes: list[int], width: int, patch: int, refinement: int, planes: int = 0
    ) -> None:
        super().__init__()
        self.words, self.patch, self.planes = words, patch, planes
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        if patch > 1:
            self.enter = nn.Conv2d(6 + planes, refinement, 3, padding=1)
            self.modulate = nn.Linear(width, 2 * refinement)
            self.leave = nn.Conv2d(refinement, 3, 3, padding=1)

    def embed(self, condition: str) -> Tensor:
        """The embedding (E,) of words joined by ``+``; the empty text is the null.

        :raises ValueError: for a word that the model does not know
        """
        values = [0] * len(self.embeddings)
        for word in filter(None, condition.replace(" ", "").lower().split("+")):
            if word not in self.words:
                raise ValueError(f"unknown word '{word}' (known: {', '.join(self.words)})")
            column, value = self.words[word]
            values[column] = value
        device = next(self.parameters()).device
        rows = [table(torch.tensor(value, device=device)) for table, value in zip(self.embeddings, values, strict=True)]
        return torch.stack(rows).sum(0)

    def predict(self, unet: Any, x: Tensor, t: int, embeddings: Tensor) -> Tensor:
        """The prediction for noisy images ``x`` (B, 3, S, S) at one time, with embeddings (B, E)."""
        times = torch.full((len(x),), t, device=x.device)
        x = torch.cat([x, x.new_zeros(len(x), self.planes, *x.shape[2:])], dim=1)
        patches = F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x
        out: Tensor = unet(patches, times, class_labels=embeddings).sample
        if self.patch == 1:
            return out
        out = F.pixel_shuffle(out, self.patch)
        time = unet.time_embedding(unet.time_proj(times).to(x.dtype))
        scale, shift = self.modulate(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        hidden = self.enter(torch.cat([out, x], dim=1))
        refined: Tensor = out + self.leave(F.silu(hidden * (1 + scale) + shift))
        return refined
