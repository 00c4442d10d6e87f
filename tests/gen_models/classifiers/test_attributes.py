"""Tests of the attributes: images of which the answer is plain, and real ones that were looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError
from gen_models.classifiers.attribute_table import (
    TABLE,
    attribute_sheet,
    ensure_attributes,
    load_attributes,
    save_attributes,
)
from gen_models.classifiers.attributes import (
    airplane_probability,
    border_deviation,
    foreground_of,
    sky_or_not,
    spread_or_not,
    white_or_not,
    with_attributes,
)
from gen_models.images.image_set import ImageSet, join
from gen_models.images.loaders import load_images
from gen_models.images.sprites import sprite_images

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "cifar10_4class.npz"

GREEN, BROWN, WHITE, SHADED = (60, 130, 50), (110, 70, 40), (235, 233, 228), (140, 138, 136)


def block(colour: tuple[int, int, int], behind: tuple[int, int, int], size: int = 32) -> NDArray[np.uint8]:
    """A square in the middle, half as wide as the picture."""
    image = np.full((size, size, 3), behind, np.uint8)
    image[size // 4 : -size // 4, size // 4 : -size // 4] = colour
    return image


@pytest.mark.parametrize("size", [32, 96])
def test_white_on_plain_pictures(size: int) -> None:
    images = np.stack(
        [
            block(WHITE, GREEN, size),
            block(BROWN, GREEN, size),
            block(BROWN, WHITE, size),  # the sky is white, not the horse: it is silent
            block(WHITE, WHITE, size),  # nothing to be seen
            block(SHADED, GREEN, size),  # white in the shade, or grey
            block((250, 230, 150), GREEN, size),  # bright, but yellow
        ]
    )
    assert white_or_not(images).tolist() == [1, 0, -1, -1, -1, 0]


def test_the_foreground_differs_from_all_four_sides() -> None:
    image = np.full((32, 32, 3), (90, 150, 230), np.uint8)  # sky
    image[16:] = GREEN
    image[8:24, 8:24] = BROWN
    foreground = foreground_of(image[None])[0]
    assert (foreground[8:24, 8:24] == 1).all()
    assert foreground[:6].max() == 0
    assert foreground[26:].max() == 0


@pytest.mark.parametrize("size", [32, 96])
def test_sky_on_plain_pictures(size: int) -> None:
    blue, water, haze, white = (120, 160, 220), (80, 110, 140), (190, 195, 200), (250, 250, 250)
    grey, night, teal = (120, 120, 125), (20, 25, 60), (60, 140, 120)
    images = np.stack([block(BROWN, behind, size) for behind in (blue, water, haze, white)])
    assert sky_or_not(images).tolist() == [1, 1, 1, 1]
    images = np.stack([block(WHITE, behind, size) for behind in (GREEN, BROWN, night, teal)])
    assert sky_or_not(images).tolist() == [0, 0, 0, 0]
    uneven = block(BROWN, blue, size)
    uneven[-size // 3 :] = (60, 80, 160)  # blue all over, in two parts
    assert sky_or_not(np.stack([block(BROWN, grey, size), uneven])).tolist() == [-1, -1]


def striped() -> ImageSet:
    """Airplanes are bright rows, birds bright columns, but for every tenth, which is rows too; horses are a square."""
    rng = np.random.default_rng(0)
    images, classes = [], []
    for index in range(300):
        image = rng.integers(60, size=(32, 32, 3), dtype=np.uint8)
        kind = index % 3
        place = rng.integers(8, 22)
        if kind == 2:
            image[place - 4 : place + 4, place - 4 : place + 4] = 220
        elif kind == 1 and index % 10:
            image[3:29, place : place + 3] = 220
        else:
            image[place : place + 3, 3:29] = 220
        images.append(image)
        classes.append(kind)
    return ImageSet(
        np.stack(images), np.array(classes), ("airplane", "bird", "horse"), np.zeros(300, np.int64), ("striped",)
    )


def test_birds_that_look_like_airplanes_have_their_wings_spread() -> None:
    images = striped()
    spread = spread_or_not(images, epochs=8)
    birds = np.flatnonzero(images.classes == 1)
    truth = birds % 10 == 0
    assert truth.sum() == 10
    assert (spread[birds[truth]] == 1).mean() > 0.8  # although as birds they were trained on
    assert (spread[birds[~truth]] == 1).mean() < 0.03
    assert (spread[images.classes == 2] == 0).all()
    assert (spread[images.classes == 0] == -1).all()


def test_a_border_is_even_or_not() -> None:
    images = np.full((3, 32, 32, 3), 100, np.uint8)
    images[1, 2:30, 2:30] = 255  # not on the border
    images[2, 16:, :, 2] = 140  # half of it 20 from the mean, in one channel
    np.testing.assert_allclose(border_deviation(images), [0, 0, 20], atol=1e-4)


def test_a_bird_that_stands_on_something_is_not_known_to_fly() -> None:
    images = striped()
    standing = images.images.copy()
    standing[:, -2:] = 200
    spread = spread_or_not(ImageSet(standing, images.classes, images.class_names, images.sources, ("a",)), epochs=2)
    assert (spread != 1).all()


def test_the_same_answers_again() -> None:
    images = striped()
    first, again = (airplane_probability(images, seed=1, epochs=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32


def test_without_airplanes_birds_stay_unknown() -> None:
    images = striped().only(["bird", "horse"])
    spread = spread_or_not(images)
    assert (spread[images.classes == 0] == -1).all()
    assert (spread[images.classes == 1] == 0).all()


def test_what_a_source_knows_is_kept() -> None:
    drawn = sprite_images(10)
    real = striped().only(["bird", "horse"]).take(np.arange(6))
    both = with_attributes(join([drawn, real]))
    for name in ("white", "spread"):
        np.testing.assert_array_equal(both.attributes[name][:10], drawn.attributes[name])
    np.testing.assert_array_equal(both.attributes["white"][10:], white_or_not(real.images))


def test_the_table_finds_each_image_again(tmp_path: Path) -> None:
    images = sprite_images(40)
    made = []

    def everything() -> ImageSet:
        made.append(True)
        return images

    birds = images.only(["bird"])
    order = np.random.default_rng(0).permutation(len(birds))
    bare = ImageSet(birds.images[order], birds.classes, ("bird",), birds.sources, ("sprites",))
    for _ in range(2):
        found = ensure_attributes(bare, everything, tmp_path)
        for name in ("white", "spread"):
            np.testing.assert_array_equal(found.attributes[name], birds.attributes[name][order])
    assert len(made) == 1
    lines = (tmp_path / TABLE).read_text().splitlines()
    assert lines[0] == "digest,source,class,white,spread,sky"
    assert len(lines) == 41
    assert lines[1].split(",")[1:3] == ["sprites", "horse"]
    assert {path.name for path in tmp_path.iterdir()} == {
        TABLE,
        *(f"attribute-{name}-{kind}.png" for name in ("white", "spread") for kind in ("horse", "bird")),
    }
    content = (tmp_path / TABLE).read_bytes()
    (tmp_path / TABLE).write_text("\n".join(line.rpartition(",")[0] for line in lines))  # of a time without sky
    ensure_attributes(bare, everything, tmp_path)
    assert len(made) == 2 and (tmp_path / TABLE).read_bytes() == content


def test_a_sheet_has_yes_on_the_left(tmp_path: Path) -> None:
    pixels = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (40, 80, 120)])
    images = ImageSet(
        pixels,
        np.zeros(3, np.int64),
        ("bird",),
        np.zeros(3, np.int64),
        ("a",),
        {"white": np.array([0, 1, -1], np.int8)},
    )
    sheet = attribute_sheet(images, "white", "bird")
    assert isinstance(sheet, Image.Image)
    row = np.asarray(sheet)[-10, :, 0].tolist()
    assert row.index(80) < row.index(40)
    assert 120 not in row


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read"),
        ("", "cannot read"),
        ("a,b,c,white\n", "its columns"),
        ("digest,source,class,white\n0123,sprites,bird,maybe\n", "cannot read"),
        ("digest,source,class,white\n0123,sprites,bird\n", "its columns"),
        ("digest,source,class,white\n0123,sprites,bird,yes\n", "2 of 2 are not in it"),
    ],
)
def test_a_table_that_does_not_fit(content: str | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / TABLE).write_text(content)
    with pytest.raises(UserError, match=says):
        load_attributes(sprite_images(2), tmp_path)


def test_pictures_beside_the_table_stay_there_whatever_a_class_is_called(tmp_path: Path) -> None:
    images = sprite_images(20)
    folder = tmp_path / "a" / "b"
    save_attributes(replace(images, class_names=("x/../../horse", *images.class_names[1:])), folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_dir()] == ["a", "b"]
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {folder}
    assert "attribute-white-x-------horse.png" in {path.name for path in folder.iterdir()}


def test_real_horses_and_birds() -> None:
    if not DATA.is_file():
        pytest.skip(f"the real data is not at {DATA}")
    images = load_images([f"npz:{DATA}"], 32, ["horse", "bird"], "test")
    white = white_or_not(images.images)
    horses = images.of_class("horse")
    assert 20 < (white[horses] == 1).sum() < 100
    assert 5 < (white[~horses] == 1).sum() < 40
    assert (white == 0).mean() > 0.3
