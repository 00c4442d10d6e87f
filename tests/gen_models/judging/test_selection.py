"""The selection: a subset, whatever the order, better than chance in its own terms, without copies."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest

from common.errors import UserError
from gen_models.judging.measured import Measured
from gen_models.judging.neighbours import Neighbours, pairwise
from gen_models.judging.selection import lifts, outputs_for, ranks, select
from gen_models.options import SelectionWeights

BASE = np.array([0.25, 0.25, 0.5], np.float32)
HORSE_AND_BIRD = [(0,), (1,)]


def sampled(n: int = 80, seed: int = 0) -> Measured:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    probabilities = rng.dirichlet([1, 1, 1], size=n).astype(np.float32)
    distances = np.sort(rng.uniform(0.1, 0.12, size=(n, 2)), axis=1).astype(np.float32)
    neighbours = Neighbours(rng.integers(0, 9, (n, 2)), distances)
    features, numbers = rng.normal(size=(n, 4)).astype(np.float32), rng.random((2, n)).astype(np.float32)
    return Measured(images, features, probabilities, numbers[0], numbers[1], neighbours, neighbours)


def test_selection_is_a_subset_and_does_not_depend_on_the_order() -> None:
    measured, weights = sampled(), SelectionWeights()
    selection = select(measured, 16, HORSE_AND_BIRD, BASE, weights)
    assert len(set(selection.kept.tolist())) == 16 and set(selection.kept.tolist()) <= set(range(80))
    order = np.random.default_rng(5).permutation(80)
    again = select(measured.take(order), 16, HORSE_AND_BIRD, BASE, weights)
    assert order[again.kept].tolist() == selection.kept.tolist()
    assert order[again.best] == selection.best


def test_order_has_no_say_where_all_scores_are_equal() -> None:
    measured, weights = sampled(), SelectionWeights(0, 0, 0, 0)
    order = np.arange(80)[::-1]
    kept = select(measured, 8, [], BASE, weights).kept
    assert order[select(measured.take(order), 8, [], BASE, weights).kept].tolist() == kept.tolist()


def test_selection_beats_chance_in_each_of_its_terms() -> None:
    measured = sampled(200)
    selection = select(measured, 20, HORSE_AND_BIRD, BASE, SelectionWeights(1, 1, 1, 0))
    for term in (selection.lift, selection.whiteness, selection.distance):
        assert term[selection.kept].mean() > term.mean() + 0.5 * term.std()
    assert selection.score[selection.best] == selection.score.max()
    different = select(measured, 20, HORSE_AND_BIRD, BASE, SelectionWeights(0, 0, 0, 1)).kept
    by_chance = np.mean([spread(measured, np.arange(k, k + 20)) for k in range(0, 180, 20)])
    assert spread(measured, different) > 1.5 * by_chance


def spread(measured: Measured, which: np.ndarray) -> float:
    """The least distance between two of them in features."""
    distances = pairwise(measured.features[which], measured.features[which])
    return float(distances[np.triu_indices(len(which), k=1)].min())


def test_weight_of_a_single_term_sorts_by_it() -> None:
    measured = sampled()
    kept = select(measured, 5, [], BASE, SelectionWeights(0, 1, 0, 0)).kept
    assert kept.tolist() == np.argsort(-measured.whiteness)[:5].tolist()


def test_memorised_images_and_near_duplicates_come_last() -> None:
    measured = sampled(10)
    measured.pixel_neighbours.distances[3] = (0.01, 0.1)
    images = measured.images.copy()
    images[7] = images[2]
    measured = dataclasses.replace(measured, images=images)
    selection = select(measured, 8, HORSE_AND_BIRD, BASE, SelectionWeights())
    assert 3 not in selection.kept and len({2, 7} & set(selection.kept.tolist())) == 1
    assert selection.memorised.tolist() == [k == 3 for k in range(10)]
    last = select(measured, 10, HORSE_AND_BIRD, BASE, SelectionWeights()).kept[8:].tolist()
    assert 3 in last and len({2, 7} & set(last)) == 1


def test_memorised_images_come_last_whatever_diversity_weighs() -> None:
    measured = sampled(10)
    measured.pixel_neighbours.distances[3] = (0.01, 0.1)
    measured.features[3] = 1000  # far from all others
    assert select(measured, 10, [], BASE, SelectionWeights(diversity_weight=5)).kept[-1] == 3


def test_lift_by_hand() -> None:
    """Twice as probable a horse and a half as probable a bird as in real images: 0 on the mean."""
    probabilities = np.array([[0.5, 0.125, 0.375], [0.25, 0.25, 0.5], [1, 0, 0]], np.float32)
    found = lifts(probabilities, HORSE_AND_BIRD, BASE)
    assert found == pytest.approx([0, 0, (np.log(4) + np.log(0.001 / 0.25)) / 2], abs=1e-6)
    assert lifts(probabilities, [], BASE).tolist() == [0, 0, 0]


def test_ranks_by_hand() -> None:
    assert ranks(np.array([3.0, 1.0, 1.0, 7.0])) == pytest.approx([2 / 3, 1 / 6, 1 / 6, 1])
    assert ranks(np.ones(3)).tolist() == [0.5] * 3


def test_words_and_the_outputs_that_speak_for_them() -> None:
    outputs = ("horse", "bird", "airplane")
    assert outputs_for(["horse", "spread", "white"], outputs) == [(0,), (1, 2)]
    assert outputs_for(["spread"], ("horse", "bird")) == [(1,)]


def test_table_names_every_sampled_image() -> None:
    selection = select(sampled(12), 4, HORSE_AND_BIRD, BASE, SelectionWeights())
    rows = list(csv.DictReader(io.StringIO(selection.to_csv(range(100, 112)))))
    assert [row["image"] for row in rows] == [str(100 + k) for k in range(12)]
    kept = sorted((int(row["kept"]), int(row["image"]) - 100) for row in rows if row["kept"])
    assert [index for _, index in kept] == selection.kept.tolist()


@pytest.mark.parametrize("keep", [0, 11])
def test_more_than_were_sampled_cannot_be_kept(keep: int) -> None:
    with pytest.raises(UserError, match=f"cannot keep {keep} of 10 images"):
        select(sampled(10), keep, [], BASE, SelectionWeights())


def test_negative_weights_are_refused() -> None:
    with pytest.raises(UserError, match="--white-weight -1: a number from 0"):
        select(sampled(10), 2, [], BASE, SelectionWeights(white_weight=-1))
