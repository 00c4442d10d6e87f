"""Words against numbers: parsing, labels, nulls, and how often labels are withheld."""

from __future__ import annotations

import pytest
import torch

from common.errors import UserError
from gen_models.diffusion.conditions import NO, NULL, YES, Condition, Vocabulary, drop

WORDS = Vocabulary(("horse", "bird"), ("white", "spread"), ("stl10", "cifar10"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("horse", (1, 0, 0, 0)),
        ("bird", (2, 0, 0, 0)),
        ("white", (0, YES, 0, 0)),
        ("no-spread", (0, 0, NO, 0)),
        ("horse+white+cifar10", (1, YES, 0, 2)),
        (" Spread + BIRD ", (2, 0, YES, 0)),
        ("stl10", (0, 0, 0, 1)),
        ("horse+horse", (1, 0, 0, 0)),
    ],
)
def test_words_become_values(text: str, values: tuple[int, ...]) -> None:
    assert WORDS.parse(text) == Condition(text, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hors", "unknown condition 'hors' (known: horse, bird, white, no-white, spread, no-spread, stl10, cifar10); "
                 "did you mean 'horse'?"),
        ("horse+wings", "unknown condition 'wings' in 'horse+wings'"),
        ("horse+", "unknown condition '' in 'horse+'"),
        ("horse+bird", "the condition 'horse+bird' says two things about the class; choose one"),
        ("white+no-white", "the condition 'white+no-white' says two things about the white; choose one"),
    ],
)  # fmt: skip
def test_unknown_conditions_give_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        WORDS.parse(text)
    assert message in str(raised.value) and raised.value.status == 2


def test_one_name_for_two_things_is_refused() -> None:
    with pytest.raises(UserError, match="two things: horse"):
        Vocabulary(("horse", "bird"), (), ("horse", "cifar10"))


def test_labels_of_images_begin_after_the_null_in_every_column() -> None:
    labels = WORDS.labels(
        torch.tensor([0, 1, -1]),
        {"spread": torch.tensor([0, 1, -1], dtype=torch.int8), "white": torch.tensor([1, -1, 0], dtype=torch.int8)},
        torch.tensor([1, 0, 0]),
    )
    assert labels.tolist() == [[1, YES, NO, 2], [2, NULL, YES, 1], [NULL, NO, NULL, 1]]
    assert labels.dtype == torch.int64


def test_no_value_is_the_null_and_every_value_fits_its_column() -> None:
    classes, sources = torch.arange(2).repeat(2), torch.arange(2).repeat_interleave(2)
    for attribute in (0, 1):
        attributes = {name: torch.full((4,), attribute) for name in WORDS.attributes}
        labels = WORDS.labels(classes, attributes, sources)
        assert (labels != NULL).all()
        assert (labels < torch.tensor(WORDS.sizes)).all()
    assert WORDS.sizes == (3, 3, 3, 3) and WORDS.null.values == (0, 0, 0, 0)


def test_a_single_source_says_nothing() -> None:
    alone = Vocabulary(("horse",))
    assert alone.sizes == (2, 1)
    assert alone.labels(torch.tensor([0]), {}, torch.tensor([0])).tolist() == [[1, 0]]


def test_labels_are_withheld_as_often_as_set_and_each_column_by_itself() -> None:
    labels = torch.full((100_000, 4), 2)
    dropped = drop(labels, (0.15, 0.5, 0.0, 1.0), torch.Generator().manual_seed(1)) == NULL
    # Standard error of a share of 100,000: at most 0.0016.
    assert dropped.double().mean(0).tolist() == pytest.approx([0.15, 0.5, 0.0, 1.0], abs=0.007)
    assert (dropped[:, 0] & dropped[:, 1]).double().mean().item() == pytest.approx(0.075, abs=0.005)
    assert (labels == 2).all(), "the labels themselves stay"


def test_all_labels_of_an_image_are_withheld_together_as_often_as_set() -> None:
    labels = torch.ones((100_000, 3), dtype=torch.int64)
    dropped = drop(labels, (0.0, 0.2, 0.2), torch.Generator().manual_seed(2), together=0.1) == NULL
    assert dropped.all(dim=1).double().mean().item() == pytest.approx(0.1, abs=0.005)
    assert dropped[:, 0].equal(dropped.all(dim=1))
    assert dropped[:, 1].double().mean().item() == pytest.approx(1 - 0.9 * 0.8, abs=0.007)


def test_the_same_generator_withholds_the_same() -> None:
    labels = torch.ones((50, 2), dtype=torch.int64)
    first, second = (drop(labels, (0.5, 0.5), torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.equal(second) and 0 < first.sum() < 100


@pytest.mark.parametrize("name", ["a b=3", "x,y", "x+y", "", " horse", "a\nb", "no-white"])
def test_names_that_cannot_be_asked_for_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be asked for as a condition; rename it|two things: no-white"):
        Vocabulary((name, "bird"), ("white",))
    assert Vocabulary(("great horse", "bird")).parse("great horse").values == (1, 0)
