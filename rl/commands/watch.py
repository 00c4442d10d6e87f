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
from common.video_names import first_episode, game_name, video_file_name
from rl.envs.make_env import trace_header
from rl.evaluate import open_agent, plays_greedily
from rl.options import WatchSettings
from rl.replay import render_with_bar
from rl.traces.playback import make_player, play
from rl.traces.screens import Closed, Screen, Terminal, Window, has_display


def watch(user: WatchSettings) -> None:
    """Play the game, show it or write its video, and print its score.

    :raises UserError: for a missing run or checkpoint, weights that do not fit, or an environment without pictures
    """
    check_at_least(0, {"--seed": user.seed})
    if not user.speed > 0:
        raise UserError(f"--speed {user.speed:g}: how fast it is shown is above 0")
    with open_agent(user.run, user.checkpoint, user.seed, n_envs=1) as (settings, _, model, env):
        header = trace_header(settings.environment)
        player = make_player(header, render=True)
        number = user.seed - first_episode(game_name(header))  # the video's name has the seed
        traced = play_one_game(model, env, plays_greedily(user.policy, settings.algo), number)
    title = f"{user.run.name} plays {settings.environment.env_id}"
    screen = None if user.output else open_screen(title, player.fps * user.speed)
    result = f"{traced.score:g} points in {traced.length} steps"
    if screen is not None:
        try:
            play(player, traced, screen.show)
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


def open_screen(title: str, fps: float) -> Screen | None:
    """A window where there is a display and pygame, else the terminal; None where there is neither.

    :param fps: pictures a second
    """
    if has_display() and importlib.util.find_spec("pygame"):
        return Window(title, fps)
    return Terminal(fps) if sys.stdout.isatty() else None


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
