"""RAM observations: environments in worker processes against one emulator that replays their traces, and the ends of
the processes.

Credits: Stable-Baselines3's models, ``VecFrameStack``, ``VecCheckNan`` and ``evaluate_policy``, which have to accept
the environment.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecCheckNan, VecFrameStack

from common.errors import UserError
from rl.algorithms.features import RamBitsExtractor
from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.protocols import Protocol
from tests.forked_runs import forked_python
from tests.traced_games import EpisodeEnds, Play, Replay, Tape

ROOT = Path(__file__).resolve().parents[3]
UP = 2  # who only flies up falls into the sun with each of six ships
FULL = Protocol(
    sticky=0.25, noop_max=30, fire_reset=True, life_loss_terminal=True, reward="scale:250", max_frames=1_200
)
FULL_GAME = GameSettings("gravitar", sticky=0.25, max_frames=1_200)


@pytest.fixture(scope="module")
def tapes(play: Play) -> list[Tape]:
    """Eight environments with everything on, twice: in one worker process and in two."""
    found = []
    for workers in (1, 2):
        env = AtariVecEnv("gravitar", 8, "ram", FULL, seed=742, workers=workers)
        found.append(play(env, 500, seed=1, constant={0: UP, 5: UP}))
        env.close()
    return found


def test_the_number_of_workers_changes_nothing(tapes: list[Tape], episode_ends: EpisodeEnds) -> None:
    one, two = tapes
    for mine, other in zip(one, two, strict=True):
        assert np.array_equal(mine["observations"], other["observations"])
    for mine, other in zip(one[1:], two[1:], strict=True):
        assert np.array_equal(mine["rewards"], other["rewards"])
        assert np.array_equal(mine["dones"], other["dones"])
        for info, other_info in zip(mine["infos"], other["infos"], strict=True):
            assert info.keys() == other_info.keys()
    for info, other_info in zip(episode_ends(one), episode_ends(two), strict=True):
        assert (info["episode"]["r"], info["episode"]["l"]) == (other_info["episode"]["r"], other_info["episode"]["l"])
        assert info["trace"].seed == other_info["trace"].seed
        assert np.array_equal(info["trace"].start, other_info["trace"].start)
        assert np.array_equal(info["trace"].actions, other_info["trace"].actions)


def test_every_episode_replays_to_its_score_and_length(
    tapes: list[Tape], episode_ends: EpisodeEnds, replay: Replay
) -> None:
    finished = episode_ends(tapes[0])
    for info in finished:
        score, length, terminated, truncated = replay(FULL_GAME, info["trace"])
        assert (score, length) == (info["episode"]["r"], info["episode"]["l"])
        assert (truncated and not terminated) == info["TimeLimit.truncated"]
        assert terminated or truncated
        assert info["trace"].start[0] == 1 and not info["trace"].start[1:].any()  # fire, then no-ops
    assert len(finished) >= 10
    assert {info["TimeLimit.truncated"] for info in finished} == {True, False}
    assert max(info["episode"]["r"] for info in finished) > 100  # raw points, though the learner's are scaled
    assert len({info["trace"].seed for info in finished}) == len(finished)
    noops = {len(info["trace"].start) - 1 for info in finished}
    assert len(noops) > 4 and min(noops) >= 1 and max(noops) <= 30


def test_every_observation_reward_and_flag_is_the_emulators(tapes: list[Tape]) -> None:
    """One environment, step by step, from its traces: a lost life changes the flags and nothing else."""
    game = AtariGame(FULL_GAME)
    ram = np.zeros(128, np.uint8)
    for index in (0, 3):
        steps = [(item["infos"][index], item) for item in tapes[1][1:]]
        position, observed, lost = 0, tapes[1][0]["observations"][index], 0
        traces = [info["trace"] for info, _ in steps if "trace" in info]
        for trace in traces:
            game.reset(trace.seed, trace.start.tolist())
            game.ram(ram)
            assert np.array_equal(observed, ram)
            lives = game.lives()
            for action in trace.actions.tolist():
                info, item = steps[position]
                position += 1
                reward, terminated, truncated = game.step(action)
                game.ram(ram)
                over, life_lost = terminated or truncated, game.lives() < lives
                lives = game.lives()
                lost += life_lost and not over
                assert item["rewards"][index] == np.float32(reward / 250)
                assert item["dones"][index] == (over or life_lost)
                assert ("episode" in info) == ("trace" in info) == over
                if over or life_lost:
                    assert np.array_equal(info["terminal_observation"], ram)
                    assert info["TimeLimit.truncated"] is (truncated and not terminated)
                else:
                    assert info == {}
                observed = item["observations"][index]
                assert over or np.array_equal(observed, ram)
        assert len(traces) == (2 if index == 0 else 1)
        assert lost >= 1


def test_life_losses_only_end_episodes_when_asked(play: Play, episode_ends: EpisodeEnds) -> None:
    env = AtariVecEnv("gravitar", 2, "ram", Protocol(sticky=0.0), seed=1, workers=1)
    tape = play(env, 240, constant={0: UP, 1: UP})
    env.close()
    assert [step for step, item in enumerate(tape[1:], start=1) if item["dones"].any()] == [235]
    assert tape[235]["dones"].tolist() == [True, True]
    assert [info["episode"]["l"] for info in episode_ends(tape)] == [235, 235]


def test_a_frame_skip_drawn_from_2_to_4(play: Play, episode_ends: EpisodeEnds, replay: Replay) -> None:
    env = AtariVecEnv("gravitar", 2, "ram", Protocol(frame_skip=(2, 5), max_frames=600), seed=4, workers=2)
    finished = episode_ends(play(env, 420))
    env.close()
    assert len(finished) >= 4
    settings = GameSettings("gravitar", frame_skip=(2, 5), max_frames=600)
    lengths = set()
    for info in finished:
        assert replay(settings, info["trace"]) == (info["episode"]["r"], info["episode"]["l"], False, True)
        lengths.add(info["episode"]["l"])
    assert len(lengths) > 1 and min(lengths) > 150 and max(lengths) < 300  # 600 frames, three an action on average


def test_an_environment_does_not_depend_on_those_beside_it(play: Play) -> None:
    alone: Tape = []
    beside: Tape = []
    for count, found, constant in ((1, alone, {0: UP}), (3, beside, {0: UP, 1: 5, 2: 3})):
        env = AtariVecEnv("gravitar", count, "ram", Protocol(max_frames=600), seed=7, workers=1)
        found.extend(play(env, 320, constant=constant))
        env.close()
    assert all(
        np.array_equal(mine["observations"][0], other["observations"][0])
        for mine, other in zip(alone, beside, strict=True)
    )


def test_a_reset_begins_new_episodes_everywhere(replay: Replay) -> None:
    env = AtariVecEnv("gravitar", 2, "ram", Protocol(max_frames=200), seed=1, workers=2)
    settings = GameSettings("gravitar", max_frames=200)
    game, ram = AtariGame(settings), np.zeros(128, np.uint8)
    rng = np.random.default_rng(0)
    seeds = []
    # 50 actions are a whole episode: the second reset comes right after one has ended, the third in the middle of one.
    for steps in (50, 20, 50):
        first = env.reset()
        for _ in range(steps):
            _, _, _, infos = env.step(rng.integers(18, size=2))
        for index, info in enumerate(infos):
            if steps < 50:
                assert info == {}
                continue
            assert replay(settings, info["trace"])[:2] == (info["episode"]["r"], 50)
            game.reset(info["trace"].seed)
            game.ram(ram)
            assert np.array_equal(first[index], ram)
            seeds.append(info["trace"].seed)
    env.close()
    assert len(set(seeds)) == 4


def test_the_seed_that_is_there_takes_back_another_one() -> None:
    env = AtariVecEnv("gravitar", 1, "ram", Protocol(max_frames=200), seed=1, workers=1)
    env.seed(2)
    env.seed(1)
    env.reset()
    assert env.run_seed == 1
    env.close()


def test_another_seed_counts_from_the_next_reset(replay: Replay) -> None:
    settings = GameSettings("gravitar", max_frames=200)
    env = AtariVecEnv("gravitar", 1, "ram", Protocol(max_frames=200), seed=1, workers=1)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(10):
        env.step(rng.integers(18, size=1))
    env.seed(2)  # as a model does that is given the environment
    finished: Tape = []
    while len(finished) < 2:
        infos = env.step(rng.integers(18, size=1))[3]
        finished += [info for info in infos if "episode" in info]
    env.close()
    # The episode that was under way has begun with the old seed, the one after it without a reset as well.
    for info in finished:
        assert replay(settings, info["trace"])[:2] == (info["episode"]["r"], info["episode"]["l"])


def test_what_stable_baselines3_asks_of_an_environment(recwarn: pytest.WarningsRecorder) -> None:
    env = AtariVecEnv("gravitar", 2, "ram", Protocol(frame_stack=1, max_frames=80), seed=1, workers=1)
    assert env.observation_space.shape == (128,) and env.observation_space.dtype == np.uint8
    assert isinstance(env.action_space, spaces.Discrete) and env.action_space.n == 18
    assert not is_image_space(env.observation_space)
    assert env.env_is_wrapped(Monitor) == [True, True]
    with pytest.raises(AttributeError):
        env.env_method("render")
    checked = VecCheckNan(VecFrameStack(env, 2), raise_exception=True)
    observations = checked.reset()
    assert isinstance(observations, np.ndarray) and observations.shape == (2, 256)
    for step in range(1, 21):
        previous = observations
        observations, rewards, dones, infos = checked.step(np.full(2, 3))
        assert isinstance(observations, np.ndarray)
        assert rewards.shape == (2,) and rewards.dtype == np.float32
        assert dones.tolist() == [step == 20] * 2
        if step < 20:
            assert np.array_equal(observations[:, :128], previous[:, 128:])
    # The stack's terminal observation is the last two, its first one after a restart begins with zeros.
    assert np.array_equal(infos[0]["terminal_observation"][:128], previous[0, 128:])
    assert not observations[:, :128].any()
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, policy_kwargs={"net_arch": [4]}, seed=1, device="cpu")
    _, lengths = evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True, warn=True)
    assert lengths == [20, 20, 20, 20]
    assert not [warning for warning in recwarn if "Monitor" in str(warning.message)]
    checked.close()


SMALL = {"features_extractor_class": RamBitsExtractor, "net_arch": [16]}
OFF_POLICY = {"buffer_size": 1_000, "learning_starts": 64, "batch_size": 16, "train_freq": 1, "policy_kwargs": SMALL}


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        (PPO, {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "policy_kwargs": SMALL}),
        (DQN, OFF_POLICY),
        (QRDQN, OFF_POLICY),
    ],
    ids=["ppo", "dqn", "qrdqn"],
)
def test_smoke_algorithms_learn_from_ram(algorithm: type[PPO] | type[DQN], arguments: dict[str, Any]) -> None:
    protocol = Protocol(life_loss_terminal=True, reward="scale:250", max_frames=200)
    env = AtariVecEnv("gravitar", 4, "ram", protocol, seed=1, workers=1)
    model = algorithm("MlpPolicy", env, seed=3, device="cpu", **arguments)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.learn(512)
    assert model.num_timesteps == 512
    assert any(not tensor.equal(before[name]) for name, tensor in model.policy.state_dict().items())
    # Games of 50 actions: two of each environment have ended in 128 steps.
    assert model.ep_info_buffer is not None
    assert [info["l"] for info in model.ep_info_buffer] == [50] * 8
    env.close()


def gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends within so many seconds (one that nobody has waited for yet counts as ended)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def workers_of(make: Callable[[], AtariVecEnv]) -> tuple[AtariVecEnv, list[int]]:
    """An environment and the process ids of its workers."""
    before = {process.pid for process in multiprocessing.active_children()}
    env = make()
    pids = [process.pid for process in multiprocessing.active_children() if process.pid not in before]
    return env, [pid for pid in pids if pid is not None]


def test_closing_leaves_no_process() -> None:
    env, pids = workers_of(lambda: AtariVecEnv("gravitar", 3, "ram", Protocol(), seed=1, workers=2))
    assert len(pids) == 2
    env.reset()
    env.close()
    assert all(gone(pid) for pid in pids)
    assert not set(pids) & {process.pid for process in multiprocessing.active_children()}
    env.close()  # a second time does no harm


def test_at_most_one_worker_for_each_environment() -> None:
    env, pids = workers_of(lambda: AtariVecEnv("gravitar", 2, "ram", Protocol(), seed=1, workers=5))
    assert len(pids) == 2
    env.close()


@pytest.mark.parametrize("when", ["between steps", "within a step"])
def test_a_killed_worker_is_one_line(when: str) -> None:
    env, pids = workers_of(lambda: AtariVecEnv("gravitar", 2, "ram", Protocol(), seed=1, workers=2))
    env.reset()
    env.step(np.zeros(2, np.int64))
    if when == "within a step":
        os.kill(pids[1], signal.SIGSTOP)
        env.step_async(np.zeros(2, np.int64))
    os.kill(pids[1], signal.SIGKILL)
    assert gone(pids[1])
    with pytest.raises(UserError, match="a worker process of the environment died") as error:
        if when == "within a step":
            env.step_wait()
        for _ in range(2):
            env.step(np.zeros(2, np.int64))
    assert error.value.status == 1
    assert "\n" not in str(error.value)
    env.close()
    assert all(gone(pid) for pid in pids)


SCRIPT = """
if __name__ == "__main__":  # worker processes import this file: all else would be imported there as well
    import multiprocessing, sys, time
    from rl.envs.protocols import Protocol
    from rl.envs.atari_env import AtariVecEnv

    env = AtariVecEnv("gravitar", int(sys.argv[1]), "ram", Protocol(), seed=1, workers=2)
    print(*[process.pid for process in multiprocessing.active_children()], flush=True)
    env.reset()
    print("reset", flush=True)
    time.sleep(600)
"""


def ignores_signals(pid: int) -> bool:
    """Whether a worker has begun: before it loads its games it ignores SIGTERM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(ignored >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("when", ["while they wait", "while they load their games"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, when: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # A thousand games take a worker a minute and more to load.
    num_envs = 2 if when == "while they wait" else 2_000
    command = [forked_python(), str(script), str(num_envs)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    try:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        if num_envs == 2:
            assert parent.stdout.readline() == "reset\n"
        while not all(ignores_signals(pid) for pid in pids):
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert all(gone(pid, seconds=5.0) for pid in pids)
