"""The batch of each step: every image once an epoch, the same random numbers for any number of processes, and no
state.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import UserError
from gen_models.images.image_set import ImageSet, to_model_space
from gen_models.options import TrainSettings
from gen_models.training.data import (
    BATCH,
    NOISE,
    Batch,
    Batches,
    digest,
    labels_of,
    load_training_images,
    seed_of,
    shifted,
    table_folder,
    vocabulary_of,
)
from gen_models.training.settings import LearningSettings, resolve

RANDOM = np.random.default_rng(0)
IMAGES = ImageSet(
    RANDOM.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8),
    np.arange(10) % 3 - 1,
    ("horse", "bird"),
    np.arange(10) % 2,
    ("stl10", "cifar10"),
    {"white": (np.arange(10) % 3 - 1).astype(np.int8)},
)
WORDS = vocabulary_of(IMAGES, attributes=True)
LABELS = labels_of(IMAGES, WORDS)


def learning(**changes: Any) -> LearningSettings:
    return dataclasses.replace(resolve(TrainSettings(preset="smoke", batch_size=4)).learning, **changes)


def batches(rank: int = 0, processes: int = 1, seed: int = 7, **changes: Any) -> Batches:
    return Batches(IMAGES, LABELS, WORDS, learning(**changes), seed, rank, processes)


def test_every_image_comes_once_in_each_epoch_and_the_orders_differ() -> None:
    ours = batches()
    seen = np.concatenate([ours.indices(step) for step in range(15)])  # 60 images: 6 epochs across batch borders
    epochs = seen.reshape(6, 10)
    assert (np.sort(epochs, axis=1) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 6


def test_a_batch_larger_than_the_data_is_filled() -> None:
    indices = batches(batch_size=25).indices(0)
    assert np.bincount(indices[:20]).tolist() == [2] * 10
    assert len(set(indices[20:].tolist())) == 5 and len(indices) == 25


def parts(batch: Batch) -> list[torch.Tensor]:
    return [batch.x, batch.eps, batch.t, batch.labels]


@pytest.mark.parametrize("step", [0, 2])
def test_the_processes_parts_make_the_whole_batch(step: int) -> None:
    whole = parts(batches().at(step))
    both = [parts(batches(rank, 2).at(step)) for rank in range(2)]
    for expected, first, second in zip(whole, *both, strict=True):
        assert torch.cat([first, second]).equal(expected)


def test_a_step_does_not_depend_on_those_before_it() -> None:
    used = batches()
    for step in range(5):
        used.at(step)
    for ours, expected in zip(parts(used.at(5)), parts(batches().at(5)), strict=True):
        assert ours.equal(expected)


def test_steps_and_seeds_differ() -> None:
    first = batches().at(0)
    assert not first.eps.equal(batches().at(1).eps)
    assert not first.eps.equal(batches(seed=8).at(0).eps)
    assert seed_of(7, BATCH, 1) != seed_of(7, NOISE, 1) != seed_of(7, NOISE, 2)


def test_images_come_with_their_labels_and_half_of_them_mirrored() -> None:
    ours = batches(class_dropout=0.0, attribute_dropout=0.0, source_dropout=0.0, all_dropout=0.0)
    originals = to_model_space(IMAGES.images)
    mirrored = 0
    for step in range(100):
        batch = ours.at(step)
        for x, labels, index in zip(batch.x, batch.labels, ours.indices(step), strict=True):
            assert labels.equal(LABELS[index])
            turned = x.equal(originals[index].flip(-1))
            assert turned or x.equal(originals[index])
            mirrored += turned
    assert 150 < mirrored < 250  # of 400, standard deviation 10


def test_without_flips_none_is_mirrored() -> None:
    ours = batches(flips=False)
    assert ours.at(3).x.equal(to_model_space(IMAGES.images[ours.indices(3)]))


def test_shifts_by_hand() -> None:
    """Down by one and to the right by two, then up and to the left; what comes in is the reflection of what was."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(2, 1, 1, 1)
    first, second = shifted(x, torch.tensor([[1, 2], [-1, -2]]))[:, 0].tolist()
    assert first == [[6, 5, 4, 5], [2, 1, 0, 1], [6, 5, 4, 5], [10, 9, 8, 9]]
    assert second == [[6, 7, 6, 5], [10, 11, 10, 9], [14, 15, 14, 13], [10, 11, 10, 9]]


def test_images_move_by_up_to_the_shift_and_nothing_else_changes() -> None:
    ours, still = batches(flips=False, shift=2), batches(flips=False)
    found = set()
    for step in range(40):
        for x, index in zip(ours.at(step).x, ours.indices(step), strict=True):
            original = to_model_space(IMAGES.images[index : index + 1])
            (offset,) = [
                (down, right)
                for down in range(-2, 3)
                for right in range(-2, 3)
                if shifted(original, torch.tensor([[down, right]]))[0].equal(x)
            ]
            found.add(offset)
        assert all(a.equal(b) for a, b in zip(parts(ours.at(step))[1:], parts(still.at(step))[1:], strict=True))
    assert len(found) == 25  # of 160 draws


def test_labels_are_withheld_as_set() -> None:
    ours = batches(batch_size=5_000, class_dropout=0.2, attribute_dropout=0.4, source_dropout=0.0, all_dropout=0.0)
    known = LABELS[torch.from_numpy(ours.indices(0))] != 0
    withheld = ((ours.at(0).labels == 0) & known).sum(0) / known.sum(0)
    assert withheld.tolist() == pytest.approx([0.2, 0.4, 0.0], abs=0.03)


def test_each_time_is_as_frequent_as_any_other_within_a_batch() -> None:
    t = batches(batch_size=1_000).at(0).t
    assert t.dtype == torch.int64 and t.min() >= 0 and t.max() <= 999
    assert torch.bincount(t // 100, minlength=10).tolist() == pytest.approx([100] * 10, abs=1)


def test_noise_is_standard_normal() -> None:
    eps = batches(batch_size=1_000).at(0).eps
    assert eps.mean().item() == pytest.approx(0, abs=0.01) and eps.std().item() == pytest.approx(1, abs=0.01)


def test_words_are_those_of_the_images() -> None:
    assert (WORDS.classes, WORDS.attributes, WORDS.sources) == (("horse", "bird"), ("white",), ("stl10", "cifar10"))
    alone = dataclasses.replace(IMAGES, sources=np.zeros(10, np.int64), source_names=("stl10",))
    assert vocabulary_of(alone, attributes=False).columns == ("class", "source")
    assert vocabulary_of(alone, attributes=False).sources == ()


def test_an_attribute_that_no_image_has_is_no_word() -> None:
    never = dataclasses.replace(IMAGES, attributes={"white": np.zeros(10, np.int8), "spread": np.ones(10, np.int8)})
    assert vocabulary_of(never, attributes=True).attributes == ("spread",)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "cifar10-train-32"),
        (
            {"specs": ("stl10", "npz:/a/my data.npz"), "unlabeled": True, "split": "all"},
            "stl10-my-data-all-unlabeled-32",
        ),
        ({"specs": ("folder:a/b", "sprites:20")}, "b-20-train-32"),
    ],
)
def test_the_table_of_attributes_is_known_by_its_images(changes: dict[str, Any], name: str) -> None:
    settings = dataclasses.replace(resolve(TrainSettings(preset="cifar-cpu", downloads=Path("here"))).data, **changes)
    assert table_folder(settings) == Path("here/attributes") / name


def test_names_of_classes_are_refused_before_attributes_are_looked_for(tmp_path: Path) -> None:
    names = np.array(["a=3", "bird"])
    np.savez(tmp_path / "a.npz", images=IMAGES.images, labels=np.arange(10) % 2, class_names=names)
    options = TrainSettings(preset="smoke", data=(f"npz:{tmp_path / 'a.npz'}",), downloads=tmp_path / "downloads")
    with pytest.raises(UserError, match="'a=3' cannot be asked for as a condition"):
        load_training_images(resolve(options).data)
    assert not (tmp_path / "downloads").exists()


def test_the_digest_knows_pixels_and_labels() -> None:
    other = IMAGES.images.copy()
    other[0, 0, 0, 0] ^= 1
    digests = {
        digest(IMAGES, LABELS),
        digest(dataclasses.replace(IMAGES, images=other), LABELS),
        digest(IMAGES, LABELS.flip(0)),
    }
    assert len(digests) == 3 and digest(IMAGES, LABELS.clone()) in digests
