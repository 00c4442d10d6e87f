"""The log of a homework on deep Q-networks, ``pong-log.txt``.

Every episode has a line with its number from 1, the agent steps so far, its reward and the exploration rate. Every
tenth one, from the first on, is followed by the reward of a game that the agent plays without exploring.

    Episode: 1, interaction_steps: 2048, reward: 12, epsilon: 0.997972
    Evaluation: True, episode: 1, interaction_steps: 2048, evaluate reward: 0

Credits: the homework, of 2020, for both formats.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import Schedule

from callbacks.episodes import LogCallback

EPISODE_LINE = "Episode: {}, interaction_steps: {}, reward: {:g}, epsilon: {:.6f}"
EVALUATION_LINE = "Evaluation: True, episode: {}, interaction_steps: {}, evaluate reward: {:g}"

Evaluate = Callable[[BaseAlgorithm, int], float]
"""Plays a game with a model, without exploring, after an episode (its number from 0); returns its raw score."""


class InteractionLogCallback(LogCallback):
    """Writes the log.

    :param path: the log, which must not exist
    :param evaluate: plays the games of the evaluation; None for no lines about them
    :param every: episodes between them
    """

    def __init__(self, path: Path | str, evaluate: Evaluate | None = None, every: int = 10) -> None:
        super().__init__(path)
        self.evaluate = evaluate
        self.every = every

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the lines of this episode."""
        self.write(EPISODE_LINE.format(episode + 1, self.num_timesteps, score, self._epsilon()) + "\n")
        if self.evaluate is not None and episode % self.every == 0:
            reward = self.evaluate(self.model, episode)
            self.write(EVALUATION_LINE.format(episode + 1, self.num_timesteps, reward) + "\n")
            self.logger.record("evaluation/reward", reward)
        return True

    def _epsilon(self) -> float:
        """Epsilon after the steps so far; the model's own is that of the step before. 0 where there is none."""
        schedule: Schedule | None = getattr(self.model, "exploration_schedule", None)
        return 0.0 if schedule is None else schedule(1 - self.num_timesteps / self.model._total_timesteps)
