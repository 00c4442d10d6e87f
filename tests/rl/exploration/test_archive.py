"""The archive: which states it keeps, which it chooses, and that it comes back from its arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from common.npz import pack_arrays, unpack_arrays
from rl.envs.atari_game import AtariGame, GameSettings
from rl.exploration.archive import Archive, Entry, Lineage, State, StateParts
from rl.exploration.games import Moment

START = Lineage(None, b"")


def entry(cell: int, score: int = 0, lives: int = 6, fuel: int = 0, line: Lineage = START) -> Entry:
    """A made-up state; cells differ by their stage."""
    return Entry(Moment((cell,), (7, 7), score, lives, fuel), State(b"%d" % cell, (b"1 2 ",)), 3, line)


def test_states_are_taken_apart_and_put_together() -> None:
    game = AtariGame(GameSettings("gravitar"))
    for with_generator in (True, False):
        parts = StateParts(game.save_state(with_generator))
        rng = np.random.default_rng(1)
        game.reset(9)
        for _ in range(200):
            game.step(int(rng.integers(18)))
            state = game.save_state(with_generator)
            split = parts.split(state)
            assert parts.join(split) == state
            assert len(split.body) < 700 and len(split.words) == 1 + with_generator


def test_the_state_with_more_lives_and_fuel_is_kept() -> None:
    archive = Archive(100)
    assert archive.offer(entry(1, fuel=500))
    assert not archive.offer(entry(1, fuel=500))
    assert archive.offer(entry(1, fuel=501))
    assert not archive.offer(entry(1, lives=5, fuel=501))
    archive.entries[0].visits = 4
    assert archive.offer(entry(1, lives=6, fuel=900))
    assert len(archive) == 1 and archive.entries[0].visits == 4, "the visits are the cell's"
    assert archive.entries[0].moment.fuel == 900


def test_the_best_has_the_highest_score_then_the_most_left() -> None:
    archive = Archive(100)
    for one in (entry(1, 250, fuel=900), entry(2, 500, lives=2), entry(3, 500, lives=3), entry(4, 250)):
        archive.offer(one)
    assert archive.best().moment.stage == (3,)


def test_a_visited_cell_promises_less() -> None:
    archive = Archive(100)
    archive.offer(entry(1, score=100))
    archive.offer(entry(2, score=75))
    generator = np.random.default_rng(0)
    # With 24 draws out of two cells both are drawn. The first leads by 25 points: three visits make it second.
    assert [archive.choose(generator).moment.stage[0] for _ in range(6)] == [1, 1, 1, 2, 1, 2]


def test_a_full_archive_forgets_the_least_promising_but_never_the_best() -> None:
    archive = Archive(20)
    for cell in range(20):
        archive.offer(entry(cell, score=100 * cell))
    archive.entries[19].visits = 10_000  # the best score, but promising nothing
    archive.offer(entry(50, score=5))
    kept = {one.moment.stage[0] for one in archive.entries}
    assert kept == {*range(2, 19), 1, 19, 50}
    archive.offer(entry(1, score=1, fuel=3))
    assert len(archive) == 20, "it is found by its cell after the others have moved"


def test_actions_since_the_start() -> None:
    first = Lineage(START, b"\1\2")
    assert Lineage(first, b"\3").all_actions() == b"\1\2\3"


@pytest.fixture
def explored() -> Archive:
    archive = Archive(50)
    line = START
    for cell in range(60):
        line = Lineage(line, bytes([cell, cell + 1])) if cell % 7 else Lineage(START, bytes([cell]))
        archive.offer(entry(cell % 40, score=10 * cell, fuel=cell, line=line))
    archive.choose(np.random.default_rng(2))
    return archive


def test_it_comes_back_from_its_arrays(explored: Archive) -> None:
    again = Archive.from_arrays(unpack_arrays(pack_arrays(explored.arrays(), compress=False)))
    assert (again.max_cells, again.best().moment, len(again)) == (50, explored.best().moment, len(explored))
    for ours, theirs in zip(again.entries, explored.entries, strict=True):
        assert (ours.moment, ours.state, ours.last_action, ours.visits) == (
            theirs.moment, theirs.state, theirs.last_action, theirs.visits,
        )  # fmt: skip
        assert ours.line.all_actions() == theirs.line.all_actions()
    one, other = np.random.default_rng(5), np.random.default_rng(5)
    choices = [(explored.choose(one).moment, again.choose(other).moment) for _ in range(100)]
    assert all(ours == theirs for ours, theirs in choices)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays.pop("bodies"),
        lambda arrays: arrays.update(words=arrays["words"][:-1]),
        lambda arrays: arrays.update(visits=arrays["visits"][:-1]),
        lambda arrays: arrays.update(parents=arrays["parents"] + 1_000),
    ],
)
def test_arrays_that_do_not_fit_each_other(explored: Archive, spoil: Callable[[dict[str, Any]], object]) -> None:
    arrays = explored.arrays()
    spoil(arrays)
    with pytest.raises((ValueError, KeyError)):
        Archive.from_arrays(arrays)
