"""Seeded episodes of any gymnasium environment, and Stable-Baselines3's own wrappers and models around them.

Credits: gymnasium and Stable-Baselines3, whose environments, wrappers and models are used as anybody would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.episode_trace import EpisodeTraceCallback
from callbacks.marking_log import MarkingLogCallback
from callbacks.monitor_csv import MonitorCsvCallback
from common.errors import UserError
from common.traces import Trace, TraceHeader, read_episodes
from rl.envs.atari_game import GameSettings, episode_seed
from rl.envs.gym_env import SeededEpisodes
from tests.traced_games import Replay

gymnasium.register_envs(ale_py)


def play(
    env: SeededEpisodes, policy: Callable[[], Any], episodes: int = 1, seed: int | None = None
) -> list[tuple[list[float], Trace]]:
    """Rewards, and the info that ends an episode."""
    results = []
    for _ in range(episodes):
        env.reset(seed=seed)
        rewards, over = [], False
        while not over:
            _, reward, terminated, truncated, info = env.step(policy())
            rewards.append(float(reward))
            over = terminated or truncated
            assert ("trace" in info) == over
        results.append((rewards, info["trace"]))
    return results


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_an_episode_replays_in_a_plain_environment(env_id: str) -> None:
    env = SeededEpisodes(gymnasium.make(env_id, max_episode_steps=60), seed=5)
    env.action_space.seed(3)
    episodes = play(env, env.action_space.sample, episodes=3)
    plain = gymnasium.make(env_id, max_episode_steps=60)
    for number, (rewards, trace) in enumerate(episodes):
        assert trace.seed == episode_seed(5, 0, number)
        assert trace.start.size == 0 and len(trace.actions) == len(rewards)
        assert trace.actions.dtype == (np.uint8 if isinstance(env.action_space, spaces.Discrete) else np.float32)
        plain.reset(seed=trace.seed)
        replayed = [plain.step(action) for action in trace.actions]
        assert [float(step[1]) for step in replayed] == rewards
        assert replayed[-1][2] or replayed[-1][3]
        assert not any(step[2] or step[3] for step in replayed[:-1])
    assert len({trace.seed for _, trace in episodes}) == 3


def test_a_seed_that_is_given_is_the_episodes() -> None:
    env = SeededEpisodes(gymnasium.make("CartPole-v1"), seed=5)
    ((_, trace),) = play(env, lambda: 0, seed=99)
    assert trace.seed == 99
    ((_, trace),) = play(env, lambda: 0)
    assert trace.seed == episode_seed(5, 0, 1)


def test_environments_of_one_run_differ() -> None:
    traces = [
        play(SeededEpisodes(gymnasium.make("CartPole-v1"), seed=5, index=index), lambda: 1)[0][1] for index in range(3)
    ]
    assert [trace.seed for trace in traces] == [episode_seed(5, index, 0) for index in range(3)]
    assert len({trace.seed for trace in traces}) == 3


def test_an_episode_that_is_broken_off_leaves_nothing_behind() -> None:
    env = SeededEpisodes(gymnasium.make("CartPole-v1"), seed=5)
    env.reset()
    for _ in range(3):
        env.step(1)
    ((rewards, trace),) = play(env, lambda: 0)
    assert len(trace.actions) == len(rewards) and not trace.actions.any()
    assert trace.seed == episode_seed(5, 0, 1)


class Negative(gymnasium.Env):
    """Actions -3 .. 296, of which the wrapper must not lose the sign or the size."""

    action_space: spaces.Space[Any] = spaces.Discrete(300, start=-3)
    observation_space = spaces.Box(0, 1, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 2
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return np.zeros(1, np.float32), float(action), self.left == 0, False, {}


def test_actions_keep_their_sign_and_size() -> None:
    env = SeededEpisodes(Negative(), seed=0)
    env.reset()
    env.step(-3)
    *_, info = env.step(296)
    assert info["trace"].actions.tolist() == [-3, 296]


def test_actions_that_cannot_be_traced_are_refused() -> None:
    env = Negative()
    env.action_space = spaces.Dict({"a": spaces.Discrete(2)})
    with pytest.raises(UserError, match="cannot be traced; discrete and box actions can"):
        SeededEpisodes(env, seed=0)


@pytest.mark.parametrize("obs_type", ["ram", "rgb"])
def test_stable_baselines3s_environment_check(obs_type: str) -> None:
    env = SeededEpisodes(gymnasium.make("ALE/Gravitar-v5", obs_type=obs_type), seed=1)
    check_env(env, warn=False, skip_render_check=True)
    env.close()


MAX_FRAMES = 1_600


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's own script: a plain model, Stable-Baselines3's wrappers, this project's wrapper and callbacks.

    The wrappers end the learner's episode with each life, start with no-ops and fire, skip frames and clip rewards."""
    folder = tmp_path_factory.mktemp("plain")

    def maker(index: int) -> Callable[[], AtariWrapper]:
        def make() -> AtariWrapper:
            env = gymnasium.make(
                "GravitarNoFrameskip-v4", repeat_action_probability=0.25, max_num_frames_per_episode=MAX_FRAMES
            )
            return AtariWrapper(Monitor(SeededEpisodes(env, seed=742, index=index)))

        return make

    env = DummyVecEnv([maker(0), maker(1)])
    arguments: dict[str, Any] = {"n_steps": 128, "batch_size": 128, "n_epochs": 1, "policy_kwargs": {"net_arch": [4]}}
    model = PPO("MlpPolicy", env, seed=1, device="cpu", **arguments)
    header = TraceHeader("GravitarNoFrameskip-v4", {"repeat_action_probability": 0.25})
    callbacks: list[BaseCallback] = [
        EpisodeTraceCallback(folder / "episodes.jsonl", header),
        MonitorCsvCallback(folder / "monitor.csv", "GravitarNoFrameskip-v4"),
        MarkingLogCallback(folder / "gravitar-log.txt", every=2),
    ]
    model.learn(1_536, callback=callbacks)
    env.close()
    return folder


def test_a_plain_script_traces_whole_games(plain_run: Path, replay: Replay) -> None:
    episodes = list(read_episodes(plain_run / "episodes.jsonl"))
    # 768 agent steps of 400 at most in each environment: at least one game each, though many lives were lost.
    assert len(episodes) >= 2
    assert [episode.episode for episode in episodes] == list(range(len(episodes)))
    settings = GameSettings("gravitar", frame_skip=1, sticky=0.25, max_frames=MAX_FRAMES)
    for episode in episodes:
        score, length, terminated, truncated = replay(settings, episode.trace)
        assert (score, length) == (episode.score, episode.length)
        assert terminated or truncated


def test_a_plain_scripts_logs_agree(plain_run: Path) -> None:
    rows = np.genfromtxt(plain_run / "monitor.csv", delimiter=",", names=True, skip_header=1)
    episodes = list(read_episodes(plain_run / "episodes.jsonl"))
    assert rows["r"].tolist() == [episode.score for episode in episodes]
    assert rows["l"].tolist() == [episode.length for episode in episodes]
    marking = [line for line in (plain_run / "gravitar-log.txt").read_text().splitlines() if line.startswith("marking")]
    first = rows["r"][0]
    assert marking[0] == f"marking, episode: 0, score: {first:.1f}, mean_score: {first:.2f}, std_score: 0.00"
    assert len(marking) == (len(rows) + 1) // 2
