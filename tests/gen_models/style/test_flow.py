"""Warps and masks against flows made by hand: a square that moves by four pixels over a ground that stands still."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gen_models.style.flow import (
    disoccluded,
    long_term_weights,
    motion_boundaries,
    optical_flow,
    trusted,
    warped,
)

SIDE, STEP = 32, 4
ROWS = slice(10, 18)
BEFORE, AFTER = slice(10, 18), slice(14, 22)  # columns of the square


def flow(columns: slice, u: float) -> NDArray[np.float32]:
    field = np.zeros((SIDE, SIDE, 2), np.float32)
    field[ROWS, columns, 0] = u
    return field


FORWARD, BACKWARD = flow(BEFORE, STEP), flow(AFTER, -STEP)


def picture(columns: slice) -> NDArray[np.float32]:
    ground = np.random.default_rng(0).uniform(0, 100, (SIDE, SIDE, 3)).astype(np.float32)
    ground[ROWS, columns] = np.random.default_rng(1).uniform(150, 250, (8, 8, 3))
    return ground


def boundaries_by_hand() -> NDArray[np.bool_]:
    u = BACKWARD[..., 0]
    found = np.zeros((SIDE, SIDE), np.bool_)
    for y in range(1, SIDE - 1):
        for x in range(1, SIDE - 1):
            found[y, x] = u[y, x - 1] != u[y, x + 1] or u[y - 1, x] != u[y + 1, x]
    return found


def test_what_the_square_uncovers_is_disoccluded() -> None:
    expected = np.zeros((SIDE, SIDE), np.bool_)
    expected[ROWS, 10:14] = True
    assert np.array_equal(disoccluded(FORWARD, BACKWARD), expected)


def test_the_edge_of_the_square_is_a_motion_boundary() -> None:
    found = motion_boundaries(BACKWARD)
    assert np.array_equal(found, boundaries_by_hand())
    assert found[12, 13] and found[12, 14] and not found[12, 12] and not found[12, 16]
    assert not motion_boundaries(np.full((SIDE, SIDE, 2), 7, np.float32)).any()


def test_what_can_be_trusted_is_the_same_in_both_frames() -> None:
    mask = trusted(FORWARD, BACKWARD)
    expected = ~boundaries_by_hand()
    expected[ROWS, 10:14] = False
    assert np.array_equal(mask, expected)
    moved = warped(picture(BEFORE), BACKWARD)
    assert np.allclose(moved[mask], picture(AFTER)[mask], atol=1e-3)
    assert not np.allclose(moved[ROWS, 10:14], picture(AFTER)[ROWS, 10:14], atol=10)  # the square is still there


def test_what_comes_from_outside_is_not_trusted() -> None:
    left = np.zeros((SIDE, SIDE, 2), np.float32)
    left[..., 0] = 2
    mask = trusted(left, -left)  # everything moves right by two
    assert not mask[:, :2].any() and mask[:, 2:].all()


def test_between_pixels_a_warp_is_linear() -> None:
    ramp = np.broadcast_to(np.arange(SIDE, dtype=np.float32)[None, :, None] * 2, (SIDE, SIDE, 3)).copy()
    half = np.zeros((SIDE, SIDE, 2), np.float32)
    half[..., 0] = 0.5
    assert np.allclose(warped(ramp, half)[:, :-1], ramp[:, :-1] + 1, atol=1e-3)


def test_the_flow_of_a_moved_picture_is_its_motion() -> None:
    noise = np.random.default_rng(3).uniform(0, 255, (12, 12, 3)).astype(np.float32)
    smooth = np.kron(noise, np.ones((8, 8, 1), np.float32)).astype(np.uint8)
    field = optical_flow(smooth, np.roll(smooth, (0, 3), axis=(0, 1)))
    inner = field[16:-16, 16:-16].reshape(-1, 2)
    assert np.median(inner, axis=0) == pytest.approx([3, 0], abs=0.2)
    assert np.array_equal(field, optical_flow(smooth, np.roll(smooth, (0, 3), axis=(0, 1))))


def test_long_term_weights_count_each_pixel_once_and_for_the_nearest() -> None:
    masks = list(np.random.default_rng(2).random((3, 9, 7)) < 0.5)
    weights = long_term_weights(masks)
    for y in range(9):
        for x in range(7):
            seen = [bool(mask[y, x]) for mask in masks]
            expected = [0.0, 0.0, 0.0]
            if any(seen):
                expected[seen.index(True)] = 1.0
            assert [float(weight[y, x]) for weight in weights] == expected
    assert long_term_weights([]) == []
