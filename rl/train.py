"""Training of an agent, from settings to a run folder.

Credits: Stable-Baselines3 (Raffin et al. 2021) for the training loop and its callbacks.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from callbacks.budget import StopAtEpisodes
from callbacks.checkpoint import CheckpointCallback
from callbacks.episode_trace import EpisodeTraceCallback
from callbacks.episode_video import EpisodeVideoCallback
from callbacks.learning_curve import LearningCurveCallback
from callbacks.marking_log import MarkingLogCallback
from callbacks.monitor_csv import MonitorCsvCallback
from callbacks.progress import ProgressCallback
from callbacks.scores import ScoreScalarsCallback
from common.run_folder import RunFolder, git_commit, package_versions
from common.scores.statistics import bootstrap_interval
from rl.agent import build_agent
from rl.make_env import find_spec, is_atari, make_vec_env, trace_header
from rl.settings import RunSettings, TrainSettings, resolve

TASK = "gravitar"
MARKING_LOG = "gravitar-log.txt"
RANDOM_PLAY = 173  # points: mean of random play, Badia et al. 2020 (arXiv 2003.13350), table 11
PACKAGES = ("stable-baselines3", "sb3-contrib", "gymnasium", "ale-py", "torch", "numpy")
ENDLESS = 10**12  # steps of a run whose budget is counted in games


def train(user: TrainSettings) -> None:
    """Train as the user says; the results are in ``RUNS/gravitar/NAME``."""
    settings = dataclasses.replace(resolve(user), versions=package_versions(PACKAGES), git_commit=git_commit())
    path = user.runs / TASK / settings.name
    env = make_vec_env(settings.environment, settings.n_envs, settings.seed)
    try:
        model = build_agent(settings, env, path / "tensorboard")
        folder = RunFolder.create(path, settings.to_yaml())
        print(f"training {settings.algo} on {settings.environment.env_id} ({settings.environment.obs}) in {path}")
        scores = ScoreScalarsCallback()
        model.learn(
            ENDLESS if settings.episodes else settings.timesteps,
            callback=CallbackList([scores, *run_callbacks(settings, folder)]),
            log_interval=10 if settings.algo == "ppo" else 100,
        )
    finally:
        env.close()
    print(_summary(settings, folder, scores))


def run_callbacks(settings: RunSettings, folder: RunFolder) -> list[BaseCallback]:
    """What records a run, in the order in which they have to see each game (the trace before the video)."""
    callbacks: list[BaseCallback] = [
        EpisodeTraceCallback(folder.traces, trace_header(settings.environment)),
        MonitorCsvCallback(folder.monitor, settings.environment.env_id),
        MarkingLogCallback(folder.path / MARKING_LOG),
        LearningCurveCallback(folder.learning_curve, environment=settings.environment.env_id),
        CheckpointCallback(folder.checkpoints, settings.checkpoint_every),
        ProgressCallback(settings.episodes or settings.timesteps, settings.episodes is not None),
    ]
    if settings.video_every and is_atari(settings.environment.env_id):
        callbacks.append(
            EpisodeVideoCallback(
                folder.traces, folder.videos, every=settings.video_every, tensorboard=folder.tensorboard
            )
        )
    if settings.episodes:
        callbacks.append(StopAtEpisodes(settings.episodes))
    return callbacks


def _summary(settings: RunSettings, folder: RunFolder, scores: ScoreScalarsCallback) -> str:
    lines = [f"the run is in {folder.path}: {MARKING_LOG}, learning-curve.png, videos/, checkpoints/, traces/"]
    if not scores.n_episodes:
        return "\n".join([*lines, "no game has finished; give it more steps"])
    last = np.array(scores.last_100)
    mean = last.mean()
    lines.append(f"{scores.n_episodes:,} games; mean of the last {last.size}: {mean:.0f}, best {scores.best:.0f}")
    if find_spec(settings.environment.env_id).kwargs.get("game") == "gravitar":
        low, high = bootstrap_interval(last, np.mean, generator=np.random.default_rng(settings.seed))
        verdict = "beats" if low > RANDOM_PLAY else "does not yet clearly beat"
        lines.append(
            f"the agent {verdict} random play: {RANDOM_PLAY} points, 95% interval of the mean [{low:.0f}, {high:.0f}]"
        )
    return "\n".join(lines)
