"""Numbers of flags that are too small."""

from __future__ import annotations

import math

import pytest

from common.errors import UserError, check_at_least, check_counts


def test_numbers_in_range_and_flags_that_were_not_given_pass() -> None:
    check_at_least(1, {"--a": 1, "--b": None, "--c": 10**12})
    check_at_least(0, {"--a": 0, "--b": 0.0, "--c": None, "--d": 0.25})


@pytest.mark.parametrize(
    ("least", "value", "message"),
    [
        (1, 0, "--b must be at least 1, not 0"),
        (1, -12345678, "--b must be at least 1, not -12345678"),
        (0, -1, "--b must be 0 or more, not -1"),
        (0, -0.5, "--b must be 0 or more, not -0.5"),
        (0, -1.0, "--b must be 0 or more, not -1"),
        (0, math.inf, "--b must be 0 or more, not inf"),
        (0, math.nan, "--b must be 0 or more, not nan"),
    ],
)
def test_the_first_that_is_not_is_named(least: int, value: float, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_at_least(least, {"--a": 1, "--b": value, "--c": -7})
    assert str(error.value) == message and error.value.status == 2


def test_counts_have_two_bounds() -> None:
    check_counts(9, {"--a": None, "--b": 1, "--c": 9})
    with pytest.raises(UserError, match="--b must be at least 1, not 0"):
        check_counts(9, {"--a": 3, "--b": 0})
    with pytest.raises(UserError, match="--b 10: at most 9"):
        check_counts(9, {"--a": 3, "--b": 10})
