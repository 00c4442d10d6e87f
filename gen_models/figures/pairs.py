"""The figure of interpolations between eight pairs of samples, of a run of either model."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from gen_models.adversarial.sampling import AdversarialSampler
from gen_models.figures.adversarial_figures import interpolate_latents
from gen_models.figures.interpolation import FRAMES, PAIRS, interpolate, interpolations_figure
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler

IMAGES = len(PAIRS) * FRAMES


def interpolations(
    sampler: RunSampler | AdversarialSampler,
    request: SampleRequest,
    to: str,
    progress: Callable[[int], None] | None = None,
) -> Image.Image:
    """The figure: half of the rows stay at the request's conditions, the others end at other ones.

    :param request: of the first images; for a denoiser with DDIM and eta 0
    :param to: conditions at the other end of the last four rows, as in --weights
    :param progress: called with the number of image steps done, ``request.steps`` for each of ``IMAGES``
    :raises UserError: for invalid conditions
    """
    half = len(PAIRS) // 2
    to_each = [request.weights] * half + [to] * (len(PAIRS) - half)
    if isinstance(sampler, AdversarialSampler):
        rows = interpolate_latents(sampler, request, PAIRS, to_each, progress=progress)
        what, how = "latents of a DCGAN", f"seed {request.seed}"
    else:
        rows = interpolate(sampler, request, PAIRS, to_each, progress=progress)
        what, how = "DDIM latents and between conditions", f"{request.steps} steps of DDIM, seed {request.seed}"
    caption = (
        f"Spherical interpolation between {what}, {FRAMES} images a row; both ends are images drawn by themselves. "
        f"All {len(PAIRS)} pairs that were drawn, none selected; {how}, run {sampler.origin.run}, "
        f"{sampler.origin.checkpoint}."
    )
    return interpolations_figure(rows, caption)
