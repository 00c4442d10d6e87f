"""Goals: the critic on hand-placed RAM, masks, and environments that tell the learner its goal, in the emulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.goal_env import GoalVecEnv
from rl.envs.goals import GOALS, SCREEN_Y, Critic
from rl.envs.protocols import Protocol


def ram(room: int, x: int, y: int) -> np.ndarray:
    """RAM with the figure at a place of a room."""
    state = np.zeros((1, 128), np.uint8)
    state[0, [3, 42, 43]] = room, x, y
    return state


@pytest.mark.parametrize(
    ("room", "x", "y", "name"),
    [
        (1, 77, 192, "middle-ladder"),
        (1, 133, 148, "right-ladder"),
        (1, 21, 148, "left-ladder"),
        (1, 14, 201, "key"),
        (1, 22, 235, "left-door"),
        (1, 130, 235, "right-door"),
        (1, 77, 235, None),  # where the game begins
        (1, 60, 148, None),  # on the floor between the ladders
        (2, 77, 192, None),  # the same place of another room
        (1, 133, 170, None),  # half-way up the ladder
    ],
)
def test_the_critic_on_hand_placed_ram(room: int, x: int, y: int, name: str | None) -> None:
    critic = Critic("montezuma_revenge")
    reached = critic.reached(ram(room, x, y))
    assert reached.shape == (1, 7)
    assert [critic.names[index] for index in np.flatnonzero(reached[0])] == ([] if name is None else [name])


def test_gravitars_planets() -> None:
    states = np.zeros((3, 128), np.uint8)
    states[:, 1], states[:, 2] = [3, 3, 4], [0, 2, 2]  # planets 1 and 3, then the reactor
    critic = Critic("gravitar")
    names = [critic.names[index] for index in critic.reached(states).argmax(axis=1)]
    assert names == ["planet-1", "planet-3", "reactor"]
    assert critic.reached(states).sum() == 3


def test_masks_cover_the_places() -> None:
    critic = Critic("montezuma_revenge")
    masks = critic.inputs("pixels", 84)
    assert masks.shape == (7, 1, 84, 84) and set(np.unique(masks)) == {0, 255}
    # By hand, of the right door: x 126 to 138, y 232 to 240, so columns 125 to 145 of 160, rows 71 to 95 of 210.
    mask = masks[critic.names.index("right-door"), 0]
    assert np.flatnonzero(mask.any(axis=0)).tolist() == list(range(65, 77))
    assert np.flatnonzero(mask.any(axis=1)).tolist() == list(range(28, 39))


def test_bits_for_ram() -> None:
    inputs = Critic("montezuma_revenge").inputs("ram", 128)
    assert inputs.tolist() == [[128], [64], [32], [16], [8], [4], [2]]


def test_the_figure_is_where_its_box_is() -> None:
    # Boxes on the screen are made of places in RAM: where the figure walks, the screen changes, and nowhere beside it.
    game = AtariGame(GameSettings("montezuma_revenge", sticky=0.0))
    state = np.zeros(128, np.uint8)
    game.reset(1, load=True)
    screens, places = [], []
    for action in [0] * 20 + [3] * 2:  # it stands, then goes right
        game.step(action)
        game.ram(state)
        screens.append(game.screen().astype(int).sum(axis=2))
        places.append((int(state[42]), SCREEN_Y - int(state[43])))
    (first, row), (last, same_row) = places[19], places[-1]
    assert last > first + 4 and same_row == row
    columns = np.flatnonzero((screens[19] != screens[-1])[row - 8 : row + 8].any(axis=0))
    assert first - 2 <= columns.min() <= first + 3 and last + 3 <= columns.max() <= last + 8


def test_mistakes() -> None:
    with pytest.raises(UserError, match=r"pong has no goals \(games that have: montezuma_revenge, gravitar\)"):
        Critic("pong")
    with pytest.raises(UserError, match="where the goals of gravitar are on the screen is not known; add --obs ram"):
        Critic("gravitar").inputs("pixels", 84)


class OneGoal:
    """A meta-controller that always wants one goal, and remembers what it was shown."""

    def __init__(self, goal: int) -> None:
        self.goal = goal
        self.asked: list[tuple[Any, Any]] = []

    def __call__(self, observations: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        self.asked.append((observations.copy(), allowed.copy()))
        return np.full(len(observations), self.goal)


def env_with(goal: int, patience: int, num_envs: int = 2) -> tuple[GoalVecEnv, OneGoal]:
    protocol = Protocol(life_loss_terminal=True, frame_stack=1, reward="clip")
    inner = AtariVecEnv("montezuma_revenge", num_envs, "ram", protocol, seed=4, workers=1)
    env = GoalVecEnv(inner, Critic("montezuma_revenge"), "ram")
    env.patience = patience
    env.choose = meta = OneGoal(goal)
    return env, meta


def test_goals_end_with_patience_and_lives() -> None:
    env, meta = env_with(goal=4, patience=30)
    first = env.reset()
    assert first.shape == (2, 129) and first[:, 128].tolist() == [8, 8]
    rng = np.random.default_rng(1)
    ages = np.zeros(2, int)
    lengths = []
    ends = []
    for _ in range(400):
        _, rewards, dones, infos = env.step(rng.integers(18, size=2))
        ages += 1
        taken = env.take_ended()
        assert len(taken) == dones.sum()
        for index in np.flatnonzero(dones):
            end = taken.pop(0)
            ends.append(end)
            lengths.append(ages[index])
            given_up = ages[index] == 30 and not end.done
            assert given_up or end.done
            assert infos[index]["TimeLimit.truncated"] == given_up
            assert infos[index]["terminal_observation"][128] == 8
            assert np.array_equal(infos[index]["terminal_observation"][:128], end.next_observation)
            assert (end.goal, end.reached, end.gained) == (4, False, 0.0)
            ages[index] = 0
        assert not rewards.any() and [info["goal"] for info in infos] == [4, 4]
    assert len(ends) > 10 and {end.done for end in ends} == {True, False}
    assert sum(len(observations) for observations, _ in meta.asked) == len(ends) + 2
    env.close()


def test_reaching_a_goal_is_rewarded_and_counted_in_the_games_report() -> None:
    # The way down the middle ladder from the start: down, for as long as it takes; then random until the game is over.
    env, meta = env_with(goal=0, patience=10**6, num_envs=1)
    env.reset()
    rewards, reports = [], []
    down = 5
    for step in range(4_000):
        action = down if step < 60 else int(np.random.default_rng(step).integers(18))
        _, reward, dones, infos = env.step(np.array([action]))
        rewards.append(reward[0])
        if reward[0]:
            assert dones[0] and not infos[0]["TimeLimit.truncated"]
            assert env.critic.reached(infos[0]["terminal_observation"][None, :128])[0, 0]
            assert not meta.asked[-1][1][0, 0]  # where it is already is no goal
        if "goals" in infos[0]:
            reports.append(infos[0]["goals"])
            break
    assert sum(rewards[:60]) >= 1 and set(rewards) == {0.0, 1.0}
    assert reports[0]["visited"][0] == 1 and reports[0]["reached"][0] == sum(rewards)
    assert reports[0]["chosen"][0] >= reports[0]["reached"][0] and sum(reports[0]["chosen"][1:]) == 0
    assert [end.reached for end in env.take_ended()].count(True) == sum(rewards)
    env.close()


def test_every_game_of_the_table_exists() -> None:
    for game, goals in GOALS.items():
        AtariGame(GameSettings(game))
        assert len({goal.name for goal in goals}) == len(goals)
