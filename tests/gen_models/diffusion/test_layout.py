"""Layouts: parts of outlines set onto backs, on masks made by hand and on drawings."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.diffusion.label_maps import BACKGROUND, REGIONS, UNKNOWN
from gen_models.diffusion.layout import (
    GAP,
    layout,
    on_body,
    pack_silhouettes,
    raised_part,
    silhouettes_of,
    unpack_silhouettes,
)
from gen_models.images.sprites import sprite_images
from gen_models.training.data import labels_of, vocabulary_of

SIZE = 24


def drawn(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of boxes: first and last row, first and last column."""
    mask = np.zeros((SIZE, SIZE), np.bool_)
    for top, bottom, left, right in boxes:
        mask[top : bottom + 1, left : right + 1] = True
    return mask


# A bird with its head at the right: a wing that goes up to the left, a trunk and a head apart from the wing.
BIRD = drawn((2, 4, 7, 9), (5, 8, 8, 11), (9, 13, 4, 19), (6, 9, 17, 20))
# A horse with its head at the right: trunk, legs, neck and head.
HORSE = drawn((10, 15, 5, 17), (16, 21, 6, 7), (16, 21, 15, 16), (4, 10, 16, 20))


def test_the_raised_part_is_the_wing_without_the_head() -> None:
    part = raised_part(BIRD)
    assert BIRD[2:9, 7:12].sum() - part.mask[2:9, 7:12].sum() <= 1 and not part.mask[:9, 16:].any()
    assert not part.mask[:2].any() and not part.mask[13:].any()
    assert abs(part.centre[0] - 11) <= 1 and abs(part.centre[1] - 11.5) <= 1  # the middle of the trunk
    assert part.lean == -1  # its top is left of the trunk's middle


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("leaning", [False, True])
def test_a_part_stands_to_the_body_as_to_its_own_and_leans_away_from_the_head(mirrored: bool, leaning: bool) -> None:
    bird, horse = BIRD[:, ::-1] if leaning else BIRD, HORSE[:, ::-1] if mirrored else HORSE
    part = raised_part(bird)
    moved = on_body(horse, part)
    rows, columns = np.nonzero(moved)
    assert (
        round(np.nonzero(horse)[0].mean()) - rows.min() == part.centre[0] - 2
    )  # as high above the middle as the bird's wing
    if mirrored:
        moved = moved[:, ::-1]
    assert moved[:9, 4:12].any() and not moved[:, 16:].any()  # the head stands free, at the right
    rows, columns = np.nonzero(moved)
    assert columns[rows == rows.min()].mean() < SIZE / 2
    neck = np.argwhere(HORSE[:9])
    distances = np.abs(np.argwhere(moved)[:, None] - neck).max(axis=2)
    assert distances.min() > GAP


def test_an_animal_in_two_pieces_has_a_back() -> None:
    moved = on_body(drawn((8, 20, 2, 6), (10, 20, 17, 21)), raised_part(BIRD))
    assert moved.shape == (SIZE, SIZE)


def test_a_layout_keeps_the_animal_and_says_background_elsewhere() -> None:
    body = np.where(HORSE, REGIONS, BACKGROUND)
    found = layout(body, BIRD, REGIONS + 2)
    assert (found[HORSE] == REGIONS).all()
    added = found == REGIONS + 2
    assert added[:9].any() and not added[15:].any()
    assert set(np.unique(found).tolist()) == {BACKGROUND, REGIONS, REGIONS + 2}
    assert (layout(np.full((SIZE, SIZE), UNKNOWN), BIRD, 4) == UNKNOWN).all()


def test_silhouettes_are_of_birds_with_raised_wings_and_survive_the_file() -> None:
    images = sprite_images(200)
    words = vocabulary_of(images, True, ("spread",))
    labels = labels_of(images, words)
    found = silhouettes_of(images, labels, words, 3)
    assert list(found) == ["bird+spread"] and 20 < len(found["bird+spread"]) <= 64
    same = silhouettes_of(images, labels, words, 3)["bird+spread"]
    np.testing.assert_array_equal(same, found["bird+spread"])
    content = pack_silhouettes(found)
    np.testing.assert_array_equal(unpack_silhouettes(content)["bird+spread"], same)
    for damaged in (content[:50], b"", content[:-30]):
        with pytest.raises(ValueError):
            unpack_silhouettes(damaged)
    # Raised wings make a silhouette taller than that of a bird at rest.
    heights = [np.ptp(np.nonzero(mask)[0]) for mask in same]
    assert np.median(heights) > 13
