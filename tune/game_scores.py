"""The scores of a training's games with the steps at which they finished, stored in the checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from callbacks.checkpoint import STATE, WEIGHTS
from callbacks.episodes import EpisodeCallback
from common.checkpoints import latest_checkpoint
from common.errors import UserError
from common.scores.statistics import interquartile_mean


class NoGames(UserError):
    """No game finished in the part of the budget that counts."""


class GameScores(EpisodeCallback):
    """Records the raw score of each game, in points, and the agent steps of the training when it finished.

    :param on_steps: called after every step of the environments with the agent steps so far
    """

    def __init__(self, on_steps: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.on_steps = on_steps
        self.steps: list[int] = []
        self.scores: list[float] = []

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Record the game."""
        self.steps.append(self.num_timesteps)
        self.scores.append(score)
        return True

    def _on_step(self) -> bool:
        if self.on_steps is not None:
            self.on_steps(self.num_timesteps)
        return super()._on_step()

    def state(self) -> dict[str, Any]:
        """Also the steps and scores."""
        return {**super().state(), "steps": self.steps, "scores": self.scores}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the steps and scores."""
        super().load_state(state)
        self.steps, self.scores = list(state["steps"]), list(state["scores"])


def steps_reached(checkpoints: Path) -> int:
    """The agent steps of the latest checkpoint; 0 where there is none."""
    latest = latest_checkpoint(checkpoints)
    return 0 if latest is None else int(json.loads((latest / STATE).read_text())["timesteps"])


def read_score(checkpoints: Path, budget: int, last: float, whole: int) -> float:
    """Interquartile mean of the raw scores of the games that finished in the last part of a budget, points.

    :param checkpoints: folder of the checkpoints of a training with ``GameScores``, which has reached the budget
    :param budget: agent steps
    :param last: the part of the budget, at its end, in which games count; above 0, at most 1
    :param whole: the whole budget of the training; games that end after it, in the last rollout, count as well
    :raises NoGames: when no game finished in that part (status 1)
    :raises UserError: when scores or weights are not finite (status 1)
    """
    latest = latest_checkpoint(checkpoints)
    assert latest is not None
    where = checkpoints.parent
    states = json.loads((latest / STATE).read_text())["callbacks"]
    if GameScores.__name__ not in states:
        raise UserError(f"{where} was gone on with outside of the search", status=1)
    steps = np.array(states[GameScores.__name__]["steps"])
    scores = np.array(states[GameScores.__name__]["scores"])
    counted = scores[(steps > budget * (1 - last)) & ((steps <= budget) | (budget >= whole))]
    if counted.size == 0:
        raise NoGames(
            f"{where}: no game finished in the last {last:.0%} of {budget:,} steps; give more steps", status=1
        )
    if not np.isfinite(counted).all():
        raise UserError(f"{where}: a score is not finite", status=1)
    for name, weights in load_file(latest / WEIGHTS).items():
        if not np.isfinite(weights).all():
            raise UserError(f"{where}: the weights {name} are not finite", status=1)
    return float(interquartile_mean(counted))
