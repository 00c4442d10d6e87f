"""Train the agent of a submission: again with the submitted settings, or with others.

    python -m submission.train_agent                         # the settings.yml beside the program's folders
    python -m submission.train_agent again --seed 743 --name other
    python -m submission.train_agent train --preset smoke
    python -m submission.train_agent resume runs/gravitar/other

Credits: tyro for the command line; see the other files for what the training builds on.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass

from common.cli import run_cli
from common.device import usable_device
from common.run_folder import check_name
from rl.options import ResumeSettings, TrainSettings
from rl.settings import RunSettings
from rl.train import resume, train, train_new
from submission.again import AgainSettings


@dataclass(frozen=True)
class AgentAgainSettings(AgainSettings):
    """Train an agent with the settings of a run."""

    episodes: int | None = None
    """Another budget, in whole games. Default: the run's budget."""


def again(user: AgentAgainSettings) -> None:
    """Train; the results are in ``RUNS/TASK/NAME``.

    :raises UserError: for settings that cannot be read, or a folder that exists
    """
    settings = RunSettings.from_yaml(user.settings)
    settings = dataclasses.replace(
        settings,
        seed=settings.seed if user.seed is None else user.seed,
        name=check_name(user.name or settings.name),
        episodes=user.episodes or settings.episodes,
        device=usable_device("auto"),
    )
    train_new(settings, user.runs / settings.task / settings.name)


if __name__ == "__main__":
    sys.exit(
        run_cli(
            {
                "again": (AgentAgainSettings, again),
                "train": (TrainSettings, train),
                "resume": (ResumeSettings, resume),
            },
            sys.argv[1:] or ["again"],
            about=__doc__,
        )
    )
