"""Tiles cut from a grid are the images that made it.

Credits: torchvision's make_grid and matplotlib as independent makers of grids.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torchvision.utils import make_grid

from common.errors import UserError
from gen_models.images.enlargement import reduced, unrepeated
from gen_models.images.grids import grid
from gen_models.images.image_set import resized
from gen_models.images.sprites import draw_sprites
from gen_models.images.tiles import cut_tiles


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return draw_sprites("horse", 24, seed=3)[0]


def cut(picture: NDArray[np.uint8], rows: int | None = None, columns: int | None = None) -> NDArray[np.uint8]:
    return cut_tiles(picture, rows, columns, 32, "grid.png").tiles


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


@pytest.mark.parametrize("asked", [(5, 6), (4, 7)])
def test_a_picture_that_cannot_be_cut_as_asked_is_refused(images: NDArray[np.uint8], asked: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"grid.png \(192 x 128 pixels\) cannot be cut .* crop what is around"):
        cut(edge_to_edge(images, 6), *asked)


def test_what_is_no_grid_is_refused(images: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 192, 3), dtype=np.uint8)
    for picture in (noise, images[0].repeat(6, axis=0).repeat(4, axis=1), np.full((64, 64, 3), 9, np.uint8)):
        with pytest.raises(UserError, match=r"cannot be cut into equal square tiles.* say how many with --rows"):
            cut(picture)


def test_tiles_of_another_side_are_not_cut_at_that_of_the_training_images(images: NDArray[np.uint8]) -> None:
    """64 pixels a tile, twice the training images' side, by which the picture can be divided."""
    large = np.stack([resized(image[None], 64)[0] for image in images[:12]])
    picture = large.reshape(3, 4, 64, 64, 3).swapaxes(1, 2).reshape(192, 256, 3)
    assert cut(picture).shape == (12, 64, 64, 3)


def test_huge_pictures_are_refused() -> None:
    with pytest.raises(UserError, match=r"grid.png has 6,000 x 4,000 pixels, more than 20 million: shrink it"):
        cut(np.zeros((4000, 6000, 3), np.uint8))


REAL_IMAGES = Path(__file__).resolve().parents[4] / "shared" / "data" / "cifar10_4class.npz"


@pytest.fixture(scope="module")
def real() -> NDArray[np.uint8]:
    """The first 64 real images."""
    if not REAL_IMAGES.is_file():
        pytest.skip(f"the real images are not there: {REAL_IMAGES}")
    with np.load(REAL_IMAGES, allow_pickle=False) as arrays:
        return np.asarray(arrays["images"][:64])


def sheet(images: NDArray[np.uint8], columns: int, padding: int) -> Image.Image:
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    return Image.fromarray(make_grid(tensor, nrow=columns, padding=padding).permute(1, 2, 0).numpy())


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC)


def as_jpeg(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return Image.open(file).convert("RGB")


def saved(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return Image.open(file).convert("RGB")


def with_axes(picture: Image.Image) -> Image.Image:
    figure = Figure(figsize=(6, 6))
    axes = figure.add_subplot(title="Winged horses, epoch 30")
    axes.imshow(np.asarray(picture))
    return saved(figure)


def as_subplots(images: NDArray[np.uint8], rows: int, columns: int, titles: bool) -> Image.Image:
    figure = Figure(figsize=(8, 8))
    for number in range(rows * columns):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.imshow(images[number])
        axes.axis("off")
        if titles:
            axes.set_title(f"horse {number}", fontsize=7)
    return saved(figure)


@pytest.mark.parametrize(
    "made",
    [
        lambda real: as_jpeg(sheet(real, 8, 0)),
        lambda real: as_jpeg(sheet(real, 8, 2)),
        lambda real: scaled(sheet(real, 8, 0), 1.765),  # tiles of 56 and 57 pixels
        lambda real: as_jpeg(scaled(sheet(real, 8, 2), 1.6)),
        lambda real: with_axes(sheet(real, 8, 0)),
        lambda real: with_axes(sheet(real, 8, 2)),
    ],
    ids=["jpeg", "jpeg with gaps", "rescaled", "rescaled jpeg with gaps", "axes", "axes and gaps"],
)
def test_pictures_as_others_make_them(
    real: NDArray[np.uint8], made: Callable[[NDArray[np.uint8]], Image.Image]
) -> None:
    found = cut_tiles(np.asarray(made(real)), None, None, 32, "grid.png")
    assert len(found.tiles) == 64 and found.confidence >= 0.85
    # Rescaling, JPEG and neighbours' edges change images, but not which they are.
    small = resized(found.tiles, 32).astype(float)
    between = np.abs(small[:, None] - real[None].astype(float)).mean(axis=(2, 3, 4))
    assert between.argmin(axis=1).tolist() == list(range(64))
    assert np.diag(between).mean() < 12
    changed = (found.shown != np.asarray(made(real))).any(axis=2).mean()
    assert 0.02 < changed < 0.3  # lines around the tiles


@pytest.mark.parametrize(("rows", "columns", "titles"), [(8, 8, False), (4, 5, True), (2, 3, True)])
def test_subplots(real: NDArray[np.uint8], rows: int, columns: int, titles: bool) -> None:
    found = cut_tiles(np.asarray(as_subplots(real, rows, columns, titles)), None, None, 32, "grid.png")
    small = resized(found.tiles, 32).astype(float)
    between = np.abs(small[:, None] - real[None].astype(float)).mean(axis=(2, 3, 4))
    assert between.argmin(axis=1).tolist() == list(range(rows * columns))


def nearest(picture: NDArray[np.uint8], factor: float, library: str) -> NDArray[np.uint8]:
    """A picture enlarged by repeated pixels."""
    size = round(picture.shape[1] * factor), round(len(picture) * factor)
    if library == "pillow":
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))
    if library == "opencv":
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST))
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    large = torch.nn.functional.interpolate(tensor, size=size[::-1], mode="nearest")
    return large[0].permute(1, 2, 0).to(torch.uint8).numpy()


@pytest.mark.parametrize("library", ["pillow", "opencv", "torch"])
@pytest.mark.parametrize(("factor", "padding"), [(2.3, 0), (2.3, 2), (1.5, 2), (3.7, 0)])
def test_an_enlargement_by_a_fraction_is_undone_exactly(
    images: NDArray[np.uint8], library: str, factor: float, padding: int
) -> None:
    picture = np.asarray(sheet(images, 6, padding))
    large = nearest(picture, factor, library)
    np.testing.assert_array_equal(unrepeated(large), picture)
    np.testing.assert_array_equal(cut(large), images)


def test_what_was_not_enlarged_by_a_fraction_stays(images: NDArray[np.uint8]) -> None:
    for picture in (np.asarray(sheet(images, 6, 2)), nearest(edge_to_edge(images, 6), 2, "pillow"), images[0]):
        assert unrepeated(picture) is picture
    wide = np.asarray(Image.fromarray(edge_to_edge(images, 6)).resize((440, 200), Image.Resampling.NEAREST))
    assert unrepeated(wide) is wide


def test_no_rows_are_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(UserError, match="--rows must be at least 1, not 0"):
        cut(edge_to_edge(images, 6), rows=0)
