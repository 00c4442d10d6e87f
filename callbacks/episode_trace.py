"""Traces of every finished game: seed and actions, from which ``run_gravitar.py replay`` plays it again exactly.

A random game of Gravitar (about 600 steps) takes about 600 bytes, a trained agent's less an action.

The environment has to put the trace into its info. This project's environments do; any other gymnasium environment
does once it is wrapped in ``rl.envs.gym_env.SeededEpisodes``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callbacks.episodes import LogCallback
from common.errors import UserError
from common.traces import TracedEpisode, TraceHeader


class EpisodeTraceCallback(LogCallback):
    """Writes one line a game into a trace file.

    :param path: the trace file, which must not exist
    :param header: the environment that the traces belong to (``rl.envs.make_env.trace_header`` makes it)
    """

    def __init__(self, path: Path | str, header: TraceHeader) -> None:
        super().__init__(path)
        self.header = header

    def first_lines(self) -> str:
        """The header."""
        return self.header.line()

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the game's line.

        :raises UserError: when the environment gives no trace
        """
        if "trace" not in info:
            raise UserError(
                "the environment gives no traces; wrap it in SeededEpisodes (docs/callbacks.md), directly around "
                "gymnasium.make"
            )
        self.write(TracedEpisode(episode, score, int(info["episode"]["l"]), info["trace"]).line())
        return True
