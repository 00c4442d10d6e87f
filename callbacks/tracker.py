"""Sends what the model's logger writes to an experiment tracker as well.

    model.learn(1_000_000, callback=TrackerCallback(Tracker("wandb", "gravitar", Path("runs/first"), settings)))

Credits: Stable-Baselines3's ``KVWriter``; wandb's own integration for the idea.
"""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.logger import KVWriter

from callbacks.episodes import EpisodeCallback
from common.tracking import Tracker


class TrackerWriter(KVWriter):
    """An output of Stable-Baselines3's logger."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Send the numbers; what is kept from TensorBoard is kept from the tracker, too."""
        values = {
            key: float(value)
            for key, value in key_values.items()
            if "tensorboard" not in (key_excluded.get(key) or ()) and isinstance(value, int | float)
        }
        self.tracker.log(values, step)

    def close(self) -> None:
        """Nothing: the callback closes the tracker."""


class TrackerCallback(EpisodeCallback):
    """Adds the tracker to the outputs of the model's logger.

    :param tracker: closed with the callback
    """

    def __init__(self, tracker: Tracker) -> None:
        super().__init__()
        self.tracker = tracker

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Nothing: scores come through the logger."""
        return True

    def close(self) -> None:
        """Close the tracker."""
        self.tracker.close()

    def _on_training_start(self) -> None:
        self.logger.output_formats.append(TrackerWriter(self.tracker))
