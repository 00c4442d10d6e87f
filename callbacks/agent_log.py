"""The agent log of the 2021 assignment, ``agent-log.txt``: one line for every episode, numbered from 1.

    model.learn(200_000, callback=AgentLogCallback("agent-log.txt"))

Credits: the assignment's starter code for the format.
"""

from __future__ import annotations

from typing import Any

from callbacks.episodes import LogCallback

AGENT_LINE = "episode: {}, reward: {}"


class AgentLogCallback(LogCallback):
    """Writes the agent log; the reward is the episode's raw return as Python prints a float.

    :param path: the log, which must not exist
    """

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Write the episode's line."""
        self.write(AGENT_LINE.format(episode + 1, score) + "\n")
        return True
