"""Layouts: parts of outlines set onto backs, on masks made by hand and on drawings."""

from __future__ import annotations

import numpy as np
import pytest

from gen_models.diffusion.label_maps import BACKGROUND, REGIONS, UNKNOWN
from gen_models.diffusion.layout import (
    OVERLAP,
    layout,
    on_back,
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
BIRD = drawn((2, 4, 7, 9), (5, 8, 8, 11), (9, 14, 4, 19), (6, 9, 17, 20))
# A horse with its head at the right: trunk, legs, neck and head.
HORSE = drawn((10, 15, 5, 17), (16, 21, 6, 7), (16, 21, 15, 16), (4, 10, 16, 20))


def test_the_raised_part_is_the_wing_without_the_head() -> None:
    part = raised_part(BIRD)
    assert part.mask[2:9, 7:12].sum() == BIRD[2:9, 7:12].sum() and not part.mask[:, 16:].any()
    assert part.mask[:2].sum() == 0 and not part.mask[12:].any()
    assert part.lean == -1  # its top is left of its foot


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("leaning", [False, True])
def test_a_part_stands_on_the_back_and_leans_away_from_the_head(mirrored: bool, leaning: bool) -> None:
    bird, horse = BIRD[:, ::-1] if leaning else BIRD, HORSE[:, ::-1] if mirrored else HORSE
    moved = on_back(horse, raised_part(bird))
    rows, columns = np.nonzero(moved)
    assert rows.max() == 10 + OVERLAP
    assert abs(columns[rows == rows.max()].mean() - np.nonzero(horse)[1].mean()) <= 1
    top = columns[rows == rows.min()].mean()
    assert top > SIZE / 2 - 0.5 if mirrored else top < SIZE / 2 - 0.5  # away from the head
    assert moved.sum() == raised_part(bird).mask.sum()


def test_a_layout_keeps_the_animal_and_says_background_elsewhere() -> None:
    body = np.where(HORSE, REGIONS, BACKGROUND)
    found = layout(body, BIRD, REGIONS + 2)
    assert (found[HORSE] == REGIONS).all()
    added = found == REGIONS + 2
    assert added.any() and not added[12:].any()
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
