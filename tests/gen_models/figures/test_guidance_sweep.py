"""A sweep of two weights: each cell is what ``sample`` gives with its weights, in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from gen_models.diffusion.sampling import sample
from gen_models.figures.guidance_sweep import CELL, sweep, sweep_figure
from gen_models.images.grids import grid
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import load_run_sampler
from tests.untrained_run import untrained_run

REQUEST = SampleRequest(sampler="ddim", steps=2, seed=6)


def test_cells_have_the_same_seeds_and_their_own_weights(tmp_path: Path) -> None:
    sampler = load_run_sampler(untrained_run(tmp_path / "first").path, None, True, 16, "cpu")
    moved: list[int] = []
    cells = sweep(sampler, REQUEST, ("horse", "spread"), (0, 2), moved.append)
    assert cells.shape == (2, 2, CELL, 16, 16, 3) and sum(moved) == 4 * CELL * 2
    for row, column, weights in ((0, 0, ""), (0, 1, "spread=2"), (1, 0, "horse=2"), (1, 1, "horse=2,spread=2")):
        alone = sample(
            sampler.denoiser, sampler.vocabulary, sampler.noise,
            SampleRequest(weights, sampler="ddim", steps=2, seed=6), range(CELL), CELL,
        )  # fmt: skip
        np.testing.assert_array_equal(cells[row, column], alone)
    with pytest.raises(UserError, match="unknown condition 'hrose'"):
        sweep(sampler, REQUEST, ("hrose", "spread"), (0,))


def test_a_contrast_is_swept_over_the_weights_of_the_base_and_of_what_is_added(tmp_path: Path) -> None:
    sampler = load_run_sampler(untrained_run(tmp_path / "first").path, None, True, 16, "cpu")
    contrast = replace(REQUEST, compose="contrast", base="horse", add="spread", from_="bird")
    cells = sweep(sampler, contrast, ("horse", "spread"), (1, 2))
    one = replace(contrast, base_weight=2, add_weight=1)
    alone = sample(sampler.denoiser, sampler.vocabulary, sampler.noise, one, range(CELL), CELL)
    np.testing.assert_array_equal(cells[1, 0], alone)
    assert (cells[1, 1] != alone).any()


def test_rows_are_the_first_weight_and_numbers_stand_beside_and_above() -> None:
    cells = np.zeros((3, 3, CELL, 32, 32, 3), np.uint8)
    cells[..., 0] = 200
    cells[..., 1] = 60 + np.arange(9).reshape(3, 3)[:, :, None, None, None]
    pictures = [
        np.asarray(sweep_figure(cells, ("horse", "spread"), weights, "A caption.")).astype(int)
        for weights in ((0, 1, 2.5), (0, 1, 7))
    ]
    places = []
    for number in range(9):
        rows, columns = np.nonzero((pictures[0] == (200, 60 + number, 0)).all(axis=2))
        places.append((int(rows.min()), int(columns.min())))
    assert len({top for top, _ in places}) == len({left for _, left in places}) == 3
    assert places == sorted(places)  # row by row, from the left
    # Another last weight changes the ink above the last column and left of the last row.
    rows, columns = np.nonzero((pictures[0] != pictures[1]).any(axis=2))
    above, beside = rows < places[0][0], columns < places[0][1]
    assert (above ^ beside).all() and above.any() and beside.any()
    assert columns[above].min() >= places[2][1] and rows[beside].min() >= places[6][0]
    assert grid(cells[0, 0], 2, 3).width == 2 * 98 + 2
