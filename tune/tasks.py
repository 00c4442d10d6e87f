"""From a study's settings to its task.

Credits: none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tune.gravitar_task import GravitarTask
from tune.pegasus_task import PegasusTask
from tune.settings import StudySettings
from tune.task import Task

# By the settings' ``task``. Another task is a space and a run function, with settings of its own in ``settings.KINDS``.
TASKS: dict[str, Callable[[Any], Task]] = {"gravitar": GravitarTask, "pegasus": PegasusTask}


def make_task(settings: StudySettings) -> Task:
    """The task.

    :raises UserError: for settings that name nothing, and a space that cannot be satisfied
    """
    return TASKS[settings.task](settings)
