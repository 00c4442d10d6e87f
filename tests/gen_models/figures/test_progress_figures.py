"""Loss and samples of a training, read from what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError
from gen_models.diffusion.conditions import Vocabulary
from gen_models.diffusion.denoiser import Denoiser, DenoiserSettings
from gen_models.diffusion.noise import Noise
from gen_models.diffusion.sampling import sample
from gen_models.figures.progress_figures import (
    chosen,
    loss_figure,
    read_losses,
    sample_pictures,
    sample_progress_figure,
    sample_progress_width,
    smoothed,
)
from gen_models.images.grids import grid, letters, save_png, tiles_of
from gen_models.request import SampleRequest
from gen_models.training.loss_log import FIRST_LINE
from gen_models.training.preview import COLUMNS, STEPS, preview, samples_of

VOCABULARY = Vocabulary(("horse",), ("white",))


def test_losses_are_read_and_other_files_refused(tmp_path: Path) -> None:
    file = tmp_path / "loss.csv"
    with pytest.raises(UserError, match=r"cannot read .*loss\.csv"):
        read_losses(file)
    file.write_text(FIRST_LINE + "10,0.5,0.1,99.0\n20,0.25,0.1,98.0\n")
    images, losses = read_losses(file)
    assert images.tolist() == [10, 20] and losses.tolist() == [0.5, 0.25]
    file.write_text(FIRST_LINE)
    assert [len(part) for part in read_losses(file)] == [0, 0]
    for content in ("", "r,l,t\n1,2,3\n", FIRST_LINE + "10,much,0.1,9\n", FIRST_LINE + "10\n"):
        file.write_text(content)
        with pytest.raises(UserError, match="does not hold a run's losses"):
            read_losses(file)


def test_smoothing_by_hand() -> None:
    values = np.array([1.0, 4.0, 1.0, 7.0, 10.0])
    assert smoothed(values, 3).tolist() == pytest.approx([1, 2, 4, 6, 10])
    assert smoothed(values, 5).tolist() == pytest.approx([1, 2, 4.6, 6, 10])
    assert smoothed(values[:1], 25).tolist() == [1]


def test_the_loss_is_drawn_as_it_is_and_smoothed() -> None:
    images, losses = np.arange(1, 41, dtype=np.float64) * 1280, np.linspace(1, 0.1, 40)
    figure = loss_figure(images, losses, 128, "first")
    raw, smooth = figure.axes[0].get_lines()
    assert np.array_equal(raw.get_ydata(), losses) and np.array_equal(raw.get_xdata(), images)
    assert np.array_equal(smooth.get_ydata(), smoothed(losses, 3))
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "mean of 10 steps of 128 images", "mean of 3 of these",
    ]  # fmt: skip
    assert figure.get_figwidth() == pytest.approx(3.3)


def test_tiles_cut_from_a_grid_are_the_images() -> None:
    images = np.random.default_rng(0).integers(256, size=(6, 8, 8, 3), dtype=np.uint8)
    for labels in (None, ["a"] * 6):
        sheet = grid(images, 3, labels=labels)
        np.testing.assert_array_equal(tiles_of(sheet, 3, 8, labels is not None), images)
        with pytest.raises(ValueError, match="are not 2 tiles of 8 a row"):
            tiles_of(sheet, 2, 8, labels is not None)


def test_the_samples_of_a_preview_are_found_in_it() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(DenoiserSettings(16, 2, (16, 32), 1, (1,)), VOCABULARY.sizes)
    found = samples_of(preview(denoiser, VOCABULARY, Noise(), 3, "float32"), VOCABULARY, 16)
    assert found.shape == (3, COLUMNS, 16, 16, 3)
    request = SampleRequest("horse=2", steps=STEPS, seed=3)
    np.testing.assert_array_equal(found[1], sample(denoiser, VOCABULARY, Noise(), request, range(COLUMNS), COLUMNS))


def test_moments_are_evenly_chosen_with_the_first_and_the_last() -> None:
    assert chosen(3, 8) == [0, 1, 2]
    assert chosen(1, 8) == [0]
    assert chosen(15, 8) == [0, 2, 4, 6, 8, 10, 12, 14]


def coloured(moment: int) -> NDArray[np.uint8]:
    """A preview's images, each of a colour of its own."""
    images = np.zeros((3 * COLUMNS, 32, 32, 3), np.uint8)
    images[..., 0], images[..., 2] = 200, 20 * moment
    images[..., 1] = 60 + np.arange(3 * COLUMNS)[:, None, None]
    return images


def test_conditions_are_rows_and_moments_columns(tmp_path: Path) -> None:
    for moment, images in enumerate((100_000, 200_000, 1_500_000)):
        picture = grid(coloured(moment), COLUMNS, 2, labels=["x"] * 3 * COLUMNS)
        save_png(picture, tmp_path / f"samples-{images:09d}.png")
    (tmp_path / "samples-0000000ab.png").write_text("")
    pictures = sample_pictures(tmp_path)
    assert [images for images, _ in pictures] == [100_000, 200_000, 1_500_000]
    sheet = np.asarray(sample_progress_figure(pictures, VOCABULARY, 32, "A caption.")).astype(int)
    places = {}
    for moment in range(3):
        for row in range(3):
            for column in range(2):
                colour = coloured(moment)[row * COLUMNS + column, 0, 0]
                y, x = np.nonzero((sheet == colour).all(axis=2))
                places[row, moment, column] = (int(y.min()), int(x.min()))
    assert list(places.values()) != []
    in_reading_order = [places[key] for key in sorted(places)]
    assert in_reading_order == sorted(in_reading_order)
    assert not (sheet == coloured(0)[2, 0, 0]).all(axis=2).any()  # the third sample of a row is left out


@pytest.mark.parametrize(("moments", "shown"), [(1, 8), (2, 4), (3, 2), (8, 2)])
def test_a_short_run_has_a_figure_as_legible_as_a_long_one(moments: int, shown: int, tmp_path: Path) -> None:
    for moment in range(moments):
        picture = grid(coloured(moment), COLUMNS, 2, labels=["x"] * 3 * COLUMNS)
        save_png(picture, tmp_path / f"samples-{1000 * (moment + 1):09d}.png")
    sheet = sample_progress_figure(sample_pictures(tmp_path), VOCABULARY, 32, "A caption.")
    there = [column for column in range(COLUMNS) if (np.asarray(sheet) == coloured(0)[column, 0, 0]).all(axis=2).any()]
    assert there == list(range(shown))
    # Letters of 7 points at the printed width have 12 pixels and more, as on a screen.
    assert letters(sheet.width, sample_progress_width(moments)) >= 12


def test_another_picture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "samples-000000001.png"
    Image.new("RGB", (50, 50)).save(file)
    with pytest.raises(UserError, match="is not a picture of this run's samples"):
        sample_progress_figure([(1, file)], VOCABULARY, 32, "")
    file.write_text("no picture")
    with pytest.raises(UserError, match="is not a picture of this run's samples"):
        sample_progress_figure([(1, file)], VOCABULARY, 32, "")
