"""A budget in games: where the training stops, and how schedules follow.

Credits: Stable-Baselines3's models, which are stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import CallbackList, CheckpointCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.budget import StopAtEpisodes, StopAtMean
from callbacks.monitor_csv import MonitorCsvCallback
from rl.envs.atari_env import AtariVecEnv
from rl.envs.protocols import Protocol

# Games end at steps 2, 4, 6, 8, ... of the first environment and 3, 6, 9, ... of the second.
TAPES = ([(2, 1.0)] * 50, [(3, 2.0)] * 50)
# Games that are over after step k:                  k: 1  2  3  4  5  6  7  8  9  10
FINISHED = [0, 1, 2, 3, 3, 5, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("episodes", "steps", "finished"),
    [(1, 2, 1), (2, 3, 2), (3, 4, 3), (4, 6, 5), (5, 6, 5), (6, 8, 6)],
)
def test_it_stops_after_the_step_in_which_the_last_game_ends(
    tmp_path: Path,
    tape_env: Callable[..., DummyVecEnv],
    ppo: Callable[..., PPO],
    episodes: int,
    steps: int,
    finished: int,
) -> None:
    # With 4 games as the budget, games 4 and 5 end in the same step and both are logged.
    path = tmp_path / "monitor.csv"
    budget = StopAtEpisodes(episodes)
    model = ppo(tape_env(*TAPES))
    model.learn(10**9, callback=[budget, MonitorCsvCallback(path, "tape")])
    assert model.num_timesteps == 2 * steps
    assert budget.n_episodes == finished
    assert len(path.read_text().splitlines()) == 2 + finished


def test_it_stops_dqn_as_well(tape_env: Callable[..., DummyVecEnv], dqn: Callable[..., DQN]) -> None:
    model = dqn(tape_env(*TAPES))
    model.learn(10**9, callback=StopAtEpisodes(4))
    assert model.num_timesteps == 2 * 6


def test_the_order_of_the_callbacks_does_not_matter(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    for name, order in (("before", [0, 1]), ("behind", [1, 0])):
        callbacks = [StopAtEpisodes(4), MonitorCsvCallback(tmp_path / name, "tape")]
        ppo(tape_env(*TAPES)).learn(10**9, callback=CallbackList([callbacks[k] for k in order]))
        assert len((tmp_path / name).read_text().splitlines()) == 2 + 5


def test_schedules_follow_the_share_of_games(tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]) -> None:
    shares = []

    def learning_rate(share: float) -> float:
        shares.append(share)
        return 1e-3

    # Rollouts of 2 steps; after each the learning rate is asked for. 8 games are the budget.
    model = ppo(tape_env(*TAPES), n_steps=2, learning_rate=learning_rate)
    shares.clear()
    model.learn(10**9, callback=StopAtEpisodes(8))
    # PPO asks twice at each update: for its log and for the optimiser. The last rollout ends with game 8, at step 10,
    # without an update.
    assert shares == pytest.approx([1 - FINISHED[step - 1] / 8 for step in (2, 2, 4, 4, 6, 6, 8, 8)])


def test_exploration_follows_the_share_of_games(tape_env: Callable[..., DummyVecEnv], dqn: Callable[..., DQN]) -> None:
    # Epsilon falls from 1 to 0 over the whole budget of 8 games.
    model = dqn(tape_env(*TAPES), exploration_initial_eps=1.0, exploration_final_eps=0.0, exploration_fraction=1.0)
    model.learn(10**9, callback=StopAtEpisodes(8))
    # The last step of all, the tenth, was chosen after 7 finished games.
    assert model.exploration_rate == pytest.approx(1 - 7 / 8)


def test_the_model_can_be_saved_and_read_again(tmp_path: Path, ppo: Callable[..., PPO]) -> None:
    # Stable-Baselines3 pickles what hangs on the model, and worker processes cannot be pickled.
    env = AtariVecEnv("gravitar", 2, "ram", Protocol(max_frames=40), seed=1, workers=1)
    model = ppo(env)
    model.learn(10**9, callback=[StopAtEpisodes(2), CheckpointCallback(save_freq=7, save_path=str(tmp_path))])
    env.close()
    assert (tmp_path / "rl_model_14_steps.zip").exists()
    model.save(tmp_path / "model.zip")
    again = type(model).load(tmp_path / "model.zip", device="cpu")
    assert again.num_timesteps == 2 * 10


def test_a_later_training_without_it_follows_the_steps_again(
    tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    shares = []

    def learning_rate(share: float) -> float:
        shares.append(share)
        return 1e-3

    model = ppo(tape_env(*TAPES), n_steps=4, learning_rate=learning_rate)
    model.learn(10**9, callback=StopAtEpisodes(3))
    shares.clear()
    model.learn(16)
    # Two rollouts of 8 steps each; PPO asks twice at each update.
    assert shares == [0.5, 0.5, 0.0, 0.0]


def test_it_stops_when_the_mean_of_the_last_games_is_high_enough(
    tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    # Means of the last two games: -, 6, 5, 5, 7; the first game alone is no mean of two.
    env = tape_env([(1, 9.0), (1, 3.0), (1, 7.0), (1, 3.0), (1, 11.0), (1, 9.0)])
    stop = StopAtMean(7.0, window=2)
    model = ppo(env)
    model.learn(10**9, callback=stop)
    assert (model.num_timesteps, stop.n_episodes) == (5, 5)
