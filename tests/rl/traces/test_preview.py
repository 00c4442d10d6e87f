"""Previews for TensorBoard: which pictures they have, how long each is shown, and that they are small."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from rl.traces.playback import make_player, play
from rl.traces.preview import MAX_BYTES, Preview
from tests.traced_games import SHORT, header, random_game


def frames_of(gif: bytes) -> list[tuple[np.ndarray, int]]:
    """Each picture of an animation and the milliseconds that it is shown."""
    animation = Image.open(io.BytesIO(gif))
    return [(np.array(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(animation)]


@pytest.mark.parametrize("expected, every", [(401, 6), (900, 6), (901, 7), (3_600, 24)])
def test_a_tenth_of_a_second_each_and_at_most_150(expected: int, every: int) -> None:
    preview = Preview(60, expected)
    assert (preview.every, preview.seconds) == (every, 0.1)


def test_the_pictures_are_the_game_s() -> None:
    preview, pictures = Preview(60, 401), []

    def show(picture: np.ndarray) -> None:
        pictures.append(picture)
        preview.add(picture)

    play(make_player(header(SHORT), render=True), random_game(11, SHORT), show)
    gif, size = preview.gif()
    assert size == (160, 210)
    shown = frames_of(gif)
    # A picture that does not change is shown for longer instead of again.
    assert sum(duration for _, duration in shown) == 100 * len(range(0, 401, 6))
    position = 0
    for frame, duration in shown:
        np.testing.assert_array_equal(frame, pictures[position])
        position += 6 * duration // 100


def test_large_and_noisy_pictures_are_made_small() -> None:
    rng = np.random.default_rng(0)
    preview = Preview(30, 60)
    for _ in range(60):
        preview.add(rng.integers(0, 256, (400, 600, 3), dtype=np.uint8))
    gif, size = preview.gif()
    assert size == (300, 200)
    assert len(gif) <= MAX_BYTES
    assert [duration for _, duration in frames_of(gif)] == [200] * 10  # every second one of twenty
