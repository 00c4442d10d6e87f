"""From a study's settings to its task."""

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


# By the settings' ``task``. Another task is a space and a run function, with settings of its own in ``settings.KINDS``.
TASKS: dict[str, Callable[[Any], Task]] = {"gravitar": _gravitar, "pegasus": _pegasus}


def make_task(settings: StudySettings) -> Task:
    """The task.

    :raises UserError: for settings that name nothing, and a space that cannot be satisfied
    """
    return TASKS[settings.task](settings)
