"""Sampling: images from noise, with diffusers' schedulers, composed predictions and one seed per image.

Image k depends on the seed and on k, not on the other images of its batch. Its start noise and the noise of its steps
come from its own generator, always on the CPU, so they are the same on every device. Networks round differently at
another batch size. A batch that is not full is therefore padded with copies, so that only another ``batch_size`` can
change an image, by rounding.

Credits: diffusers' schedulers; Ho et al. 2020 (arXiv 2006.11239, DDPM); Song et al. 2021 (arXiv 2010.02502, DDIM);
Lu et al. 2022 (arXiv 2211.01095, DPM-Solver++); Saharia et al. 2022 (arXiv 2205.11487, dynamic thresholding); Lin et
al. 2023 (arXiv 2305.08891, times that begin at the last one).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from common.device import memory_errors
from common.errors import UserError
from common.parallel import PARTS, one_torch_thread, run_parts, slices
from common.seeds import derive_seed
from gen_models.diffusion.conditions import Condition, Vocabulary
from gen_models.diffusion.denoiser import Denoiser
from gen_models.diffusion.guidance import Mapped, composed
from gen_models.diffusion.label_maps import planes
from gen_models.diffusion.noise import Noise
from gen_models.images.image_set import to_pixels
from gen_models.request import SampleRequest

# Least log(alpha_t / sigma_t). Nothing of the image is left below it, but the cosine schedule goes down to -10, where
# x_0 = (x_t - sigma_t eps) / alpha_t loses all precision. The value is from diffusers' documentation.
LAMBDA_MIN = -5.1

# Quantile of an image's absolute values that dynamic thresholding takes for the largest (Saharia et al.).
DYNAMIC_RATIO = 0.995
UNLIMITED = 1e6


def sample(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    noise: Noise,
    request: SampleRequest,
    indices: Sequence[int],
    batch_size: int = 16,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
    latents: Tensor | None = None,
    embeddings: Tensor | None = None,
    maps: Tensor | None = None,
    watch: Callable[[Tensor], None] | None = None,
) -> NDArray[np.uint8]:
    """Sample images.

    :param denoiser: on the device, with the weights to sample with; in evaluation mode during the call
    :param indices: numbers of the N images, from 0
    :param batch_size: images at once; decides the memory used, and another value changes images by rounding
    :param progress: called after each step with the number of image steps it did; they add up to N x steps
    :param latents: start of each image, float32 (N, 3, S, S), in place of its own noise
    :param embeddings: of the request's P conditions for each image, float32 (P, N, E), in place of those of the words
    :param maps: for ``--compose map``, each image's label map, int64 (N, S, S), see ``gen_models.diffusion.layout``
    :param watch: called in each step with the current estimate of the batch's images (B, 3, S, S), about -1 to 1
    :return: uint8 (N, S, S, 3), in the order of the indices
    :raises UserError: for invalid conditions, weights or numbers, and when the device runs out of memory
    """
    request.check()
    conditions, composition = composed(request, vocabulary)
    scheduler = make_scheduler(noise, request)
    levels = noise_levels(noise)
    size = denoiser.settings.size
    images = [to_pixels(torch.empty(0, 3, size, size))]
    precision = autocast(device, request.precision)
    with _evaluating(denoiser), memory_errors(batch_size), torch.inference_mode(), precision, one_torch_thread():
        null, *shared = embed_conditions(denoiser, [vocabulary.null, *conditions])
        for start in range(0, len(indices), batch_size):
            places = list(range(start, min(start + batch_size, len(indices))))
            count = len(places)
            places += places[-1:] * (batch_size - count)
            generators = [image_generator(request.seed, indices[place]) for place in places]
            x = torch.stack([start_noise(generator, size) for generator in generators])
            x = (x if latents is None else latents[places]).to(device)
            embedded: list[Tensor | Mapped] = [*shared] if embeddings is None else [*embeddings[:, places].to(device)]
            if request.compose == "map":
                assert maps is not None
                embedded[-1] = Mapped(shared[-1], planes(maps[places].to(device), denoiser.planes))
            times = set_times(scheduler, request, levels)
            for number, t in enumerate(times, start=1):
                predict = partial(predict_all, denoiser, x, t)
                prediction = composition(predict, null, embedded, levels[t])
                if watch is not None:
                    watch(noise.image(x, prediction, t)[:count])
                x, image = step(scheduler, request, prediction, t, x, generators)
                if progress is not None:  # the last step counts for those that are left out
                    progress(count * (1 if number < len(times) else 1 + request.steps - number))
            images.append(to_pixels(_finite((image if request.stop_at else x)[:count])))
    return np.concatenate(images)


def embed_conditions(denoiser: Denoiser, conditions: Sequence[Condition]) -> Tensor:
    """The label embeddings of P conditions, float32 (P, E), on the denoiser's device."""
    device = next(denoiser.parameters()).device
    return denoiser.embed(torch.tensor([condition.values for condition in conditions], device=device))


def predict_all(denoiser: Denoiser, x: Tensor, t: int, embeddings: Sequence[Tensor | Mapped]) -> Tensor:
    """The predictions for several conditions, in one call of the network; on a CPU two threads share the images.

    :param x: noisy images (B, 3, S, S)
    :param embeddings: P label embeddings, each (E,) for all images or (B, E), with label maps or without
    :return: float32 (P, B, 3, S, S)
    """
    mapped = any(isinstance(one, Mapped) for one in embeddings)
    unknown = x.new_zeros(len(x), denoiser.planes, *x.shape[2:])
    rows = [(one.embedding if isinstance(one, Mapped) else one).expand(len(x), -1) for one in embeddings]
    maps = [one.planes if isinstance(one, Mapped) else unknown for one in embeddings]

    def predict(part: slice) -> Tensor:
        images = x[part]
        times = torch.full((len(rows) * len(images),), t, device=x.device)
        labels = torch.cat([embedding[part] for embedding in rows])
        shown = [torch.cat([one[part] for one in maps])] if mapped else []
        predictions: Tensor = denoiser.predict(images.repeat(len(rows), 1, 1, 1), times, labels, *shown)
        return predictions.reshape(len(rows), *images.shape)

    return torch.cat(run_parts(predict, slices(len(x), PARTS if x.device.type == "cpu" else 1)), dim=1)


def make_scheduler(noise: Noise, request: SampleRequest) -> Any:
    """The diffusers scheduler of a request.

    Times are spaced from the last one down (``trailing``), so that sampling starts at pure noise, as training does.
    With a largest value of 1, diffusers' dynamic thresholding is clipping, which DPM-Solver++ does not offer otherwise.
    """
    arguments = {**noise.arguments, "timestep_spacing": "trailing", "dynamic_thresholding_ratio": DYNAMIC_RATIO}
    arguments["thresholding"] = request.threshold != "none"
    arguments["sample_max_value"] = UNLIMITED if request.threshold == "dynamic" else 1.0
    if request.sampler.startswith("dpm"):
        kind = "sde-dpmsolver++" if request.sampler == "dpm-sde" else "dpmsolver++"
        return DPMSolverMultistepScheduler(**arguments, algorithm_type=kind, lambda_min_clipped=LAMBDA_MIN)
    if request.threshold == "static":
        arguments["thresholding"] = False
    arguments["clip_sample"] = request.threshold == "static"
    return (DDIMScheduler if request.sampler == "ddim" else DDPMScheduler)(**arguments)


def set_times(scheduler: Any, request: SampleRequest, levels: Sequence[float]) -> list[int]:
    """Set the times of a scheduler's steps.

    :param levels: noise level of each time
    :return: the times, the noisiest first, up to the one where the request stops
    :raises UserError: for more steps than there are times
    """
    scheduler.set_timesteps(request.steps)
    if len(scheduler.timesteps) != request.steps or scheduler.timesteps[-1] < 0:
        # DPM-Solver++ begins at the time of LAMBDA_MIN, but with the spacing of all 1,000: many steps do not fit. For
        # the others a spacing that rounds down makes one too many.
        usable = int(scheduler.timesteps[0]) + 1
        if request.steps > usable:
            raise UserError(f"--steps {request.steps}: {request.sampler} has {usable} times with this noise schedule")
        times = np.arange(usable, 0, -usable / request.steps)[: request.steps].round().astype(np.int64) - 1
        scheduler.set_timesteps(timesteps=times.tolist())
    every: list[int] = scheduler.timesteps.tolist()
    reached = [number for number, t in enumerate(every, start=1) if levels[t] <= (request.stop_at or 0)]
    return every[: reached[0]] if reached else every


def step(
    scheduler: Any, request: SampleRequest, prediction: Tensor, t: int, x: Tensor, generators: list[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """One step of a scheduler, each image with its own generator.

    DDIM takes its noise direction from the thresholded image, as ddpm and dpm do by their formulas.

    :return: the images at the next time, and the scheduler's estimate of the images x_0, thresholded; (B, 3, S, S) each
    """
    options: dict[str, Any] = {"generator": generators}
    if request.sampler == "ddim":
        options |= {"eta": request.eta, "use_clipped_model_output": request.threshold != "none"}
    stepped = scheduler.step(prediction, t, x, **options)
    image: Tensor = scheduler.model_outputs[-1] if request.sampler.startswith("dpm") else stepped.pred_original_sample
    return stepped.prev_sample, image


def noise_levels(noise: Noise) -> list[float]:
    """sigma_t of each time, 0 to 1."""
    return [math.sqrt(1 - remaining) for remaining in noise.scheduler().alphas_cumprod.tolist()]


def image_generator(seed: int, index: int) -> torch.Generator:
    """The generator of image ``index``: start noise first, then the noise of each step."""
    return torch.Generator().manual_seed(derive_seed((seed, index)))


def start_noise(generator: torch.Generator, size: int) -> Tensor:
    """The start noise of an image, float32 (3, size, size): the first numbers of its generator."""
    return torch.randn((3, size, size), generator=generator)


def autocast(device: str | torch.device, precision: str) -> torch.autocast:
    """A context in which the network computes in this precision, ``float32`` or ``bfloat16``."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")


@contextlib.contextmanager
def _evaluating(denoiser: Denoiser) -> Iterator[None]:
    """Evaluation mode inside the context, the previous mode afterwards."""
    training = denoiser.training
    denoiser.eval()
    try:
        yield
    finally:
        denoiser.train(training)


def _finite(x: Tensor) -> Tensor:
    if not torch.isfinite(x).all():
        raise UserError(
            "the images are not finite: smaller weights or --threshold static keep them in range, "
            "unless the network's weights are not finite themselves",
            status=1,
        )
    return x
