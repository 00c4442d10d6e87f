"""Figures of a DCGAN's run: interpolations between its samples, and the losses of both networks.

Credits: Shoemake 1985 (doi 10.1145/325165.325242, slerp); Radford et al. 2016 (arXiv 1511.06434, section 6.1: images
between two latents show that a generator has not memorised); matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from gen_models.adversarial.sampling import AdversarialSampler, class_shares, latent
from gen_models.figures.interpolation import FRAMES, Row, slerp
from gen_models.figures.paper_figures import STYLE, new_figure
from gen_models.figures.progress_figures import SMOOTH, smoothed
from gen_models.images.grids import HALF_WIDTH
from gen_models.request import SampleRequest

LOSSES = {"generator_loss": "generator", "real_loss": "discriminator, real", "fake_loss": "discriminator, generated"}
COLORS = ("#08519c", "#e6550d", "#31a354")


def interpolate_latents(
    sampler: AdversarialSampler,
    request: SampleRequest,
    pairs: Sequence[tuple[int, int]],
    to: Sequence[str],
    frames: int = FRAMES,
    progress: Callable[[int], None] | None = None,
) -> list[Row]:
    """Sample the images between pairs of images: along the arc between their latents, and from class to class.

    The ends are the images ``pair[0]`` of the request and ``pair[1]`` of the same request with the other classes.

    :param pairs: numbers of the images at both ends, of each row
    :param to: classes at each row's other end, as in --weights
    :param frames: images in a row, both ends included, at least 2
    :param progress: called with the number of image steps done, ``request.steps`` for each image
    :raises UserError: for classes that the generator does not know
    """
    settings, vocabulary = sampler.generator.settings, sampler.vocabulary
    places = np.linspace(0, 1, frames).tolist()
    latents, shares = [], []
    for pair, other in zip(pairs, to, strict=True):
        first, last = (latent(request.seed, index, settings.latent) for index in pair)
        here, there = (class_shares(words, vocabulary, settings.conditional) for words in (request.weights, other))
        latents += [slerp(first, last, place) for place in places]
        shares += [(1 - place) * here + place * there for place in places]
    images = sampler.images(torch.stack(latents), torch.stack(shares), progress, request.steps)
    rows = images.reshape(len(pairs), frames, *images.shape[1:])
    return [Row(row, pair, (request.weights, other)) for row, pair, other in zip(rows, pairs, to, strict=True)]


def losses_figure(images: NDArray[np.float64], losses: Sequence[NDArray[np.float64]], name: str) -> Figure:
    """The losses over the images trained on, smoothed, for one column of a paper.

    :param images: (L,), L at least 1
    :param losses: (L,) each, in the order of ``LOSSES``
    :param name: of the run
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(HALF_WIDTH, 2.1)
        figure.set_layout_engine("constrained")
        axes = figure.add_subplot()
        window = min(SMOOTH, len(images) // 40 * 2 + 1)
        for label, values, color in zip(LOSSES.values(), losses, COLORS, strict=True):
            axes.plot(images, values, color=color, lw=0.4, alpha=0.3)
            marker = "." if len(images) == 1 else None
            axes.plot(images, smoothed(values, window), color=color, lw=1.2, label=label, marker=marker)
        axes.axhline(np.log(2), color="#999999", lw=0.6, ls=":")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("images seen in training")
        axes.set_ylabel("binary cross entropy (nats); dotted: guessing")
        axes.grid(color="#dddddd", lw=0.4)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=6.5)
        axes.set_title(f"Run {name}".replace("$", r"\$"), fontsize=7.5, loc="left")
    return figure
