"""The denoiser: diffusers' untrained ``UNet2DModel`` with embeddings of labels, on patches of pixels.

A patch of p x p pixels becomes 3 p^2 channels at 1/p of the resolution (pixel unshuffle). That makes training on a CPU,
or at 96 x 96 pixels, affordable. After the inverse shuffle, predictions of neighbouring pixels do not fit together and
show a checkerboard. ``Refinement``, at full resolution, removes it.

Credits: diffusers' ``UNet2DModel``; Ronneberger et al. 2015 (arXiv 1505.04597, U-Net); Ho et al. 2020 (arXiv
2006.11239); Dhariwal and Nichol 2021 (arXiv 2105.05233, labels added to the time embedding); Shi et al. 2016 (arXiv
1609.05158, pixel shuffle); Perez et al. 2018 (arXiv 1709.07871, scales and shifts by a condition).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from common.errors import UserError

MOST_CHANNELS, MOST_BLOCKS = 4096, 64  # at a resolution; of residual blocks, in either half


@dataclass(frozen=True)
class DenoiserSettings:
    """The shape of a denoiser.

    :param size: pixels a side
    :param patch: pixels a side of a patch; 1 for none
    :param channels: channels at each resolution, the finest first; each next has half the resolution
    :param layers: residual blocks at each resolution
    :param attention: which resolutions have self-attention, as indices into ``channels``
    :param head_dim: channels of an attention head
    :param refinement: channels of the convolutions that join the patches; without patches there are none
    :param dropout: probability in the residual blocks, 0 to 1
    """

    size: int = 32
    patch: int = 2
    channels: tuple[int, ...] = (32, 64, 96)
    layers: int = 2
    attention: tuple[int, ...] = (2,)
    head_dim: int = 32
    refinement: int = 16
    dropout: float = 0.0

    @property
    def multiple(self) -> int:
        """The number that divides every valid size."""
        return int(self.patch * 2 ** (len(self.channels) - 1))

    def check(self) -> None:
        """:raises UserError: when the size does not divide, or the channels fit no group norm or attention head"""
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise UserError(f"--channels {_words(self.channels)}: each has to be a multiple of 8")
        if max(self.channels) > MOST_CHANNELS or len(self.channels) * self.layers > MOST_BLOCKS:
            raise UserError(
                f"--channels {_words(self.channels)} with --layers {self.layers}: at most {MOST_CHANNELS} channels and "
                f"{MOST_BLOCKS} blocks"
            )
        if self.size % self.multiple:
            raise UserError(
                f"--size {self.size}: with patch {self.patch} and {len(self.channels)} resolutions the size has to be "
                f"a multiple of {self.multiple}"
            )
        if self.refinement < 1:
            raise UserError(f"the refinement needs at least 1 channel, not {self.refinement}")
        for level in self.attention:
            if not 0 <= level < len(self.channels):
                raise UserError(f"--attention {level}: the resolutions go from 0 to {len(self.channels) - 1}")
        # The blocks in the middle, at the last resolution, have attention where any other has.
        for level in (*self.attention, len(self.channels) - 1) if self.attention else ():
            if self.channels[level] % self.head_dim:
                raise UserError(
                    f"--channels {_words(self.channels)}: the {self.channels[level]} at resolution {level} has to be a "
                    f"multiple of {self.head_dim} for its attention"
                )


def _words(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


class Float32Attention:
    """Attention outside of autocast: on CPUs the transposed layouts make bfloat16 several times slower here."""

    def __init__(self) -> None:
        self._attend: Any = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """As ``AttnProcessor2_0``, in float32."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            result: Tensor = self._attend(attn, hidden_states.float(), encoder_hidden_states, attention_mask, temb)
        return result


class Refinement(nn.Module):
    """Two convolutions at full resolution that correct the patches' prediction, given the noisy image and its time.

    Where there are label maps, it is given their planes as well.

    How the prediction depends on the fine detail of the noisy image changes with the noise level: where images have
    little detail, v is alpha/sigma times the detail of x_t. A fixed convolution cannot follow that; scales computed
    from the time can.

    :param channels: between the two convolutions
    :param time_width: width of the time embedding
    :param planes: of a label map
    """

    def __init__(self, channels: int, time_width: int, planes: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 + 3 + planes, channels, 3, padding=1)
        self.modulate = nn.Linear(time_width, 2 * channels)
        self.leave = nn.Conv2d(channels, 3, 3, padding=1)
        # Starts as the identity, so that the first output is the patches' prediction.
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, out: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """The corrected prediction.

        :param out: the prediction from the patches, (B, 3, S, S)
        :param x: the noisy image, and its label map's planes if there are any, (B, 3 + planes, S, S)
        :param time: embedding (B, time_width)
        """
        scale, shift = self.modulate(F.silu(time))[:, :, None, None].chunk(2, dim=1)
        hidden = self.enter(torch.cat([out, x.to(out.dtype)], dim=1))
        corrected: Tensor = out + self.leave(F.silu(hidden * (1 + scale) + shift))
        return corrected


class Denoiser(nn.Module):
    """Predicts v, the image or the noise from noisy images, see ``gen_models.diffusion.noise``.

    :param settings: its shape
    :param sizes: number of values of each label column, the null at 0 included
    :param planes: of a label map, see ``gen_models.diffusion.label_maps``; 0 for a denoiser without
    """

    def __init__(self, settings: DenoiserSettings, sizes: Sequence[int], planes: int = 0) -> None:
        super().__init__()
        settings.check()
        self.settings = settings
        self.sizes = tuple(sizes)
        self.planes = planes
        width = 4 * settings.channels[0]
        tables = [nn.Embedding(size, width) for size in self.sizes]
        for table in tables:
            nn.init.normal_(table.weight, std=0.5)
        self.embeddings = nn.ModuleList(tables)
        down = ["AttnDownBlock2D" if i in settings.attention else "DownBlock2D" for i in range(len(settings.channels))]
        up = [name.replace("Down", "Up") for name in reversed(down)]
        channels = 3 * settings.patch**2
        self.unet = cast(Any, UNet2DModel)(
            sample_size=settings.size // settings.patch,
            in_channels=channels + planes * settings.patch**2,
            out_channels=channels,
            layers_per_block=settings.layers,
            block_out_channels=settings.channels,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            attention_head_dim=settings.head_dim,
            norm_num_groups=8,
            dropout=settings.dropout,
            resnet_time_scale_shift="scale_shift",
            add_attention=bool(settings.attention),
            class_embed_type="identity",
        )
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)
        for module in self.unet.modules():
            if isinstance(module, Attention):
                module.set_processor(cast(Any, Float32Attention()))
        self.refinement = Refinement(settings.refinement, width, planes) if settings.patch > 1 else None

    def forward(self, x: Tensor, t: Tensor, labels: Tensor, maps: Tensor | None = None) -> Tensor:
        """The prediction.

        :param x: noisy images, float (B, 3, S, S)
        :param t: times, int64 (B,), 0 to 999
        :param labels: int64 (B, C), see ``gen_models.diffusion.conditions``
        :param maps: planes of the images' label maps, float (B, planes, S, S); None where all is unknown
        :return: float32 (B, 3, S, S)
        """
        return self.predict(x, t, self.embed(labels), maps)

    def embed(self, labels: Tensor) -> Tensor:
        """The sum of the label embeddings, float (B, 4 x the first width)."""
        return torch.stack([embedding(labels[:, i]) for i, embedding in enumerate(self.embeddings)]).sum(0)

    def predict(self, x: Tensor, t: Tensor, embedding: Tensor, maps: Tensor | None = None) -> Tensor:
        """As ``forward``, for label embeddings (B, E), which may be interpolated between labels."""
        if self.planes:
            unknown = x.new_zeros(len(x), self.planes, *x.shape[2:])
            x = torch.cat([x, unknown if maps is None else maps.to(x.dtype)], dim=1)
        patches = F.pixel_unshuffle(x, self.settings.patch) if self.settings.patch > 1 else x
        out: Tensor = self.unet(patches, t, class_labels=embedding).sample
        if self.refinement is not None:
            time = self.unet.time_embedding(self.unet.time_proj(t).to(x.dtype))
            out = self.refinement(F.pixel_shuffle(out, self.settings.patch), x, time)
        return out.float()
