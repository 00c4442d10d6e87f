"""Dataclasses to plain values and back, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from common.records import from_plain, plain


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
        ({**PLAIN, 3: 4}, "unknown 3"),
    ],
)
def test_other_types_are_refused_by_name(content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, content)
