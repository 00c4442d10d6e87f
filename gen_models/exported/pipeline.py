"""A pipeline of diffusers that samples images of composed conditions, such as ``{"horse": 2, "spread": 3.5}``.

    from diffusers import DiffusionPipeline
    pipeline = DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline=FOLDER, trust_remote_code=True)
    pipeline({"horse": 2, "spread": 3.5}, batch_size=4).images[0].save("horse.png")

Credits: diffusers' pipelines; Ho and Salimans 2022 (arXiv 2207.12598) and Liu et al. 2022 (arXiv 2206.01714) for
guidance by several conditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from torch import Tensor


class ComposedPipeline(DiffusionPipeline):
    """Samples images from p = p_null + sum_i w_i (p_i - p_null).

    :param unet: ``UNet2DModel``, whose class labels are embeddings
    :param scheduler: any of diffusers'
    :param labels: embeddings of words, and the refinement of patches
    """

    def __init__(self, unet: Any, scheduler: Any, labels: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, labels=labels)

    @torch.no_grad()
    def __call__(
        self,
        weights: Mapping[str, float],
        batch_size: int = 1,
        num_inference_steps: int = 25,
        generator: torch.Generator | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
    ) -> Any:
        """Sample images.

        :param weights: of conditions, each words joined by ``+``; an empty mapping for the unconditional model
        :param generator: of the noise; None for torch's own
        :param latents: start noise (B, 3, S, S) instead of the generator's
        :param output_type: ``pil`` or ``pt``, which is float32 (B, 3, S, S) from 0 to 1
        :return: ``images``
        """
        size = self.unet.config.sample_size * self.labels.config.patch
        if latents is None:
            latents = torch.randn((batch_size, 3, size, size), generator=generator)
        x = latents.to(self.unet.device)
        embeddings = [self.labels.embed(condition) for condition in ("", *weights)]
        coefficients = [1 - sum(weights.values()), *weights.values()]
        rows = torch.cat([embedding.expand(len(x), -1) for embedding in embeddings])
        self.scheduler.set_timesteps(num_inference_steps)
        for t in self.progress_bar(self.scheduler.timesteps):
            predictions = self.labels.predict(self.unet, x.repeat(len(embeddings), 1, 1, 1), int(t), rows)
            parts = predictions.chunk(len(embeddings))
            combined = sum(coefficient * part for coefficient, part in zip(coefficients, parts, strict=True))
            x = self.scheduler.step(combined, t, x).prev_sample
        images = (x / 2 + 0.5).clamp(0, 1).cpu()
        if output_type == "pt":
            return ImagePipelineOutput(images=images)
        return ImagePipelineOutput(images=self.numpy_to_pil(images.permute(0, 2, 3, 1).numpy()))
