"""The log and the figure of the goals that games reach, from a tape of games."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from callbacks.goals import GoalsCallback, _trailing


def info(visited: list[int], chosen: list[int], reached: list[int]) -> dict[str, Any]:
    return {"goals": {"visited": visited, "chosen": chosen, "reached": reached}}


def test_a_line_for_each_game_and_a_figure(tmp_path: Path) -> None:
    callback = GoalsCallback(tmp_path / "goals.csv", ["key", "door"], every=2)
    callback._init_callback()
    callback.on_episode(0, 0.0, info([1, 0], [3, 1], [2, 0]))
    assert not (tmp_path / "goals.png").exists()
    callback.on_episode(1, 400.0, info([1, 1], [2, 2], [1, 1]))
    assert (tmp_path / "goals.csv").read_text() == (
        "episode,score,key visited,key chosen,key reached,door visited,door chosen,door reached\n"
        "0,0,1,3,2,0,1,0\n"
        "1,400,1,2,1,1,2,1\n"
    )
    assert (tmp_path / "goals.png").read_bytes()[1:4] == b"PNG"


def test_a_mean_is_of_a_hundred_games_at_most() -> None:
    values = np.array([1.0] * 50 + [0.0] * 150)
    means = _trailing(values)
    assert means[49] == 1.0 and means[99] == 0.5 and means[124] == 0.25 and means[199] == 0.0
