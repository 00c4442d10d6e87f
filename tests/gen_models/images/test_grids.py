"""Tests of grids of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from gen_models.images.grids import beside, grid, save_png


def test_tiles_lie_row_by_row_with_gaps() -> None:
    images = np.zeros((5, 4, 4, 3), np.uint8)
    images[..., 0] = np.arange(5)[:, None, None] * 10
    sheet = np.asarray(grid(images, columns=3, scale=2))
    assert sheet.shape == (2 + 2 * 10, 2 + 3 * 10, 3)
    assert sheet[2:10, 2:10].tolist() == images[0].repeat(2, 0).repeat(2, 1).tolist()
    assert sheet[5, 25].tolist() == [20, 0, 0]  # the third of the first row
    assert sheet[15, 15].tolist() == [40, 0, 0]  # the second of the second row
    assert (sheet[:, 10:12] == 255).all()
    assert (sheet[12:, 22:] == 255).all()


def test_a_caption_is_above_and_not_cut() -> None:
    images = np.full((4, 8, 8, 3), 255, np.uint8)
    plain, long = grid(images, 4), grid(images, 4, caption="64 of 64, not selected, and " * 4)
    assert long.width == 320
    ink = np.flatnonzero((np.asarray(long) < 128).any(axis=(1, 2)))
    assert ink.max() < long.height - plain.height + 2
    columns = np.flatnonzero((np.asarray(long) < 128).any(axis=(0, 2)))
    assert columns.max() < 318


def test_labels_are_below_their_tiles() -> None:
    images = np.full((2, 32, 32, 3), 255, np.uint8)
    sheet = np.asarray(grid(images, 2, labels=["", "a very long label"]))
    dark = np.argwhere((sheet < 128).any(axis=2))
    assert dark[:, 0].min() >= 34
    assert dark[:, 1].min() >= 36 and dark[:, 1].max() < 68


def test_saved(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(3, 8, 8, 3), dtype=np.uint8)
    sheet = beside([grid(images, 3), grid(images, 1)])
    save_png(sheet, tmp_path / "new" / "sheet.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "sheet.png")), np.asarray(sheet))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_png(sheet, tmp_path / "file" / "sheet.png")
