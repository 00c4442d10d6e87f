"""The interface between a search and its task: search space, default values, and the run of a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from optuna.trial import BaseTrial

Direction = Literal["maximize", "minimize"]
Params = dict[str, Any]
"""The values that a space returns for a trial, with which the task runs."""


class Progress(Protocol):
    """Receives the progress of a running trial."""

    def report(self, budget: int, value: float) -> bool:
        """Report an intermediate value.

        :param budget: the budget reached, in the task's unit
        :return: whether the trial is to be pruned
        """

    def spent(self, steps: int) -> None:
        """Report the number of steps of this trial so far; called often."""


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    :param values: one per objective
    :param per_seed: for each seed its values, one per objective
    """

    values: tuple[float, ...]
    per_seed: tuple[tuple[float, ...], ...]


class Pruned(Exception):
    """Raised by a task that stopped because ``Progress.report`` returned True."""


class Task(Protocol):
    """The subject of a search."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The name of each objective, with its unit."""

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Whether each objective is maximised or minimised."""

    def space(self, trial: BaseTrial) -> Params:
        """The values of a trial, made of the parameters that it suggests."""

    def defaults(self) -> dict[str, Any]:
        """The parameters of the first trial, which give the values in use."""

    def definition(self) -> Mapping[str, Any]:
        """Everything besides the trial's parameters that affects an objective's value, ready for JSON."""

    def run(self, params: Params, seeds: Sequence[int], folder: Path, progress: Progress) -> Outcome:
        """Run the values with every seed. The work of an earlier attempt in the folder is continued.

        :raises Pruned: when ``progress.report`` returned True
        :raises UserError: when the values cannot be run, or the result is not finite
        """
