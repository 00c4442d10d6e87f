"""One game that an agent plays without exploring, in the middle of its training and without a trace in it.

Credits: V. Mnih et al. 2013 (arXiv 1312.5602), who evaluate their agents while they learn.
"""

from __future__ import annotations

from typing import Any, cast

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from common.seeds import derive_seed
from rl.envs.make_env import EnvironmentSettings, make_vec_env

EVALUATION = 1_000_003  # in place of an environment's index, so that no episode of the training has such a seed


class GreedyGames:
    """Games for ``callbacks.interaction_log``: each has a seed of its own, which follows from the run's and its number.

    :param environment: that of the training
    :param seed: the run's
    """

    def __init__(self, environment: EnvironmentSettings, seed: int) -> None:
        self.environment = environment
        self.seed = seed

    def __call__(self, model: BaseAlgorithm, episode: int) -> float:
        """Play a whole game with the best actions.

        The environment is a new one each time: no number of games before decides how this one goes.

        :param episode: its number
        :return: its raw score, points
        """
        env = make_vec_env(self.environment, 1, derive_seed((self.seed, EVALUATION, episode), bits=32))
        try:
            return _score(model, env)
        finally:
            env.close()


def _score(model: BaseAlgorithm, env: VecEnv) -> float:
    observations = env.reset()
    while True:
        actions, _ = model.predict(cast(Any, observations), deterministic=True)
        observations, _, _, infos = env.step(actions)
        if "episode" in infos[0]:
            return float(infos[0]["episode"]["r"])
