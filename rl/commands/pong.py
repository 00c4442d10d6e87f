"""The command ``run_pong.py train``: an agent for Pong, or for another Atari game with the homework's log.

    run_pong.py train --name first
    run_pong.py train --preset homework --action-probabilities 0.3 0.6 0.1 --epsilon-decay 4000000 --timesteps 5000000

Credits: a homework of 2020 on deep Q-networks.
"""

from __future__ import annotations

from rl.commands.pong_options import PongTrainSettings
from rl.replicates import train_for


def train_pong(user: PongTrainSettings) -> None:
    """Train in ``RUNS/pong/NAME``, or launch trainings if the settings have a launcher.

    :raises UserError: for settings that cannot be used, or a folder that exists
    """
    train_for(user, "pong")
