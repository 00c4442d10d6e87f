"""``monitor.csv``: one line per game with its raw score, length and time, one file for all environments of a run.

Credits: Stable-Baselines3's ``Monitor`` for the format, so that its plotting tools read the file.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from callbacks.episodes import LogCallback


class MonitorCsvCallback(LogCallback):
    """Writes ``r`` (raw score, points), ``l`` (length, agent steps) and ``t`` (seconds since the start) of each game.

    :param path: the file, which must not exist; Stable-Baselines3's tools look for names that end in ``monitor.csv``
    :param env_id: the environment's id, for the first line
    """

    def __init__(self, path: Path | str, env_id: str) -> None:
        super().__init__(path)
        self.env_id = env_id

    def first_lines(self) -> str:
        """The JSON line and the column names, as ``Monitor`` writes them."""
        return "#" + json.dumps({"t_start": time.time(), "env_id": self.env_id}) + "\nr,l,t\n"

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the game's line."""
        self.write(f"{score},{info['episode']['l']},{info['episode']['t']}\n")
        return True
