"""A grid of samples over the weights of two conditions.

Every cell has the same start noise, so that differences between cells come from the weights alone.

Credits: Ho and Salimans 2022 (arXiv 2207.12598) and Liu et al. 2022 (arXiv 2206.01714) for the meaning of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gen_models.diffusion.sampling import sample
from gen_models.images.grids import FULL_WIDTH, PAPER, beside, captioned, grid, letters, stacked, text
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler

WEIGHTS = (0.0, 1.0, 2.0, 3.0, 5.0)
CELL = 4  # images in a cell, in rows of two
TILE = 96  # pixels


def sweep(
    sampler: RunSampler,
    request: SampleRequest,
    conditions: tuple[str, str],
    weights: Sequence[float] = WEIGHTS,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Sample the first images of the request's seed with every pair of weights.

    :param request: its weights are replaced; for ``contrast`` those of the base and of what is added
    :param conditions: that of the rows' weights and that of the columns' weights, such as horse and spread; for
        ``contrast`` the request has them, too
    :param weights: the W weights of both
    :param progress: see ``sample``
    :return: uint8 (W, W, CELL, S, S, 3), the rows' weight first
    :raises UserError: for unknown conditions
    """
    down, across = conditions

    def weighted(row: float, column: float) -> SampleRequest:
        if request.compose == "contrast":
            return replace(request, base_weight=row, add_weight=column)
        return replace(request, weights=f"{down}={row:g},{across}={column:g}")

    cells = [
        sample(
            sampler.denoiser,
            sampler.vocabulary,
            sampler.noise,
            weighted(row, column),
            range(CELL),
            CELL,  # a larger batch would be padded with copies
            sampler.origin.device,
            progress,
        )
        for row in weights
        for column in weights
    ]
    return np.stack(cells).reshape(len(weights), len(weights), *cells[0].shape)


def sweep_figure(
    cells: NDArray[np.uint8], conditions: tuple[str, str], weights: Sequence[float], caption: str
) -> Image.Image:
    """The cells in rows and columns, with the weights at the left and above.

    :param cells: what ``sweep`` returned
    """
    scale = max(1, TILE // cells.shape[3])
    sheets = [[grid(cell, 2, scale) for cell in row] for row in cells]
    side, gap = sheets[0][0].width, TILE // 6
    size = letters((side + gap) * len(weights), FULL_WIDTH)
    margin, down, across = 2 * size, *conditions
    numbers = [f"{weight:g}" for weight in weights]
    rows = [
        beside([text(number, margin, size, side, centred=True), *row], gap)
        for number, row in zip(numbers, sheets, strict=True)
    ]
    corner = Image.new("RGB", (margin, size), PAPER)
    head = beside([corner, *(text(number, side, size, centred=True) for number in numbers)], gap)
    table = stacked([text(f"weight of {across}", head.width, size, centred=True), head, *rows], gap)
    title = text(f"weight of {down}", table.height, size, centred=True).rotate(90, expand=True)
    return captioned(beside([title, table], 0), caption, FULL_WIDTH)
