"""The trace file that a training leaves: every game of it, playable again, and how small it is."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import ale_py
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.episode_trace import EpisodeTraceCallback
from callbacks.marking_log import MarkingLogCallback
from callbacks.monitor_csv import MonitorCsvCallback
from common.errors import UserError
from common.traces import Trace, TracedEpisode, TraceHeader, read_episodes, read_header
from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.protocols import Protocol

GAME = GameSettings("gravitar", max_frames=1_200)
HEADER = TraceHeader("ALE/Gravitar-v5", game=GAME.rules(), versions={"ale-py": ale_py.__version__})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ppo: Callable[..., PPO]) -> Path:
    """A short training with eight games at once, life-loss terminals, scaled rewards, no-ops and fire."""
    folder = tmp_path_factory.mktemp("run")
    protocol = Protocol(
        sticky=0.25, noop_max=30, fire_reset=True, life_loss_terminal=True, reward="scale:250", max_frames=1_200
    )
    env = AtariVecEnv("gravitar", 8, "ram", protocol, seed=742, workers=2)
    model = ppo(env, n_steps=64, learning_rate=0.01)
    callbacks: list[BaseCallback] = [
        EpisodeTraceCallback(folder / "traces" / "episodes.jsonl", HEADER),
        MonitorCsvCallback(folder / "monitor.csv", "ALE/Gravitar-v5"),
        MarkingLogCallback(folder / "gravitar-log.txt", every=5),
    ]
    model.learn(8 * 640, callback=callbacks)
    env.close()
    return folder


def test_every_game_replays_to_what_was_logged(run: Path) -> None:
    episodes = list(read_episodes(run / "traces" / "episodes.jsonl"))
    rows = np.loadtxt(run / "monitor.csv", delimiter=",", skiprows=2)
    # 640 steps are two games of 300 for each of the eight environments.
    assert len(episodes) == len(rows) >= 16
    assert [episode.episode for episode in episodes] == list(range(len(episodes)))
    game = AtariGame(GAME)  # one emulator for all, in this process
    for episode, (score, length, _) in zip(episodes, rows, strict=True):
        assert (episode.score, episode.length) == (score, length)
        game.reset(episode.trace.seed, episode.trace.start.tolist())
        played = [game.step(action) for action in episode.trace.actions.tolist()]
        assert sum(reward for reward, _, _ in played) == score
        assert len(played) == length
        assert [over or cut for _, over, cut in played] == [False] * (len(played) - 1) + [True]
    assert rows[:, 0].any()


def test_the_marking_log_has_the_traced_scores(run: Path) -> None:
    scores = [episode.score for episode in read_episodes(run / "traces" / "episodes.jsonl")]
    lines = (run / "gravitar-log.txt").read_text().splitlines()
    expected = [f"marking, episode: {k}, score: {scores[k]:.1f}, " for k in range(0, len(scores), 5)]
    marking = [line for line in lines if line.startswith("marking")]
    assert [line[: len(start)] for line, start in zip(marking, expected, strict=True)] == expected


def test_the_header_is_the_first_line(run: Path) -> None:
    path = run / "traces" / "episodes.jsonl"
    assert read_header(path).env_id == "ALE/Gravitar-v5"
    assert read_header(path).game == {
        "game": "gravitar", "frame_skip": 4, "sticky": 0.25, "max_frames": 1_200, "full_action_space": False,
        "whole_actions": False,
    }  # fmt: skip
    assert path.read_text().count('"format"') == 1
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_random_game_takes_about_a_byte_an_action() -> None:
    # Chance picks among 18 actions: 4.17 bits each cannot be made less.
    rng = np.random.default_rng(0)
    actions = rng.integers(18, size=600).astype(np.uint8)
    line = TracedEpisode(1_210, 850.0, 600, Trace(2**32 - 1, np.zeros(0, np.uint8), actions)).line()
    assert 600 * 4.17 / 8 < len(line) < 700
    # Who holds a direction takes much less.
    held = np.repeat(actions[:60], 10)
    assert len(TracedEpisode(0, 0.0, 600, Trace(1, np.zeros(0, np.uint8), held)).line()) < 350


def test_a_line_that_does_not_fit_on_the_disk_is_an_error_at_once(tmp_path: Path, ppo: Callable[..., PPO]) -> None:
    """The limit on a file's size does what a full disk does: the system writes a part and says how much."""
    env = AtariVecEnv("gravitar", 1, "ram", Protocol(max_frames=400), seed=1, workers=1)
    path = tmp_path / "episodes.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(HEADER.line()) + 100, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*episodes\.jsonl: .*; make room and resume") as error:
            ppo(env).learn(150, callback=EpisodeTraceCallback(path, HEADER))  # one game of 100 steps
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        env.close()
    assert error.value.status == 1
    assert read_header(path) == HEADER


def test_an_environment_without_traces_is_named(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    callback = EpisodeTraceCallback(tmp_path / "episodes.jsonl", TraceHeader("Tape-v0"))
    with pytest.raises(UserError, match=r"gives no traces; wrap it in SeededEpisodes"):
        ppo(tape_env([(3, 1.0)])).learn(8, callback=callback)
    assert list(read_episodes(tmp_path / "episodes.jsonl")) == []


def test_a_trace_that_exists_is_never_overwritten(
    run: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    path = run / "traces" / "episodes.jsonl"
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"episodes\.jsonl exists and is never overwritten"):
        ppo(tape_env([(3, 1.0)])).learn(8, callback=EpisodeTraceCallback(path, HEADER))
    assert path.read_bytes() == before
