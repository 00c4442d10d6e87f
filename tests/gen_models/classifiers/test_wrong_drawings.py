"""Wrong drawings are what they are called: the named part is wrong, and nothing else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gen_models.classifiers.wrong_drawings import OUTPUTS, SEEN, WRONG, bent, wrong_drawings
from gen_models.images.grids import tiles_of
from gen_models.images.sprite_drawing import draw_parts, draw_scene, parts_of
from gen_models.images.sprites import WHITE_FROM, random_scene

SHEET = Path(__file__).parents[3] / "docs" / "pegasus" / "wrong-drawings.png"
PARTS = ("head", "body", "legs", "wings")
STAYS = ("missing", "faded", "smeared")  # ways in which nothing is drawn outside the part


@pytest.mark.parametrize("kind", WRONG)
def test_a_picture_depends_on_kind_seed_and_number_alone(kind: str) -> None:
    images, labels = wrong_drawings(kind, 3, 1)
    assert images.shape == (3, 32, 32, 3) and images.dtype == np.uint8 and labels.shape == (3, len(OUTPUTS))
    np.testing.assert_array_equal(images[:2], wrong_drawings(kind, 2, 1)[0])
    assert (images != wrong_drawings(kind, 3, 2)[0]).any()


@pytest.mark.parametrize("kind", WRONG)
def test_no_kind_is_labelled_a_winged_horse(kind: str) -> None:
    _, labels = wrong_drawings(kind, 8, 1, winged=0.5)
    assert (labels[:, :4] == 0).any(axis=1).all()
    part, _, _ = kind.partition(": ")
    if part in PARTS:
        assert (labels[:, OUTPUTS.index(part)] == 0).all()
        others = [OUTPUTS.index(other) for other in PARTS if other not in (part, "wings")]
        assert (labels[:, others] == 1).all()


def test_labels_of_wings_and_white_are_those_of_the_scene() -> None:
    images, labels = wrong_drawings("head: missing", 40, 1, winged=0.5)
    number = list(WRONG).index("head: missing")
    for k in range(40):
        rng = np.random.default_rng([1, number, k])
        scene = random_scene("winged horse", rng)
        winged = rng.random() < 0.5
        assert labels[k].tolist() == [0, 1, 1, int(winged), int(min(scene.body) >= WHITE_FROM)]
        right = [part for part in parts_of(scene) if part[0] != "head" and (winged or part[0] != "wings")]
        np.testing.assert_array_equal(images[k], draw_parts(scene, right))
    assert set(labels[:, 3]) == set(labels[:, 4]) == {0, 1}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("way", STAYS)
def test_only_the_named_part_is_changed_and_it_is_changed_much(part: str, way: str) -> None:
    kind = f"{part}: {way}"
    if kind not in WRONG:
        assert kind == "wings: missing"  # a horse, which is right
        return
    images, _ = wrong_drawings(kind, 6, 3)
    for k, image in enumerate(images):
        scene = random_scene("winged horse", np.random.default_rng([3, list(WRONG).index(kind), k]))
        right = draw_scene(scene).astype(int)
        without = draw_parts(scene, [one for one in parts_of(scene) if one[0] != part]).astype(int)
        belongs = (np.abs(right - without).max(axis=2) > 0).astype(np.uint8)
        near = cv2.dilate(belongs, np.ones((5, 5), np.uint8)).astype(bool)
        changed = np.abs(image - right).max(axis=2)
        assert (changed[~near] == 0).all()
        assert (changed > SEEN).sum() > 0.3 * belongs.sum()


def test_bent_by_nothing_is_the_same_and_by_more_is_more_different() -> None:
    image = wrong_drawings("wings: ball", 1, 1)[0][0]
    np.testing.assert_array_equal(bent(image, 0.0, np.random.default_rng(0)), image)
    little, much = (np.abs(bent(image, s, np.random.default_rng(0)) - image.astype(int)).mean() for s in (0.5, 4.0))
    assert 0 < little < much / 2


def test_the_sheet_that_was_looked_at_is_what_is_drawn() -> None:
    with Image.open(SHEET) as sheet:
        shown = tiles_of(sheet.convert("RGB"), 4 * 4, 64, labelled=True)
    for row, kind in enumerate(WRONG):
        np.testing.assert_array_equal(shown[4 * row : 4 * row + 4, ::2, ::2], wrong_drawings(kind, 4, 5)[0], kind)
