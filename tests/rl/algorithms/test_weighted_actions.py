"""Random actions with probabilities of their own: how often they come, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UserError
from rl.algorithms.weighted_actions import WeightedActions, check_probabilities


def test_actions_come_as_often_as_their_probabilities_say() -> None:
    actions = WeightedActions((0.3, 0.6, 0.1), seed=1)
    drawn = np.array([actions.sample() for _ in range(4000)])
    # Within four standard deviations of a binomial.
    for action, probability in enumerate((0.3, 0.6, 0.1)):
        spread = np.sqrt(probability * (1 - probability) / 4000)
        assert abs((drawn == action).mean() - probability) < 4 * spread
    again = WeightedActions((0.3, 0.6, 0.1), seed=1)
    assert [again.sample() for _ in range(20)] == drawn[:20].tolist()
    certain = WeightedActions((0.0, 1.0), seed=0)
    assert {int(certain.sample()) for _ in range(20)} == {1}


def test_neither_mask_nor_other_probabilities_are_taken() -> None:
    with pytest.raises(ValueError, match="probabilities of their own"):
        WeightedActions((0.5, 0.5)).sample(np.ones(2, np.int8))


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (
            (0.33, 0.33, 0.33),
            "--probabilities 0.33 0.33 0.33: they add to 0.99, not to 1; leave --probabilities out for equal ones",
        ),
        ((0.5, 0.5), "2 probabilities for 3 actions; give one for each"),
        ((1.2, -0.1, -0.1), "probabilities go from 0 to 1"),
        ((float("nan"), 0.5, 0.5), "probabilities go from 0 to 1"),
    ],
)
def test_what_is_no_distribution_is_refused(probabilities: tuple[float, ...], message: str) -> None:
    with pytest.raises(UserError) as raised:
        check_probabilities(probabilities, 3, "--probabilities")
    assert message in str(raised.value)


def test_thirds_are_a_distribution() -> None:
    check_probabilities((1 / 3, 1 / 3, 1 / 3), 3, "--probabilities")
    check_probabilities((0.3, 0.6, 0.1), 3, "--probabilities")
