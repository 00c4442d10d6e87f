"""The trace of every finished game: its seed and actions, with which ``run_gravitar.py replay`` replays it exactly.

A game of Gravitar by random actions (about 600 steps) takes about 600 bytes; a trained agent's takes less per action.

The environment has to put the trace into its info. This project's environments do so; any other gymnasium environment
does when it is wrapped in ``rl.envs.gym_env.SeededEpisodes``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callbacks.episodes import LogCallback
from common.errors import UserError
from common.traces import TracedEpisode, TraceHeader


class EpisodeTraceCallback(LogCallback):
    """Writes one line per game to a trace file.

    :param path: the trace file, which must not exist
    :param header: describes the environment, see ``rl.envs.make_env.trace_header``
    """

    def __init__(self, path: Path | str, header: TraceHeader) -> None:
        super().__init__(path)
        self.header = header

    def first_lines(self) -> str:
        """The line that describes the environment."""
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
