"""From environment ids and settings to vector environments: which one serves, what it plays, and what is refused.

Credits: gymnasium's ids; Stable-Baselines3's wrappers.
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from common.errors import UserError
from common.traces import read_header
from rl.agent import build_agent
from rl.algorithms.pipelined_ppo import PipelinedPPO, ScheduledPPO
from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import GameSettings
from rl.envs.make_env import (
    ATARI_WRAPPER,
    CLIP_REWARD,
    RAM_BITS,
    SCALE_REWARD,
    EnvironmentSettings,
    check_actions,
    is_native,
    make_vec_env,
    protocol_of,
    resolve_obs,
    trace_header,
)
from rl.envs.protocols import Protocol
from rl.named_classes import NamedCall
from rl.settings import RunSettings
from tests.traced_games import EpisodeEnds, Play, Replay

FOREIGN: tuple[NamedCall, ...] = (("gymnasium.wrappers.OrderEnforcing", {}),)  # another wrapper: through gymnasium
UP = 2  # who only flies up falls into the sun with each of six ships


@pytest.mark.parametrize(
    ("env_id", "obs", "expected"),
    [
        ("ALE/Gravitar-v5", "ram", "ram"),
        ("ALE/Gravitar-v5", "pixels", "pixels"),
        ("ALE/Gravitar-v5", None, "pixels"),
        ("Gravitar-ram-v0", None, "ram"),
        ("Gravitar-ram-v0", "ram", "ram"),
        ("Gravitar-v0", "ram", "ram"),
        ("CartPole-v1", None, "vector"),
        ("CartPole-v1", "vector", "vector"),
    ],
)
def test_observations_of_ids(env_id: str, obs: str | None, expected: str) -> None:
    assert resolve_obs(env_id, obs) == expected


@pytest.mark.parametrize(
    ("env_id", "obs", "message"),
    [
        ("ALE/Gravitar-v5", "pixel", r"unknown observation 'pixel' .*did you mean 'pixels'"),
        ("ALE/Gravitar-v5", "vector", "has no observation 'vector'; choose --obs ram or pixels"),
        ("Gravitar-ram-v0", "pixels", "has no observation 'pixels'; choose --obs ram$"),
        ("CartPole-v1", "ram", "CartPole-v1 is not an Atari game and has no observation 'ram'"),
        ("CartPole-v1", "pixels", "CartPole-v1 is not an Atari game and has no observation 'pixels'"),
    ],
)
def test_observations_that_an_id_has_not(env_id: str, obs: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_obs(env_id, obs)


ATARI: NamedCall = (ATARI_WRAPPER, {})
# AtariWrapper's defaults.
LEARNERS: dict[str, Any] = {"noop_max": 30, "fire_reset": True, "life_loss_terminal": True, "reward": "clip"}


@pytest.mark.parametrize(
    ("env_id", "wrappers", "env_kwargs", "expected"),
    [
        ("ALE/Gravitar-v5", (), {}, Protocol(frame_stack=1)),
        ("Gravitar-v0", (), {}, Protocol(frame_skip=(2, 5), frame_stack=1)),
        ("Gravitar-v4", (), {}, Protocol(frame_skip=(2, 5), sticky=0.0, frame_stack=1)),
        ("GravitarNoFrameskip-v4", (), {}, Protocol(frame_skip=1, sticky=0.0, frame_stack=1)),
        # The wrapper's skip counts where the id has none, and is not multiplied with the id's own.
        ("GravitarNoFrameskip-v4", (ATARI,), {}, Protocol(sticky=0.0, frame_stack=1, **LEARNERS)),
        ("ALE/Gravitar-v5", (ATARI,), {}, Protocol(frame_stack=1, **LEARNERS)),
        ("ALE/Gravitar-v5", (ATARI,), {"frameskip": 1}, Protocol(frame_stack=1, **LEARNERS)),
        ("ALE/Gravitar-v5", (), {"frameskip": [2, 5]}, Protocol(frame_skip=(2, 5), frame_stack=1)),
        (
            "ALE/Gravitar-v5",
            (),
            {"frameskip": 3, "repeat_action_probability": 0.5, "max_num_frames_per_episode": 900},
            Protocol(frame_skip=3, sticky=0.5, max_frames=900, frame_stack=1),
        ),
        (
            "GravitarNoFrameskip-v4",
            ((ATARI_WRAPPER, {"frame_skip": 2, "noop_max": 0, "screen_size": 42, "terminal_on_life_loss": False,
                              "clip_reward": False, "action_repeat_probability": 0.25}),),
            {},
            Protocol(frame_skip=2, sticky=0.25, fire_reset=True, screen_size=42, frame_stack=1),
        ),
        ("Gravitar-ram-v0", ((RAM_BITS, {}), (CLIP_REWARD, {})), {},
         Protocol(frame_skip=(2, 5), reward="clip", frame_stack=1)),
        ("Gravitar-ram-v0", ((RAM_BITS, {}), (SCALE_REWARD, {"divisor": 250})), {},
         Protocol(frame_skip=(2, 5), reward="scale:250", frame_stack=1)),
        ("CartPole-v1", (), {}, Protocol(frame_stack=1)),
    ],
)  # fmt: skip
def test_protocols_of_ids_and_wrappers(
    env_id: str,
    wrappers: tuple[NamedCall, ...],
    env_kwargs: dict[str, Any],
    expected: Protocol,
) -> None:
    assert protocol_of(env_id, None, wrappers, env_kwargs) == expected


def test_the_frame_stack_is_the_configurations() -> None:
    assert protocol_of("ALE/Gravitar-v5", 4, (), {}).frame_stack == 4


def test_large_and_small_divisors_keep_their_value() -> None:
    for divisor in (1_234_567, 0.0001, 250.5):
        spec = protocol_of("Gravitar-ram-v0", None, ((SCALE_REWARD, {"divisor": divisor}),), {}).reward
        env_settings = EnvironmentSettings("Gravitar-ram-v0", "ram", Protocol(reward=spec, max_frames=40))
        assert spec.startswith("scale:") and float(spec.removeprefix("scale:")) == divisor
        make_vec_env(env_settings, 1, seed=1).close()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (EnvironmentSettings("ALE/Gravitar-v5", "pixels", Protocol()), True),
        (EnvironmentSettings("ALE/Gravitar-v5", "pixels", Protocol(frame_skip=(2, 5))), True),
        (EnvironmentSettings("Gravitar-ram-v0", "ram", Protocol(frame_skip=(2, 5))), True),
        (EnvironmentSettings("ALE/Gravitar-v5", "ram", Protocol(), ((RAM_BITS, {}),)), True),
        (EnvironmentSettings("ALE/Gravitar-v5", "pixels", Protocol(), (("some.Wrapper", {}),)), False),
        (EnvironmentSettings("CartPole-v1", "vector", Protocol(frame_stack=1)), False),
    ],
)
def test_who_serves(settings: EnvironmentSettings, expected: bool) -> None:
    assert is_native(settings) is expected


def game_of(settings: EnvironmentSettings, tmp_path: Path) -> GameSettings:
    """The emulator's settings as a trace file's header gives them back."""
    path = tmp_path / "episodes.jsonl"
    path.write_text(trace_header(settings).line())
    header = read_header(path)
    assert header.env_id == settings.env_id
    assert header.versions == {"ale-py": ale_py.__version__, "gymnasium": gymnasium.__version__}
    assert header.game is not None
    skip = header.game["frame_skip"]
    return GameSettings(**{**header.game, "frame_skip": tuple(skip) if isinstance(skip, list) else skip})


def assert_replays(settings: EnvironmentSettings, infos: list[dict[str, Any]], tmp_path: Path, replay: Replay) -> None:
    game = game_of(settings, tmp_path)
    for info in infos:
        score, length, terminated, truncated = replay(game, info["trace"])
        assert (score, length) == (info["episode"]["r"], info["episode"]["l"])
        assert terminated or truncated
        assert info["TimeLimit.truncated"] == (truncated and not terminated)


def test_games_of_gravitar_ram_v0(play: Play, episode_ends: EpisodeEnds, replay: Replay, tmp_path: Path) -> None:
    settings = EnvironmentSettings(
        "Gravitar-ram-v0", "ram", Protocol(frame_skip=(2, 5), frame_stack=2, reward="scale:250", max_frames=1_000)
    )
    env = make_vec_env(settings, 3, seed=742)
    assert isinstance(env, VecFrameStack) and isinstance(env.venv, AtariVecEnv)
    assert env.observation_space.shape == (256,)
    finished = episode_ends(play(env, 400, constant={0: UP}))
    env.close()
    assert len(finished) >= 3
    assert_replays(settings, finished, tmp_path, replay)


def test_games_of_gravitar_no_frameskip_v4(
    play: Play, episode_ends: EpisodeEnds, replay: Replay, tmp_path: Path
) -> None:
    protocol = protocol_of("GravitarNoFrameskip-v4", 4, (ATARI,), {"max_num_frames_per_episode": 1_200})
    # No-ops at the start of a game that is cut are for test_pixel_env.
    settings = EnvironmentSettings("GravitarNoFrameskip-v4", "pixels", protocol, (ATARI,))
    env = make_vec_env(settings, 2, seed=742)
    assert isinstance(env, AtariVecEnv)
    assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
    finished = [info for info in episode_ends(play(env, 310, constant={0: UP})) if not info["TimeLimit.truncated"]]
    env.close()
    assert len(finished) == 1
    assert_replays(settings, finished, tmp_path, replay)


@pytest.mark.parametrize(("noop_max", "seed"), [(0, 3), (30, 742)])  # seeds whose games score
def test_pixels_of_gravitar_v0_go_through_gymnasium(
    play: Play, episode_ends: EpisodeEnds, replay: Replay, tmp_path: Path, noop_max: int, seed: int
) -> None:
    protocol = Protocol(
        frame_skip=(2, 5), noop_max=noop_max, fire_reset=True, life_loss_terminal=True, reward="clip", max_frames=1_500
    )
    settings = EnvironmentSettings("Gravitar-v0", "pixels", protocol, FOREIGN)
    env = make_vec_env(settings, 1, seed=seed)
    assert isinstance(env, VecFrameStack) and isinstance(env.venv, DummyVecEnv)
    assert env.observation_space.shape == (84, 84, 4)
    tape = play(env, 1_050, seed=3)
    env.close()
    finished = episode_ends(tape)
    assert len(finished) >= 2
    # Ships were lost without the game's end.
    assert sum(item["dones"][0] for item in tape[1:]) > len(finished)
    assert_replays(settings, finished, tmp_path, replay)


def test_a_game_that_is_cut_right_after_a_lost_life_is_counted(play: Play, episode_ends: EpisodeEnds) -> None:
    # Flying up, the first ship is lost after about 164 frames. The game is cut a few frames later, while
    # Stable-Baselines3's wrappers begin the next life (a no-op, fire, up).
    protocol = Protocol(frame_skip=(4, 5), sticky=0.0, fire_reset=True, life_loss_terminal=True, max_frames=170)
    env = make_vec_env(EnvironmentSettings("Gravitar-v0", "pixels", protocol, FOREIGN), 1, seed=2)
    finished = episode_ends(play(env, 100, constant={0: UP}))
    env.close()
    assert len(finished) == 2


def test_several_games_through_gymnasium_run_in_processes(
    play: Play, episode_ends: EpisodeEnds, replay: Replay, tmp_path: Path
) -> None:
    protocol = Protocol(frame_skip=(2, 5), frame_stack=1, max_frames=150)
    settings = EnvironmentSettings("Gravitar-v0", "pixels", protocol, FOREIGN)
    before = set(multiprocessing.active_children())
    env = make_vec_env(settings, 2, seed=742)
    assert isinstance(env, SubprocVecEnv)
    finished = episode_ends(play(env, 70))
    env.close()
    assert set(multiprocessing.active_children()) <= before
    assert len(finished) >= 2
    assert len({info["trace"].seed for info in finished}) == len(finished)
    assert_replays(settings, finished, tmp_path, replay)


def test_the_learners_rewards_through_gymnasium_are_the_protocols(play: Play, episode_ends: EpisodeEnds) -> None:
    # CartPole pays 1 a step. The score that is logged is raw.
    for spec, reward in (("raw", 1.0), ("scale:4", 0.25), ("sqrt:4", 0.5), ("clip", 1.0)):
        settings = EnvironmentSettings("CartPole-v1", "vector", Protocol(frame_stack=1, reward=spec))
        env = make_vec_env(settings, 1, seed=1)
        tape = play(env, 30, constant={0: 1})
        env.close()
        assert {float(item["rewards"][0]) for item in tape[1:]} == {reward}
        finished = episode_ends(tape)
        assert len(finished) >= 2
        assert all(info["episode"]["r"] == info["episode"]["l"] == len(info["trace"].actions) for info in finished)


def test_other_environments_replay_from_their_header(play: Play, episode_ends: EpisodeEnds) -> None:
    settings = EnvironmentSettings(
        "CartPole-v1", "vector", Protocol(frame_stack=1), env_kwargs={"sutton_barto_reward": True}
    )
    env = make_vec_env(settings, 2, seed=1)
    finished = episode_ends(play(env, 60))
    env.close()
    header = trace_header(settings)
    assert header.game is None and json.loads(header.line())["env_kwargs"] == {"sutton_barto_reward": True}
    plain = gymnasium.make(header.env_id, **header.env_kwargs)
    for info in finished:
        plain.reset(seed=info["trace"].seed)
        steps = [plain.step(int(action)) for action in info["trace"].actions]
        assert sum(float(step[1]) for step in steps) == info["episode"]["r"] == -1
        assert steps[-1][2] and len(steps) == info["episode"]["l"]


def test_wrappers_of_the_users_own_are_applied_in_their_order() -> None:
    settings = EnvironmentSettings(
        "CartPole-v1",
        "vector",
        Protocol(frame_stack=1),
        (("gymnasium.wrappers.TimeAwareObservation", {}), ("gymnasium.wrappers.NormalizeObservation", {})),
    )
    env = make_vec_env(settings, 1, seed=1)
    assert env.observation_space.shape == (5,)
    assert isinstance(env, DummyVecEnv)
    assert env.env_is_wrapped(gymnasium.wrappers.NormalizeObservation) == [True]
    assert isinstance(env.envs[0], gymnasium.wrappers.NormalizeObservation)
    env.close()


def test_an_unknown_wrapper_is_named_before_processes_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.envs.make_env.SubprocVecEnv", None)
    settings = EnvironmentSettings("ALE/Gravitar-v5", "ram", Protocol(frame_stack=1), (("rl.wrappers.Nonsense", {}),))
    with pytest.raises(UserError, match=r"rl\.wrappers has no class 'Nonsense'"):
        make_vec_env(settings, 2, seed=1)


def test_the_bits_of_ram_reach_the_network_beside_another_wrapper() -> None:
    # With another wrapper the game goes through gymnasium; the network has to see 1,024 bits all the same.
    wrappers: tuple[NamedCall, ...] = ((RAM_BITS, {}), ("gymnasium.wrappers.OrderEnforcing", {}))
    environment = EnvironmentSettings("Gravitar-ram-v0", "ram", Protocol(frame_skip=(2, 5), frame_stack=1), wrappers)
    env = make_vec_env(environment, 1, seed=1)
    model = build_agent(run_settings(environment, n_steps=8, batch_size=8), env)
    env.close()
    assert model.policy.features_extractor.features_dim == 1_024


@pytest.mark.parametrize(("frame_stack", "algorithm"), [(1, PipelinedPPO), (2, ScheduledPPO)])
def test_stacked_ram_is_learned_by_plain_ppo(frame_stack: int, algorithm: type[PPO]) -> None:
    environment = EnvironmentSettings("ALE/Gravitar-v5", "ram", Protocol(frame_stack=frame_stack))
    env = make_vec_env(environment, 1, seed=1)
    model = build_agent(run_settings(environment, n_steps=8, batch_size=8), env)
    assert type(model) is algorithm
    model.learn(16)
    env.close()


def test_a_games_mode_is_played_or_refused() -> None:
    # Gravitar has modes 0 to 4; another one is another game.
    protocol = Protocol(frame_stack=1, sticky=0.0)
    settings = EnvironmentSettings("ALE/Gravitar-v5", "ram", protocol, env_kwargs={"mode": 2})
    plain = gymnasium.make("ALE/Gravitar-v5", obs_type="ram", mode=2, repeat_action_probability=0.0)
    other = gymnasium.make("ALE/Gravitar-v5", obs_type="ram", mode=0, repeat_action_probability=0.0)
    expected, _ = plain.reset(seed=1)
    assert not np.array_equal(expected, other.reset(seed=1)[0])
    try:
        env = make_vec_env(settings, 1, seed=1)
    except UserError as error:
        assert "mode" in str(error)
        return
    observations = env.reset()
    env.close()
    assert isinstance(observations, np.ndarray)
    assert np.array_equal(observations[0], expected)


def test_environments_that_gymnasium_cannot_make_are_one_line() -> None:
    settings = EnvironmentSettings("CartPole-v1", "vector", Protocol(frame_stack=1), env_kwargs={"gravity": 9.8})
    with pytest.raises(UserError, match=r"cannot make the environment CartPole-v1: .*gravity") as error:
        make_vec_env(settings, 1, seed=1)
    assert error.value.status == 1 and "\n" not in str(error.value)


def run_settings(environment: EnvironmentSettings, algo: str = "ppo", **block: Any) -> RunSettings:
    block = {"policy": "MlpPolicy", "n_timesteps": 10, **block}
    return RunSettings(algo, environment, block, "here", 1, 1, 10, None, "cpu", "float32", "name", 0, 1_000)


def test_policies_that_cannot_take_the_observation_are_one_line() -> None:
    environment = EnvironmentSettings("ALE/Gravitar-v5", "ram", Protocol(frame_stack=1))
    env = make_vec_env(environment, 1, seed=1)
    for algo in ("ppo", "dqn", "qrdqn"):
        with pytest.raises(UserError, match=f"{algo} cannot be built from here: .*CNN") as error:
            build_agent(run_settings(environment, algo, policy="CnnPolicy"), env)
        assert error.value.status == 2 and "\n" not in str(error.value)
    env.close()


def test_algorithms_that_need_discrete_actions() -> None:
    env = make_vec_env(EnvironmentSettings("Pendulum-v1", "vector", Protocol(frame_stack=1)), 1, seed=1)
    for algo in ("dqn", "qrdqn"):
        with pytest.raises(UserError, match=f"{algo} needs discrete actions.*choose --algo ppo"):
            check_actions(env, algo)
    check_actions(env, "ppo")
    env.close()
