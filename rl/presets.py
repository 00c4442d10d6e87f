"""Sets of defaults of ``run_pong.py train``, which other options override.

Rows have options by their names; ``config`` is a file in ``rl_zoo_configs/``, ``set`` has hyperparameters by algorithm.

Credits: a homework of 2020 on deep Q-networks; Mnih et al. 2013 (arXiv 1312.5602).
"""

from __future__ import annotations

from typing import Any

THREE_ACTIONS = ("NOOP", "UP", "DOWN")

PONG_PRESETS: dict[str, dict[str, Any]] = {
    # Hours on one core: RAM, QR-DQN with n-step returns and priorities.
    "fast": {
        "algo": "qrdqn",
        "obs": "ram",
        "protocol": "pong",
        "actions": THREE_ACTIONS,
        "exploration": "independent",
    },
    # The homework: three actions, epsilon down to 0.01 after a million interaction steps.
    "homework": {
        "algo": "dqn",
        "obs": "pixels",
        "protocol": "sb3",
        "actions": THREE_ACTIONS,
        "exploration": "independent",
        "epsilon_decay": 1_000_000,
        "timesteps": 2_000_000,
    },
    # The first DQN, on all actions of the game.
    "dqn2013": {
        "algo": "dqn",
        "obs": "pixels",
        "protocol": "sb3",
        "exploration": "independent",
        "config": "dqn2013.yml",
    },
    # Seconds, for checking an installation.
    "smoke": {
        "algo": "qrdqn",
        "obs": "ram",
        "protocol": "pong",
        "actions": THREE_ACTIONS,
        "timesteps": 4_000,
        "n_envs": 2,
        "set": {
            "qrdqn": {"learning_starts": 500, "policy_kwargs": "dict(net_arch=[32], n_quantiles=10)"},
            "dqn": {"learning_starts": 500, "policy_kwargs": "dict(net_arch=[32])"},
        },
    },
}
