"""The works that agents are trained for: the program, the folder of its runs, and the log that its assignment asks for.

Credits: the assignments of 2020 (Gravitar) and 2021 (BipedalWalker), and a homework of 2020 (Pong), for the logs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from callbacks.agent_log import AgentLogCallback
from callbacks.episodes import LogCallback
from callbacks.interaction_log import InteractionLogCallback
from callbacks.marking_log import MarkingLogCallback


@dataclass(frozen=True)
class Task:
    """One of the works.

    :param program: the file whose commands train, resume and replay its runs
    :param log_name: the log in a run folder
    :param log: makes the callback that writes it
    :param curve_every: episodes between figures of the learning curve during a training
    :param curve_interval: episodes in each of its means; None for the last 100 at every episode
    """

    program: str
    log_name: str
    log: Callable[[Path], LogCallback]
    curve_every: int
    curve_interval: int | None = None


# By the names of the folders of their runs.
TASKS = {
    "gravitar": Task("run_gravitar.py", "gravitar-log.txt", MarkingLogCallback, 500),
    "pong": Task("run_pong.py", "pong-log.txt", InteractionLogCallback, 50),
    "walker": Task("run_walker.py", "agent-log.txt", AgentLogCallback, 10, 10),
}
