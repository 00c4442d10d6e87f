"""The command ``watch``: let a trained agent play one whole game, and show it or make its video.

run_gravitar.py watch results/gravitar/ppo-ram

Credits: M. Towers et al. 2024 (arXiv 2407.17032) for the meaning of a seed, by which the
game can be played again.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from common.errors import UserError, check_at_least
from common.traces import Trace, TracedEpisode
from common.video_names import game_name, video_file_name
from rl.envs.make_env import trace_header
from rl.evaluate import open_agent, plays_greedily
from rl.options import WatchSettings
from rl.registration import is_atari
from rl.replay import render_with_bar
from rl.traces.playback import AtariPlayer, make_player, play
from rl.traces.screens import Closed, Screen, Terminal, Window, has_display


def watch(user: WatchSettings) -> None:
    """Play the game, show it or write its video, and print its score.

    :raises UserError: for a missing run or checkpoint, weights that do not fit, or a game that is not Atari's
    """
    check_at_least(0, {"--seed": user.seed})
    if not user.speed > 0:
        raise UserError(f"--speed {user.speed:g}: how fast it is shown is above 0")
    with open_agent(user.run, user.checkpoint, user.seed, n_envs=1) as (settings, _, model, env):
        if not is_atari(settings.environment.env_id):
            raise UserError(f"{settings.environment.env_id} is not an Atari game; watch plays those alone")
        traced = play_one_game(model, env, plays_greedily(user.policy, settings.algo), user.seed)
    header = trace_header(settings.environment)
    screen = None if user.output else open_screen(f"{user.run.name} plays {settings.environment.env_id}", user.speed)
    result = f"{traced.score:g} points in {traced.length} steps"
    if screen is not None:
        try:
            play(make_player(header, render=True), traced, screen.show)
        except Closed:
            pass
        finally:
            screen.close()
        print(result)
        return
    folder = (user.output or Path("runs/watched")) / user.run.name
    path = folder / video_file_name(game_name(header), traced.episode, traced.score, "video")
    video = render_with_bar(header, traced, path)
    print(f"{result}, {video.frames / video.fps:.0f} s\n{path}")


def open_screen(title: str, speed: float) -> Screen | None:
    """A window where there is a display and pygame, else the terminal; None where there is neither.

    :param speed: in times the game's own
    """
    if has_display() and importlib.util.find_spec("pygame"):
        return Window(title, AtariPlayer.fps * speed)
    return Terminal(AtariPlayer.fps * speed) if sys.stdout.isatty() else None


def play_one_game(model: BaseAlgorithm, env: VecEnv, greedy: bool, number: int) -> TracedEpisode:
    """Play until a game is over.

    :param env: one environment, whose infos have ``episode`` and ``trace``
    :param greedy: take the best action; else sample it
    :param number: of the episode that is returned
    """
    observations = env.reset()
    while True:
        actions, _ = model.predict(cast(Any, observations), deterministic=greedy)
        observations, _, _, (info,) = env.step(np.asarray(actions))
        if "trace" in info:
            trace: Trace = info["trace"]
            return TracedEpisode(number, info["episode"]["r"], info["episode"]["l"], trace)
