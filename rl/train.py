"""Training of an agent in a run folder, and its exact resumption after a stop or a kill.

Credits: Stable-Baselines3 (Raffin et al. 2021) for the training loop and its callbacks.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.vec_env import VecEnv

from callbacks.budget import StopAtEpisodes, StopAtMean
from callbacks.checkpoint import CheckpointCallback
from callbacks.episode_trace import EpisodeTraceCallback
from callbacks.episode_video import EpisodeVideoCallback
from callbacks.episodes import EpisodeCallback
from callbacks.goals import GoalsCallback
from callbacks.interaction_log import InteractionLogCallback
from callbacks.learning_curve import LearningCurveCallback
from callbacks.monitor_csv import MonitorCsvCallback
from callbacks.pause import PauseCallback, Paused
from callbacks.predicted_q import PredictedQCallback
from callbacks.progress import ProgressCallback
from callbacks.scores import ScoreHistory, ScoreScalarsCallback
from callbacks.signals import SignalCallback
from callbacks.tracker import TrackerCallback
from common.checkpoints import check_budget, choose_checkpoint, discard_after, latest_checkpoint
from common.errors import UserError
from common.extras import check_installed
from common.files import write_atomic
from common.options import TrackerName
from common.parallel import one_torch_thread
from common.records import difference
from common.run_folder import RunFolder, check_new, git_commit, package_versions, warn_of_other_versions
from common.scores.plots import GRAVITAR_REFERENCES
from common.scores.statistics import bootstrap_interval
from common.tracking import Tracker
from rl.agent import build_agent, explore_by, load_policy
from rl.agent_state import buffer_chunks, capture, restore
from rl.envs.episode_vec_env import EpisodeVecEnv
from rl.envs.make_env import goal_names, is_resumable, make_vec_env, trace_header
from rl.envs.saved_starts import SavedStarts
from rl.exploration.settings import is_search
from rl.exploration.starts import STARTS, read_starts, starts_of
from rl.explore import resume_search
from rl.greedy_game import GreedyGames
from rl.options import ResumeSettings, TrainSettings
from rl.registration import find_spec, is_atari
from rl.settings import ENDLESS, RunSettings, resolve
from rl.tasks import TASKS

PACKAGES = ("stable-baselines3", "sb3-contrib", "gymnasium", "ale-py", "box2d", "torch", "numpy")
RENDERER = "rl.traces.render_worker"  # run in a process of its own, beside the training


def train(user: TrainSettings, task: str = "gravitar") -> None:
    """Train an agent in the folder ``RUNS/TASK/NAME``.

    :param task: a key of ``rl.tasks.TASKS``
    :raises UserError: for settings that cannot be used, or a folder that exists
    """
    settings = dataclasses.replace(resolve(user, task), versions=package_versions(PACKAGES), git_commit=git_commit())
    path = user.runs / task / settings.name
    if not user.resume_if_exists:
        check_new(path)
    if user.resume_if_exists and path.exists():
        before = RunSettings.from_yaml(path / "settings.yml")
        refuse_changes(before, settings if user.threads else dataclasses.replace(settings, threads=before.threads))
        budget = (settings.timesteps, settings.checkpoint_every, settings.checkpoint_minutes)
        resume(ResumeSettings(path, *budget, track=user.track))
        return
    train_new(settings, path, track=user.track)


def train_new(
    settings: RunSettings,
    path: Path,
    recorders: Sequence[EpisodeCallback] = (),
    pause_at: int | None = None,
    quiet: bool = False,
    track: TrackerName | None = None,
) -> None:
    """Train in a new run folder.

    :param recorders: callbacks besides those of ``run_callbacks``; their state goes into the checkpoints
    :param pause_at: agent steps after which to write a checkpoint and return, between two updates
    :param quiet: show and print nothing
    :param track: send the logger's numbers to this tracker as well
    :raises ModuleNotFoundError: when its library is not installed
    """
    if track is not None:
        check_installed(track)
    states = _new_states(settings)
    env = make_vec_env(settings.environment, settings.n_envs, settings.seed, _starts(settings, states))
    try:
        model = _new_agent(settings, env, path / "tensorboard")
        folder = RunFolder.create(path, settings.to_yaml())
        with folder.lock():
            if states is not None:
                write_atomic(path / STARTS, states)
            if not quiet:
                obs = settings.environment.obs
                print(f"training {settings.algo} on {settings.environment.env_id} ({obs}) in {path}")
            _learn(settings, folder, model, None, recorders, pause_at, quiet, track)
    finally:
        env.close()


def resume(user: ResumeSettings) -> None:
    """Resume a run.

    :raises UserError: when it cannot be resumed, or another process trains in its folder
    """
    if is_search(user.run):
        if user.checkpoint_every is not None:
            raise UserError("a search has no --checkpoint-every; give --checkpoint-minutes")
        resume_search(user.run, user.timesteps, user.checkpoint_minutes)
        return
    folder = RunFolder(user.run)
    settings = RunSettings.from_yaml(folder.settings)
    if not is_resumable(settings.environment):
        raise UserError(
            f"{settings.environment.env_id} ({settings.environment.obs}) goes through gymnasium, whose environments "
            "cannot be put back where they were; train again under another --name"
        )
    check_budget(folder.checkpoints, "--timesteps", user.timesteps, settings.timesteps)
    timesteps = user.timesteps or settings.timesteps
    changed = settings.with_budget(timesteps, user.checkpoint_every, user.checkpoint_minutes)
    train_on(changed, folder, track=user.track)


def train_on(
    settings: RunSettings,
    folder: RunFolder,
    recorders: Sequence[EpisodeCallback] = (),
    pause_at: int | None = None,
    quiet: bool = False,
    track: TrackerName | None = None,
) -> None:
    """Resume from the latest checkpoint; the other parameters are those of ``train_new``."""
    if track is not None:
        check_installed(track)
    with folder.lock():
        checkpoint = latest_checkpoint(folder.checkpoints)
        write_atomic(folder.settings, settings.to_yaml())
        warn_of_other_versions(settings.versions, PACKAGES)
        states = _kept_states(settings, folder, begun=checkpoint is not None)
        env = make_vec_env(settings.environment, settings.n_envs, settings.seed, _starts(settings, states))
        try:
            if checkpoint is None:  # killed before the first one: start again
                model = _new_agent(settings, env, folder.tensorboard)
                marking = folder.path / TASKS[settings.task].log_name
                for path in (folder.traces, folder.monitor, marking, folder.predicted_q, folder.goals):
                    path.unlink(missing_ok=True)
            else:
                model = build_agent(settings, env, folder.tensorboard)
                explore_by(model, settings.action_probabilities)
                restore(model, checkpoint)
                discard_after(checkpoint)
            if not quiet:
                print(f"resuming {folder.path} at {model.num_timesteps:,} steps")
            _learn(settings, folder, model, checkpoint, recorders, pause_at, quiet, track)
        finally:
            env.close()


def _new_agent(settings: RunSettings, env: VecEnv, tensorboard: Path) -> BaseAlgorithm:
    """An agent at the beginning of its training: untrained, or with the policy of another run."""
    model = build_agent(settings, env, tensorboard)
    explore_by(model, settings.action_probabilities)
    if settings.pretrained is not None:
        load_policy(model, choose_checkpoint(RunFolder(Path(settings.pretrained)).checkpoints, None))
    return model


def _new_states(settings: RunSettings) -> bytes | None:
    """The states that some episodes begin from, chosen from a search; None where all begin at the game's start."""
    return None if settings.starts is None else starts_of(Path(settings.starts), settings.environment, settings.seed)


def _kept_states(settings: RunSettings, folder: RunFolder, begun: bool) -> bytes | None:
    """The states in a run folder.

    :param begun: whether the run has a checkpoint; before that, states that are not there yet are chosen
    :raises UserError: when a run that has begun has lost them (status 1)
    """
    path = folder.path / STARTS
    if settings.starts is None or path.exists():
        return None if settings.starts is None else path.read_bytes()
    if begun:
        raise UserError(f"{path} is missing, from whose states the run began; restore it from a copy", status=1)
    states = _new_states(settings)
    assert states is not None
    write_atomic(path, states)
    return states


def _starts(settings: RunSettings, states: bytes | None) -> SavedStarts | None:
    try:
        return None if states is None else read_starts(states, settings.starts_envs)
    except (KeyError, ValueError) as error:
        raise UserError(f"the run's {STARTS} is damaged ({error}); restore it from a copy", status=1) from error


def _learn(
    settings: RunSettings,
    folder: RunFolder,
    model: BaseAlgorithm,
    checkpoint: Path | None,
    extra: Sequence[EpisodeCallback],
    pause_at: int | None,
    quiet: bool,
    track: TrackerName | None,
) -> None:
    history = ScoreHistory()
    recorders = [*run_callbacks(settings, folder, history, quiet), *extra]
    trackers = [] if track is None else [TrackerCallback(Tracker(track, settings.task, folder.path, settings))]
    saver = CheckpointCallback(
        folder.checkpoints,
        settings.checkpoint_every,
        watched=recorders,
        minutes=settings.checkpoint_minutes,
        history=history,
    )
    if isinstance(model.env and model.env.unwrapped, EpisodeVecEnv):
        saver.capture, saver.shared = capture, buffer_chunks
    signals = SignalCallback(saver, f"{TASKS[settings.task].program} resume {folder.path}")
    pause = [] if pause_at is None else [PauseCallback(saver, pause_at)]
    if checkpoint is not None:
        saver.load_states(checkpoint)
    left = settings.timesteps - model.num_timesteps
    if settings.episodes:
        left = ENDLESS - model.num_timesteps if history.n_episodes < settings.episodes else 0
    try:
        if left > 0:
            # Emulators use the cores during a rollout, and the model divides its updates among threads itself.
            with one_torch_thread():
                model.learn(
                    left,
                    callback=CallbackList([*trackers, *recorders, saver, signals, *pause]),
                    log_interval=10 if settings.algo == "ppo" else 100,
                    reset_num_timesteps=checkpoint is None,
                )
    except Paused:
        pass
    finally:
        for callback in (*recorders, *trackers):
            callback.close()
        signals.close()
        if hasattr(model, "_logger"):
            model.logger.close()  # or a search would keep a thread and an open TensorBoard file for each training
    if not quiet:
        print(_summary(settings, folder, history))


def run_callbacks(
    settings: RunSettings, folder: RunFolder, history: ScoreHistory, quiet: bool = False
) -> list[EpisodeCallback]:
    """The callbacks that record a run. Their order counts: the history is the first, the trace goes before the video.

    :param history: a new one
    """
    task = TASKS[settings.task]
    env_id = settings.environment.env_id
    log = task.log(folder.path / task.log_name)
    if isinstance(log, InteractionLogCallback):
        log.evaluate = GreedyGames(settings.environment, settings.seed)
    callbacks: list[EpisodeCallback] = [
        history,
        ScoreScalarsCallback(history),
        EpisodeTraceCallback(folder.traces, trace_header(settings.environment)),
        MonitorCsvCallback(folder.monitor, env_id),
        log,
        LearningCurveCallback(
            folder.learning_curve,
            task.curve_every,
            environment=env_id,
            history=history,
            interval=task.curve_interval,
        ),
        ProgressCallback(
            settings.episodes or settings.timesteps, settings.episodes is not None, quiet=quiet, history=history
        ),
    ]
    if settings.video_every and (is_atari(env_id) or settings.task == "walker"):
        callbacks.append(
            EpisodeVideoCallback(
                folder.traces,
                folder.videos,
                RENDERER,
                every=settings.video_every,
                tensorboard=folder.tensorboard,
                replay=f"python {task.program} replay {shlex.quote(str(folder.path))} --episode N",
            )
        )
    if settings.environment.goals:
        callbacks.append(GoalsCallback(folder.goals, goal_names(settings.environment)))
    if settings.predicted_q:
        callbacks.append(PredictedQCallback(folder.predicted_q, settings.predicted_q))
    if settings.episodes:
        callbacks.append(StopAtEpisodes(settings.episodes))
    if settings.stop_mean is not None:
        callbacks.append(StopAtMean(settings.stop_mean, history=history))
    return callbacks


MAY_CHANGE = (
    "timesteps", "hyperparameters.n_timesteps", "checkpoint_every", "checkpoint_minutes", "versions", "git_commit",
    "starts", "pretrained", "schedules", "stop_mean",
)  # fmt: skip


def refuse_changes(before: RunSettings, now: RunSettings) -> None:
    """:raises UserError: naming the first setting that differs and may not"""
    found = difference(before, now, MAY_CHANGE)
    if found:
        raise UserError(f"the run has {found}; give the setting it began with, or another --name")


def _summary(settings: RunSettings, folder: RunFolder, history: ScoreHistory) -> str:
    files = [TASKS[settings.task].log_name, folder.learning_curve.name, "checkpoints/", "traces/"]
    if settings.video_every:
        files.insert(2, "videos/")
    lines = [f"the run is in {folder.path}: {', '.join(files)}"]
    if not history.n_episodes:
        return "\n".join([*lines, "no game has finished; give it more steps"])
    last = np.array(history.last(100))
    mean = last.mean()
    lines.append(f"{history.n_episodes:,} games; mean of the last {last.size}: {mean:.0f}, best {history.best:.0f}")
    if find_spec(settings.environment.env_id).kwargs.get("game") == "gravitar":
        low, high = bootstrap_interval(last, np.mean, generator=np.random.default_rng(settings.seed))
        random_play = GRAVITAR_REFERENCES["random play"]
        if low == high:  # one game, or equal ones
            lines.append(f"too few games to say whether the agent beats random play: {random_play:.0f} points")
        else:
            verdict = "beats" if low > random_play else "does not yet clearly beat"
            interval = f"95% interval of the mean [{low:.0f}, {high:.0f}]"
            lines.append(f"the agent {verdict} random play: {random_play:.0f} points, {interval}")
    return "\n".join(lines)
