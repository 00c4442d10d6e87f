"""Base classes of the callbacks that count whole games.

At the end of a whole game Stable-Baselines3's ``Monitor`` puts ``episode`` into the info, as do this project's
environments. ``dones`` may also mean that a life was lost, so they are not counted. Games are numbered from 0 in the
order in which they finish, ties by the environment's index.

Credits: Stable-Baselines3's ``BaseCallback`` and ``Monitor`` (Raffin et al. 2021).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from common.append_log import AppendLog


class EpisodeCallback(BaseCallback):
    """Calls ``on_episode`` for every finished game.

    A subclass that has state of its own extends ``state`` and ``load_state``, so that checkpoints hold it.
    """

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.n_episodes = 0  # games finished so far, which is also the number of the next one
        self.key = type(self).__name__
        """The name of the state in a checkpoint; has to differ between callbacks of one training."""

    @abstractmethod
    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """A game has finished.

        :param episode: its number, from 0
        :param score: its raw score, points
        :param info: the environment's info of its last step
        :return: False to end the training
        """

    def state(self) -> dict[str, Any]:
        """The callback's state: numbers, strings, lists and dictionaries that JSON can hold."""
        return {"n_episodes": self.n_episodes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state. Called before the training starts."""
        self.n_episodes = int(state["n_episodes"])

    def state_in(self, states: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """This callback's state among those of a checkpoint.

        :param states: by key
        """
        return states[self.key]

    def close(self) -> None:
        """Called when the training ends in any way, by an exception too. May be called again."""

    def _on_step(self) -> bool:
        go_on = True
        for info in self.locals["infos"]:
            if "episode" in info:
                go_on &= self.on_episode(self.n_episodes, float(info["episode"]["r"]), info)
                self.n_episodes += 1
        return go_on


class LogCallback(EpisodeCallback):
    """Writes a log line by line, without a buffer.

    A log is never overwritten. After ``load_state`` it is cut back to its length in the state and goes on from there.

    :param path: the log, which must not exist unless ``load_state`` is called
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.path = Path(path)
        self._log: AppendLog | None = None

    def first_lines(self) -> str:
        """The header of a new log, such as column names."""
        return ""

    def write(self, text: str) -> None:
        """Append text, which ends with a newline.

        :raises UserError: when the disk is full (status 1)
        """
        assert self._log is not None
        self._log.write(text)

    def state(self) -> dict[str, Any]:
        """Also the length of the log in bytes, after an fsync."""
        assert self._log is not None
        return {**super().state(), "bytes": self._log.synced_length()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Open the log again and cut off everything beyond the length in the state.

        :raises UserError: when the log is shorter than that (status 1)
        """
        super().load_state(state)
        self._log = AppendLog(self.path, state["bytes"])

    def _init_callback(self) -> None:
        if self._log is None:
            self._log = AppendLog(self.path, first_lines=self.first_lines())
