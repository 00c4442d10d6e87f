"""``monitor.csv`` of a whole run: one line a game with raw score, length and time, whatever the number of environments.

Credits: Stable-Baselines3's ``Monitor`` for the format, so that its plotting tools read the file.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO, Any

from callbacks.episodes import EpisodeCallback, open_new


class MonitorCsvCallback(EpisodeCallback):
    """Writes ``r`` (raw score, points), ``l`` (length, agent steps) and ``t`` (seconds since the start) of each game.

    :param path: the file, which must not exist; Stable-Baselines3's tools look for names that end in ``monitor.csv``
    :param env_id: the environment's id, for the first line
    """

    def __init__(self, path: Path | str, env_id: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.env_id = env_id
        self._file: IO[str] | None = None

    def _init_callback(self) -> None:
        if self._file is None:
            self._file = open_new(self.path)
            self._file.write("#" + json.dumps({"t_start": time.time(), "env_id": self.env_id}) + "\nr,l,t\n")

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the game's line."""
        assert self._file is not None
        self._file.write(f"{score},{info['episode']['l']},{info['episode']['t']}\n")
        return True
