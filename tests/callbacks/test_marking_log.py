"""The marking log to the letter: tapes of scores worked out by hand, and an independent computation.

Credits: numpy, for the independent computation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.marking_log import MarkingLogCallback
from callbacks.monitor_csv import MonitorCsvCallback
from common.errors import UserError

# Who finishes when: the third environment at steps 1, 2 and 6, the first at 2, 4 and 6, the second at 4 and 6.
FIRST = [(2, 100.0), (2, 0.0), (2, 50.0)]
SECOND = [(4, 200.0), (2, 300.5)]
THIRD = [(1, 7.0), (1, 1_000.0), (4, 3.0)]
# Ties by the environment's index: 7 | 100, 1000 | 0, 200 | 50, 300.5, 3.
SCORES = [7.0, 100.0, 1_000.0, 0.0, 200.0, 50.0, 300.5, 3.0]


def test_the_bytes_of_a_tape_played_by_three_environments(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    path = tmp_path / "gravitar-log.txt"
    ppo(tape_env(FIRST, SECOND, THIRD)).learn(24, callback=MarkingLogCallback(path, every=4))
    # 100, 1000, 0, 200: mean 325, population variance (225^2 + 675^2 + 325^2 + 125^2) / 4 = 156,875.
    assert path.read_bytes() == (
        b"marking, episode: 0, score: 7.0, mean_score: 7.00, std_score: 0.00\n"
        b"episode: 0, score: 7.0\n"
        b"marking, episode: 4, score: 200.0, mean_score: 325.00, std_score: 396.07\n"
        b"episode: 5, score: 50.0\n"
    )


def test_the_bytes_of_a_log_with_the_assignments_numbers(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    # Game 0 scores 250, games 1 to 100 score 0 and 500 in turn, games 101 to 200 all 1,000.
    tape = [(1, 250.0), *[(1, 0.0), (1, 500.0)] * 50, *[(1, 1_000.0)] * 100]
    path = tmp_path / "gravitar-log.txt"
    ppo(tape_env(tape), n_steps=32).learn(224, callback=MarkingLogCallback(path))
    expected = []
    for episode in range(0, 201, 5):
        score = tape[episode][1]
        if episode == 0:
            expected.append("marking, episode: 0, score: 250.0, mean_score: 250.00, std_score: 0.00")
        if episode == 100:
            expected.append("marking, episode: 100, score: 500.0, mean_score: 250.00, std_score: 250.00")
        if episode == 200:
            expected.append("marking, episode: 200, score: 1000.0, mean_score: 1000.00, std_score: 0.00")
        expected.append(f"episode: {episode}, score: {score:.1f}")
    assert path.read_text() == "\n".join(expected) + "\n"


def test_dqn_shows_its_epsilon(tmp_path: Path, tape_env: Callable[..., DummyVecEnv], dqn: Callable[..., DQN]) -> None:
    path = tmp_path / "gravitar-log.txt"
    # Epsilon falls from 1 to 0.2 over the first half of 20 steps: 1 - 0.08 k after k steps, then 0.2.
    env = tape_env([(2, 10.0), (5, 20.0), (1, 0.0), (1, 0.0), (1, 0.0), (2, 30.5), (9, 1.0)])
    model = dqn(env, exploration_initial_eps=1.0, exploration_final_eps=0.2, exploration_fraction=0.5)
    model.learn(20, callback=MarkingLogCallback(path, every=1_000))
    # Game 0 ends with the second step, game 5 with the twelfth; each was chosen with the epsilon after the one before.
    assert path.read_text() == (
        "marking, episode: 0, score: 10.0, mean_score: 10.00, std_score: 0.00\n"
        "episode: 0, score: 10.0, epsilon: 0.92\n"
        "episode: 5, score: 30.5, epsilon: 0.20\n"
    )


@pytest.fixture(scope="module")
def long_run(
    tmp_path_factory: pytest.TempPathFactory, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> tuple[Path, list[list[tuple[int, float]]]]:
    """Three environments with short games of random length, so that several often finish in one step."""
    folder = tmp_path_factory.mktemp("long")
    rng = np.random.default_rng(0)
    tapes = [[(int(rng.integers(1, 4)), float(rng.integers(0, 60) * 50)) for _ in range(120)] for _ in range(3)]
    callbacks: list[BaseCallback] = [
        MarkingLogCallback(folder / "gravitar-log.txt"),
        MonitorCsvCallback(folder / "monitor.csv", "tape"),
    ]
    ppo(tape_env(*tapes), n_steps=32).learn(3 * 160, callback=callbacks)
    return folder, tapes


def test_marking_lines_against_monitor_csv(long_run: tuple[Path, list[list[tuple[int, float]]]]) -> None:
    folder, _ = long_run
    scores = np.loadtxt(folder / "monitor.csv", delimiter=",", skiprows=2, usecols=0)
    assert len(scores) > 205
    windows = {0: scores[:1], 100: scores[1:101], 200: scores[101:201]}
    expected = [
        f"marking, episode: {episode}, score: {scores[episode]:.1f}, "
        f"mean_score: {window.mean():.2f}, std_score: {window.std(ddof=0):.2f}"
        for episode, window in windows.items()
    ]
    lines = (folder / "gravitar-log.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("marking")] == expected
    others = [line for line in lines if not line.startswith("marking")]
    assert others == [f"episode: {k}, score: {scores[k]:.1f}" for k in range(0, len(scores), 5)]
    # The sample's standard deviation would have been another number.
    assert f"{windows[100].std(ddof=1):.2f}" != f"{windows[100].std():.2f}"


def test_games_are_numbered_as_they_finish_ties_by_environment(
    long_run: tuple[Path, list[list[tuple[int, float]]]],
) -> None:
    folder, tapes = long_run
    finished = []
    for index, tape in enumerate(tapes):
        step = 0
        for length, score in tape:
            step += length
            finished.append((step, index, score, length))
    finished.sort()
    ties = [step for step, *_ in finished]
    assert len(ties) - len(set(ties)) > 50
    rows = np.loadtxt(folder / "monitor.csv", delimiter=",", skiprows=2)
    assert rows[:, 0].tolist() == [score for _, _, score, _ in finished[: len(rows)]]
    assert rows[:, 1].tolist() == [length for *_, length in finished[: len(rows)]]


def test_lines_are_in_the_file_as_soon_as_the_game_is_over(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    path = tmp_path / "gravitar-log.txt"
    counts = []

    def look(local_variables: dict[str, Any], global_variables: dict[str, Any]) -> bool:
        counts.append(path.read_text().count("\n"))
        return True

    callbacks = CallbackList([MarkingLogCallback(path, 1, 0), ConvertCallback(look)])
    ppo(tape_env([(2, 1.0), (3, 2.0)])).learn(8, callback=callbacks)
    assert counts == [0, 1, 1, 1, 2, 2, 2, 2]


def test_learning_on_goes_on_counting(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    path = tmp_path / "gravitar-log.txt"
    callback = MarkingLogCallback(path, every=2, progress_every=0)
    model = ppo(tape_env([(4, float(score)) for score in (10, 20, 30, 40, 50)]))
    model.learn(8, callback=callback)
    model.learn(8, callback=callback, reset_num_timesteps=False)
    assert path.read_text() == (
        "marking, episode: 0, score: 10.0, mean_score: 10.00, std_score: 0.00\n"
        "marking, episode: 2, score: 30.0, mean_score: 25.00, std_score: 5.00\n"
    )


def test_a_log_that_exists_is_never_overwritten(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    path = tmp_path / "gravitar-log.txt"
    path.write_text("marking, episode: 0, score: 1.0, mean_score: 1.00, std_score: 0.00\n")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"gravitar-log\.txt exists and is never overwritten") as error:
        ppo(tape_env([(1, 5.0)])).learn(8, callback=MarkingLogCallback(path))
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named_as_such(
    tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "gravitar-log.txt"  # a folder that is a file
    with pytest.raises(UserError, match="cannot write") as error:
        ppo(tape_env([(1, 5.0)])).learn(8, callback=MarkingLogCallback(path))
    assert error.value.status == 1


def test_folders_are_made(tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]) -> None:
    path = tmp_path / "new" / "run" / "gravitar-log.txt"
    ppo(tape_env([(1, 5.0)])).learn(8, callback=MarkingLogCallback(str(path), progress_every=0))
    assert path.read_text() == "marking, episode: 0, score: 5.0, mean_score: 5.00, std_score: 0.00\n"
