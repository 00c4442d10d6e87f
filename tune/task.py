"""What a search needs of a task: a space, the values to begin with, and a way to try values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from optuna.trial import BaseTrial

Direction = Literal["maximize", "minimize"]
Params = dict[str, Any]
"""What a space made of a trial: the values with which the task runs."""


class Progress(Protocol):
    """How a running trial tells how far it is."""

    def report(self, budget: int, value: float) -> bool:
        """Tell a value by the budget reached, in the task's own unit.

        :return: whether the trial is to be pruned
        """

    def spent(self, steps: int) -> None:
        """Tell the steps made by this trial so far; called often."""


@dataclass(frozen=True)
class Outcome:
    """What a trial gave.

    :param values: one an objective
    :param per_seed: for each seed its values, one an objective
    """

    values: tuple[float, ...]
    per_seed: tuple[tuple[float, ...], ...]


class Pruned(Exception):
    """``Progress.report`` said so, and the task has stopped."""


class Task(Protocol):
    """What is searched."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What each objective measures, with its unit."""

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each objective is better."""

    def space(self, trial: BaseTrial) -> Params:
        """The values of a trial, each suggested by it."""

    def defaults(self) -> dict[str, Any]:
        """The values, by the names in the space, with which the search begins: those that are used now."""

    def definition(self) -> Mapping[str, Any]:
        """All that decides an objective's value beside the trial's parameters, as JSON can hold it."""

    def run(self, params: Params, seeds: Sequence[int], folder: Path, progress: Progress) -> Outcome:
        """Try values with every seed. What lies in the folder from an attempt before is gone on with.

        :raises Pruned: when ``progress.report`` said so
        :raises UserError: when the values cannot be tried, or the result is not finite
        """
