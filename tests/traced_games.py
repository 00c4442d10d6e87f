"""Games of the real emulator with random play, and the run folders that they would leave, for the tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import ale_py
import numpy as np

from common.traces import Trace, TracedEpisode, TraceHeader
from rl.envs.atari_game import AtariGame, GameSettings

# What the fixtures of tests/rl give: the steps that an environment was seen to do, and functions over them.
Tape = list[dict[str, Any]]
Play = Callable[..., Tape]
EpisodeEnds = Callable[[Tape], Tape]
Replay = Callable[[GameSettings, Trace], tuple[float, int, bool, bool]]

GRAVITAR = GameSettings("gravitar")
SHORT = GameSettings("gravitar", max_frames=400)  # cut after 100 steps


def header(settings: GameSettings = GRAVITAR) -> TraceHeader:
    """The header of a trace file of this game."""
    versions = {"ale-py": ale_py.__version__, "gymnasium": "0.0.1"}  # the latter does not count for Atari
    return TraceHeader("ALE/Gravitar-v5", game=settings.rules(), versions=versions)


@cache
def _loaded(settings: GameSettings) -> AtariGame:
    return AtariGame(settings)


def random_game(seed: int, settings: GameSettings = GRAVITAR, episode: int = 0) -> TracedEpisode:
    """A whole game of random play."""
    game = _loaded(settings)
    game.reset(seed)
    rng = np.random.default_rng(seed)
    actions: list[int] = []
    score = 0.0
    while not (game.game_over() or game.truncated()):
        actions.append(int(rng.integers(len(game.actions))))
        score += game.step(actions[-1])[0]
    trace = Trace(seed, np.zeros(0, np.uint8), np.array(actions, np.uint8))
    return TracedEpisode(episode, score, len(actions), trace)


def write_run(folder: Path, first: TraceHeader, episodes: list[TracedEpisode]) -> Path:
    """A run folder with these episodes in its trace, ``monitor.csv`` and marking log (a line for every second)."""
    (folder / "traces").mkdir(parents=True)
    (folder / "traces" / "episodes.jsonl").write_text(first.line() + "".join(each.line() for each in episodes))
    rows = [f"{each.score},{each.length},1.5\n" for each in episodes]
    (folder / "monitor.csv").write_text('#{"t_start": 0.0}\nr,l,t\n' + "".join(rows))
    marking = "marking, episode: {}, score: {:.1f}, mean_score: 1.00, std_score: 0.00\nepisode: {}, score: {:.1f}\n"
    lines = [marking.format(each.episode, each.score, each.episode, each.score) for each in episodes[::2]]
    (folder / "gravitar-log.txt").write_text("".join(lines))
    (folder / "settings.yml").write_text(f"environment:\n  env_id: {first.env_id}\n")
    return folder
