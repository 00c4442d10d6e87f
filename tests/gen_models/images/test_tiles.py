"""Tiles cut from a grid are the images that made it.

Credits: torchvision's make_grid as an independent maker of grids.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.utils import make_grid

from common.errors import UserError
from gen_models.images.grids import grid
from gen_models.images.sprites import draw_sprites
from gen_models.images.tiles import cut_tiles, reduced


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return draw_sprites("horse", 24, seed=3)[0]


def cut(picture: NDArray[np.uint8], rows: int | None = None, columns: int | None = None) -> NDArray[np.uint8]:
    return cut_tiles(picture, rows, columns, 32, "grid.png")


def edge_to_edge(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    rows = len(images) // columns
    return images.reshape(rows, columns, 32, 32, 3).swapaxes(1, 2).reshape(rows * 32, columns * 32, 3)


@pytest.mark.parametrize("caption", ["", "and: horse=3,bird=1.5, 25 steps of dpm, seed 0; a long caption, two lines"])
@pytest.mark.parametrize("scale", [1, 3])
def test_grids_of_this_project(images: NDArray[np.uint8], scale: int, caption: str) -> None:
    tiles = cut(np.asarray(grid(images, 6, scale, caption)))
    np.testing.assert_array_equal(reduced(tiles, 32), images)


def test_labels_below_the_tiles_are_passed_over(images: NDArray[np.uint8]) -> None:
    tiles = cut(np.asarray(grid(images, 6, 2, "what", labels=["horse"] * 24)))
    np.testing.assert_array_equal(reduced(tiles, 32), images)


@pytest.mark.parametrize(("padding", "value"), [(2, 0.0), (1, 1.0), (5, 0.5)])
def test_grids_of_torchvision(images: NDArray[np.uint8], padding: int, value: float) -> None:
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    sheet = make_grid(tensor, nrow=8, padding=padding, pad_value=value)
    picture = sheet.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(cut(picture), images)
    np.testing.assert_array_equal(cut(picture, 3, 8), images)


def test_tiles_with_lines_of_the_colour_of_the_gaps(images: NDArray[np.uint8]) -> None:
    """Every tile of the first row ends in a black line, which a black gap follows."""
    images = images.copy()
    images[:8, -1] = 0
    sheet = make_grid(torch.from_numpy(images).permute(0, 3, 1, 2), nrow=8, padding=2)
    np.testing.assert_array_equal(cut(sheet.permute(1, 2, 0).numpy()), images)


def test_tiles_edge_to_edge_by_their_number_or_their_side(images: NDArray[np.uint8]) -> None:
    picture = edge_to_edge(images, 6)
    np.testing.assert_array_equal(cut(picture), images)
    np.testing.assert_array_equal(cut(picture, 4, 6), images)
    np.testing.assert_array_equal(cut(picture, columns=6), images)
    large = picture.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(reduced(cut(large, rows=4), 32), images)


def test_tiles_that_were_not_enlarged_stay_as_they_are(images: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert reduced(noise, 32) is noise
    assert reduced(images, 32) is images


@pytest.mark.parametrize("asked", [(None, None), (5, 6), (4, 7), (4, None)])
def test_a_picture_that_cannot_be_cut_is_refused(images: NDArray[np.uint8], asked: tuple[int, int]) -> None:
    picture = edge_to_edge(images, 6)[:-3]
    with pytest.raises(UserError, match=r"grid.png \(192 x 125 pixels\) cannot be cut .* --rows and --columns"):
        cut(picture, *asked)


def test_no_rows_are_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(UserError, match="--rows must be at least 1, not 0"):
        cut(edge_to_edge(images, 6), rows=0)
