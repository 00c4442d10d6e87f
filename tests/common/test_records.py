"""Dataclasses to plain values and back, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from common.records import difference, from_plain, plain


@dataclass(frozen=True)
class Inner:
    widths: tuple[int, ...]
    kind: Literal["v", "epsilon"] = "v"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rate: float
    on: bool
    name: str | None = None
    versions: dict[str, str] = field(default_factory=dict)


WHOLE = Outer(Inner((1, 2), "epsilon"), 0.5, True, "a", {"torch": "2"})
PLAIN: dict[str, Any] = {
    "inner": {"widths": [1, 2], "kind": "epsilon"}, "rate": 0.5, "on": True, "name": "a", "versions": {"torch": "2"},
}  # fmt: skip


def test_there_and_back() -> None:
    assert plain(WHOLE) == PLAIN
    assert from_plain(Outer, PLAIN) == WHOLE


def test_what_is_left_out_takes_its_default_and_whole_numbers_may_stand_for_others() -> None:
    assert from_plain(Outer, {"inner": {"widths": []}, "rate": 1, "on": False}) == Outer(Inner(()), 1.0, False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the content cannot be None"),
        ([1], "the content cannot be"),
        ({**PLAIN, "rat": 1}, "unknown rat; did you mean 'rate'"),
        ({"inner": {"widths": []}, "on": True}, "rate is missing"),
        ({**PLAIN, "inner": {}}, "inner.widths is missing"),
        ({**PLAIN, "inner": 3}, "inner cannot be 3"),
        ({**PLAIN, "inner": {"widths": [1, "2"]}}, r"inner.widths\[1\] cannot be '2'"),
        ({**PLAIN, "inner": {"widths": 3}}, "inner.widths cannot be 3"),
        ({**PLAIN, "inner": {"widths": [], "kind": "x"}}, "inner.kind cannot be 'x'"),
        ({**PLAIN, "rate": "fast"}, "rate cannot be 'fast'"),
        ({**PLAIN, "rate": True}, "rate cannot be True"),
        ({**PLAIN, "on": 1}, "on cannot be 1"),
        ({**PLAIN, "name": 3}, "name cannot be 3"),
        ({**PLAIN, "versions": {"torch": 2}}, "versions.torch cannot be 2"),
        (PLAIN | {3: 4}, "unknown 3"),
    ],
)
def test_other_types_are_refused_by_name(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, content)


@dataclass(frozen=True)
class Choice:
    """Unions and pairs."""

    skip: int | tuple[int, int]
    name: str | None = None


def test_unions_and_pairs() -> None:
    for content in ({"skip": 4, "name": None}, {"skip": [2, 5], "name": "drawn"}):
        assert plain(from_plain(Choice, content)) == content
    assert from_plain(Choice, {"skip": [2, 5]}) == Choice((2, 5))
    for wrong in ("4", [2, 5, 6], [2, "5"], None):
        with pytest.raises(ValueError, match="skip"):
            from_plain(Choice, {"skip": wrong})
    with pytest.raises(ValueError, match="name cannot be 3"):
        from_plain(Choice, {"skip": 4, "name": 3})


@dataclass(frozen=True)
class Whole:
    """A record in a record."""

    size: int
    inner: Choice
    free: dict[str, Any]


def test_the_first_difference_by_its_dotted_name() -> None:
    before = Whole(1, Choice(4), {"a": 1, "b": 2})
    assert difference(before, before, ()) is None
    assert difference(before, Whole(2, Choice(5), {}), ()) == "size = 1, not 2"
    assert difference(before, Whole(2, Choice((2, 5)), {}), ("size",)) == "inner.skip = 4, not [2, 5]"
    assert difference(before, Whole(1, Choice(4), {"a": 1, "c": 3}), ()) == "free.b = 2, not None"
    assert difference(before, Whole(1, Choice(4), {"a": 1, "b": 2, "c": 3}), ("free.b",)) == "free.c = None, not 3"
    assert difference(before, Whole(2, Choice(5), {}), ("size", "inner", "free")) is None
