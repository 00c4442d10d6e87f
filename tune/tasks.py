"""The tasks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tune.settings import StudySettings
from tune.task import Task


def _gravitar(study: Any) -> Task:
    from tune.gravitar_task import GravitarTask

    return GravitarTask(study)


def _pegasus(study: Any) -> Task:
    from tune.pegasus_task import PegasusTask  # loads diffusers, which takes seconds

    return PegasusTask(study)


# By the settings' ``task``. A further task needs settings of its own in ``settings.KINDS``.
TASKS: dict[str, Callable[[Any], Task]] = {"gravitar": _gravitar, "pegasus": _pegasus}


def make_task(settings: StudySettings) -> Task:
    """The task of a study's settings.

    :raises UserError: for an unknown name, and for budgets that are too small for the search space
    """
    return TASKS[settings.task](settings)
