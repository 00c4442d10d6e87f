"""Pictures of a batch: every image is there, unchanged, in its place, and letters are large enough to be printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gen_models.figures.batch_figures import (
    distance_words,
    of_side,
    save_batch,
    save_best,
    save_nearest_neighbours,
    save_side_by_side,
)

CAPTION = "64 images of the run first, unselected, the first 64 of 64 drawn."


def coloured(count: int, side: int, offset: int = 0) -> NDArray[np.uint8]:
    """Images of one colour each, which occurs in no other and in no letter."""
    images = np.zeros((count, side, side, 3), np.uint8)
    images[..., 0] = 200
    images[..., 1] = 60 + np.arange(count)[:, None, None]
    images[..., 2] = offset
    return images


def places(path: Path, images: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Left edge, top edge and width in pixels of each image's colour in a picture."""
    picture = np.asarray(Image.open(path)).astype(int)
    found = []
    for image in images:
        rows, columns = np.nonzero((picture == image[0, 0]).all(axis=2))
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1), "not one whole rectangle"
        found.append((int(columns.min()), int(rows.min()), int(np.ptp(columns) + 1)))
    return found


def test_a_batch_is_eight_by_eight_in_order(tmp_path: Path) -> None:
    images = coloured(64, 32)
    save_batch(images, tmp_path / "batch.png", CAPTION)
    found = places(tmp_path / "batch.png", images)
    assert [(x // 98, (y - found[0][1]) // 98) for x, y, _ in found] == [(k % 8, k // 8) for k in range(64)]
    assert {width for _, _, width in found} == {96}


def test_letters_are_at_least_six_points_at_the_printed_width(tmp_path: Path) -> None:
    """A capital of Pillow's font is 0.7 of its size high; 6 points of type therefore have capitals of 4.2 points."""
    save_batch(np.full((64, 32, 32, 3), 255, np.uint8), tmp_path / "batch.png", "H")
    picture = Image.open(tmp_path / "batch.png")
    dpi = picture.info["dpi"][0]
    assert picture.width / dpi == pytest.approx(3.3, abs=0.01)
    inked = np.flatnonzero((np.asarray(picture) < 128).any(axis=(1, 2)))
    assert (np.ptp(inked) + 1) / dpi * 72 >= 4.2


def test_the_best_is_large_and_itself(tmp_path: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:16] = (255, 0, 0)
    save_best(image, tmp_path / "best.png", CAPTION)
    picture = np.asarray(Image.open(tmp_path / "best.png"))
    below = picture[-768:]
    assert below.shape == (768, 768, 3)
    assert below[100, 400].tolist() == [255, 0, 0] and below[700, 400].tolist() == [0, 0, 0]


@pytest.mark.parametrize("near", [1, 2, 3])
def test_nearest_images_lie_right_of_their_image(tmp_path: Path, near: int) -> None:
    images, training = coloured(8, 8), coloured(16 * near, 8, offset=90)
    pixels = np.arange(8 * near).reshape(8, near)[:, ::-1]
    features = pixels + 8 * near
    distances = np.full((8, near), 0.5)
    path = tmp_path / "nearest-neighbours.png"
    save_nearest_neighbours(images, training, pixels, distances, features, distances, path, CAPTION)
    drawn, found = places(path, images), places(path, training)
    for k, (x, y, width) in enumerate(drawn):
        row = [found[index] for index in (*pixels[k], *features[k])]
        assert {top for _, top, _ in row} == {y}
        lefts = [x, *(left for left, _, _ in row)]
        assert lefts == sorted(lefts) and lefts[-1] - x < (2 * near + 1) * (width + 2) + width


def test_distances_are_printed_below(tmp_path: Path) -> None:
    """Another distance changes the ink below its image and nothing else."""
    images, indices = coloured(4, 8), np.zeros((4, 1), np.int64)
    pictures = []
    for last in (0.5, 0.125):
        distances = np.array([[0.5], [0.5], [0.5], [last]])
        path = tmp_path / f"{last}.png"
        save_nearest_neighbours(images, coloured(1, 8, 90), indices, distances, indices, distances, path, CAPTION)
        pictures.append(np.asarray(Image.open(path)).astype(int))
    x, y, width = places(tmp_path / "0.5.png", images)[3]
    rows, columns = np.nonzero((pictures[0] != pictures[1]).any(axis=2))
    assert rows.min() >= y + width and columns.min() > x + width
    assert [distance_words(value) for value in (0.0, 0.07654, 9.9994, 12.34, 123.4)] == [
        "0.000", "0.077", "9.999", "12.3", "123.4",
    ]  # fmt: skip


def test_batches_side_by_side_have_tiles_of_one_size(tmp_path: Path) -> None:
    sets = [("a", coloured(3, 32)), ("b, with a name that takes two lines or so, and more", coloured(2, 96, 90))]
    save_side_by_side(sets, tmp_path / "side.png", CAPTION)
    first, second = (places(tmp_path / "side.png", images) for _, images in sets)
    assert {(y, width) for _, y, width in first + second} == {(first[0][1], 96)}
    assert first[2][0] < second[0][0]


def test_five_batches_are_three_and_two(tmp_path: Path) -> None:
    sets = [(str(k), coloured(1, 32, offset=50 * k)) for k in range(5)]
    save_side_by_side(sets, tmp_path / "side.png", CAPTION)
    found = [places(tmp_path / "side.png", images)[0] for _, images in sets]
    assert len({y for _, y, _ in found[:3]}) == 1 and found[3][:1] == found[0][:1] and found[3][1] > found[0][1]


def test_sizes() -> None:
    images = np.random.default_rng(0).integers(256, size=(2, 4, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(of_side(images, 8)[:, ::2, 1::2], images)
    assert of_side(images, 6).shape == (2, 6, 6, 3)
    np.testing.assert_array_equal(of_side(np.full_like(images, 7), 6), 7)
