"""The command ``run_walker.py train``: an agent for BipedalWalker.

run_walker.py train --algo crossq --seed 42
run_walker.py train --algo tqc --hardcore --timesteps 2000000

Credits: O. Klimov's BipedalWalker in gymnasium (Towers et al. 2024, arXiv 2407.17032); the assignment of 2021.
"""

from __future__ import annotations

import dataclasses

from common.errors import UserError
from rl.commands.walker_options import HARDCORE, WALKER, WalkerTrainSettings
from rl.options import TrainSettings
from rl.replicates import train_for

TASK = "walker"


def train_walker(user: WalkerTrainSettings) -> None:
    """Train in ``RUNS/walker/NAME``, or launch trainings if the settings have a launcher.

    :raises UserError: for settings that cannot be used, or a folder that exists
    """
    train_for(user, TASK, train_settings)


def train_settings(user: WalkerTrainSettings) -> TrainSettings:
    """The same settings as those of any environment.

    :raises UserError: for ``hardcore`` with another environment
    """
    if user.hardcore and user.env not in (WALKER, HARDCORE):
        raise UserError(f"--hardcore is for BipedalWalker, not for {user.env}; leave one of them out")
    env = HARDCORE if user.hardcore else user.env
    own = {field.name: getattr(user, field.name) for field in dataclasses.fields(user) if field.name != "hardcore"}
    parts = (user.algo, "hardcore" if env == HARDCORE else None, str(user.seed))
    name = user.name or "-".join(part for part in parts if part)
    return TrainSettings(**{**own, "env": env, "name": name, "threads": 1})
