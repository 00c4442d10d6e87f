"""Images of a trained generator: one seed per image, one pass per batch.

Image k depends on the seed and on k alone: its latent comes from its own generator, on the CPU, and batch norm takes
the statistics of the training, not those of the batch.

Credits: Radford et al. 2016 (arXiv 1511.06434).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.device import memory_errors
from common.errors import UserError
from common.parallel import one_torch_thread
from gen_models.adversarial.dcgan import Generator
from gen_models.diffusion.conditions import NULL, Vocabulary
from gen_models.diffusion.guidance import parse_weights
from gen_models.diffusion.samples import Origin, Samples
from gen_models.diffusion.sampling import image_generator
from gen_models.images.image_set import to_pixels
from gen_models.request import SampleRequest

MEANT = ("weights", "seed")  # what of a request a generator can be asked for


def latent(seed: int, index: int, length: int) -> Tensor:
    """The latent of an image, float32 (length,): the first numbers of its generator."""
    return torch.randn(length, generator=image_generator(seed, index))


def class_shares(weights: str, vocabulary: Vocabulary, conditional: bool) -> Tensor:
    """The shares of the classes in an image, float32 (K + 1,), the null first.

    :param weights: as in ``horse=2,bird=1``, of which a horse has two thirds; empty for the null
    :raises UserError: for a word that is no class, a weight that is not above 0, and for an unconditional generator
    """
    shares = torch.zeros(len(vocabulary.classes) + 1)
    if not weights.strip():
        shares[NULL] = 1.0
        return shares
    if not conditional:
        raise UserError(
            f"--weights {weights}: this DCGAN knows no conditions; leave them out, or train it --conditional"
        )
    conditions, numbers = parse_weights(weights, Vocabulary(vocabulary.classes))
    for condition, number in zip(conditions, numbers, strict=True):
        if number <= 0:
            raise UserError(f"--weights {weights}: of a DCGAN, weights are shares of the classes, above 0")
        shares[condition.values[0]] += number
    return shares / shares.sum()


@dataclass(frozen=True)
class AdversarialSampler:
    """A trained generator, loaded for sampling.

    :param origin: written into ``samples.npz``
    """

    generator: Generator
    vocabulary: Vocabulary
    origin: Origin

    def check(self, request: SampleRequest) -> None:
        """:raises UserError: for a request that a generator cannot fulfil"""
        request.check()
        for option in dataclasses.fields(request):
            if option.name not in MEANT and getattr(request, option.name) != option.default:
                flag = option.name.strip("_").replace("_", "-")
                raise UserError(f"--{flag}: a DCGAN makes an image in one pass, without a sampler or guidance")
        class_shares(request.weights, self.vocabulary, self.generator.settings.conditional)

    def understood(self, request: SampleRequest) -> SampleRequest:
        """What of a request for a denoiser a generator understands: its seed, and its classes, if it is conditional."""
        parts = request.weights.split(",") if self.generator.settings.conditional and request.weights else []
        known = {name.lower() for name in self.vocabulary.classes}
        pairs = [(name.strip().lower(), number) for name, _, number in (part.partition("=") for part in parts)]
        kept = [f"{name}={number}" for name, number in pairs if name in known and not number.strip().startswith("-")]
        return SampleRequest(",".join(kept), seed=request.seed)

    def sample(
        self, request: SampleRequest, indices: Sequence[int], progress: Callable[[int], None] | None = None
    ) -> Samples:
        """Sample images.

        :param indices: numbers of the images, from 0
        :param progress: called with the number of image steps done, ``request.steps`` for each image
        :raises UserError: for what a DCGAN cannot be asked for, and when the device runs out of memory
        """
        self.check(request)
        length = self.generator.settings.latent
        latents = [latent(request.seed, index, length) for index in indices]
        shares = class_shares(request.weights, self.vocabulary, self.generator.settings.conditional)
        images = self.images(torch.stack(latents), shares.expand(len(latents), -1), progress, request.steps)
        return Samples(images, indices, request, self.origin)

    def images(
        self, latents: Tensor, shares: Tensor, progress: Callable[[int], None] | None = None, steps: int = 1
    ) -> NDArray[np.uint8]:
        """The images of latents, uint8 (N, S, S, 3).

        :param latents: float32 (N, Z)
        :param shares: of the classes, float32 (N, K + 1)
        """
        size = self.origin.batch_size
        return generated(self.generator, latents, shares, size, self.origin.device, progress, steps)


def generated(
    generator: Generator,
    latents: Tensor,
    shares: Tensor,
    batch_size: int,
    device: str | torch.device,
    progress: Callable[[int], None] | None = None,
    steps: int = 1,
) -> NDArray[np.uint8]:
    """The images of latents, uint8 (N, S, S, 3), by a generator in evaluation mode.

    :param batch_size: images at once; a last batch that is not full is padded, so that the rounding is the same
    :param steps: what each image counts in the progress
    """
    images = []
    with memory_errors(batch_size), torch.inference_mode(), one_torch_thread():
        for start in range(0, len(latents), batch_size):
            places = list(range(start, min(start + batch_size, len(latents))))
            count = len(places)
            places += places[-1:] * (batch_size - count)
            made = generator(latents[places].to(device), shares[places].to(device))[:count]
            images.append(to_pixels(made))
            if progress is not None:
                progress(count * steps)
    return np.concatenate(images)
