"""The base of the callbacks that count whole games.

Stable-Baselines3's ``Monitor`` puts ``info["episode"]`` where a whole game ended, and this project's environments do
the same; ``dones`` also say where a life was lost, so they are never counted. Games are numbered from 0 in the order in
which they finish, ties by the environment's index.

Credits: Stable-Baselines3's ``BaseCallback`` and ``Monitor`` (Raffin et al. 2021).
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import IO, Any

from stable_baselines3.common.callbacks import BaseCallback

from common.errors import UserError


class EpisodeCallback(BaseCallback):
    """Calls ``on_episode`` for every finished game."""

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.n_episodes = 0  # games finished so far, which is also the number of the next one

    @abstractmethod
    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """A game has finished.

        :param episode: its number, from 0
        :param score: its raw score, points
        :param info: the environment's info of its last step
        :return: False to end the training
        """

    def _on_step(self) -> bool:
        go_on = True
        for info in self.locals["infos"]:
            if "episode" in info:
                go_on &= self.on_episode(self.n_episodes, float(info["episode"]["r"]), info)
                self.n_episodes += 1
        return go_on


def open_new(path: Path) -> IO[str]:
    """Open a log that is written line by line, each line at once.

    :raises UserError: when the file exists (logs are never overwritten) or cannot be written
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("x", buffering=1, newline="\n")
    except FileExistsError as error:
        raise UserError(f"{path} exists and is never overwritten; move it or choose another name") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another folder", status=1) from error
