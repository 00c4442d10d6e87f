"""The command ``watch``: let a trained agent play one whole game, and make its video.

run_gravitar.py watch results/gravitar/ppo-ram

Credits: M. Towers et al. 2024 (arXiv 2407.17032) for the meaning of a seed, by which the
game can be played again.
"""

from __future__ import annotations

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


def watch(user: WatchSettings) -> None:
    """Play the game, write the video and print its score.

    :raises UserError: for a missing run or checkpoint, weights that do not fit, or a game that is not Atari's
    """
    check_at_least(0, {"--seed": user.seed})
    with open_agent(user.run, user.checkpoint, user.seed, n_envs=1) as (settings, _, model, env):
        if not is_atari(settings.environment.env_id):
            raise UserError(f"{settings.environment.env_id} is not an Atari game; watch plays those alone")
        traced = play_one_game(model, env, plays_greedily(user.policy, settings.algo), user.seed)
    header = trace_header(settings.environment)
    path = user.output / user.run.name / video_file_name(game_name(header), traced.episode, traced.score, "video")
    video = render_with_bar(header, traced, path)
    print(f"{traced.score:g} points in {traced.length} steps, {video.frames / video.fps:.0f} s\n{path}")


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
