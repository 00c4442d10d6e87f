"""h-DQN: goals kept by the buffer, both epsilons, the meta-controller's updates, resumed and evaluated runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import configure

from common.errors import UserError
from common.run_folder import RunFolder
from rl.agent import build_agent
from rl.algorithms.hdqn import HDQN
from rl.buffers.goal_buffer import GoalReplayBuffer
from rl.commands.export import plain_model
from rl.envs.goal_env import GoalEnd
from rl.envs.make_env import make_vec_env
from rl.evaluate import evaluate
from rl.options import EvaluateSettings, ReplaySettings, ResumeSettings, TrainSettings
from rl.replay import replay
from rl.settings import resolve
from rl.train import resume, train_new


def flags(runs: Path, obs: str = "ram", **changes: Any) -> TrainSettings:
    """A training of seconds."""
    small = {
        "ram": ("policy_kwargs=dict(net_arch=[16])", "learning_starts=200", "patience=40", "alone=0.3"),
        "pixels": ("learning_starts=16", "patience=5", "alone=0.3", "batch_size=4", "gradient_steps=1",
                   "meta_batch_size=4", "buffer_size=40", "meta_buffer_size=20"),
    }[obs]  # fmt: skip
    fields: dict[str, Any] = {
        "preset": None, "algo": "hdqn", "env": "ALE/MontezumaRevenge-v5", "obs": obs, "timesteps": 1_600, "n_envs": 4,
        "runs": runs, "video_every": 0, "threads": 1, "set": small, "precision": "float32",
    }  # fmt: skip
    return TrainSettings(**{**fields, **changes})


@pytest.fixture
def model(tmp_path: Path) -> Any:
    settings = resolve(flags(tmp_path, n_envs=2))
    env = make_vec_env(settings.environment, 2, 1)
    model = build_agent(settings, env)
    model.set_logger(configure(None, []))
    yield model
    env.close()


def test_the_buffer_gives_back_observations_with_their_goals() -> None:
    inputs = np.array([[[[9]]], [[[7]]]], np.uint8)  # two goals, a mask of one pixel
    buffer = GoalReplayBuffer(
        8, spaces.Box(0, 255, (3, 1, 1), np.uint8), spaces.Discrete(4), "cpu", n_envs=1, frame_stack=2,
        goal_inputs=inputs, seed=1,
    )  # fmt: skip
    stacks = [(0, 1), (1, 2), (2, 3), (3, 4)]
    for step, goal in enumerate((0, 0, 1)):
        mask = inputs[goal, 0, 0, 0]
        obs, following = (np.array([[[[a]], [[b]], [[mask]]]], np.uint8) for a, b in stacks[step : step + 2])
        buffer.add(obs, following, np.array([step]), np.array([0.5]), np.array([step == 1]), [{"goal": goal}])
    samples = buffer.sample(64)
    rows = torch.cat([samples.observations.flatten(1), samples.next_observations.flatten(1), samples.actions], dim=1)
    assert sorted({tuple(row) for row in rows.tolist()}) == [
        (0, 1, 9, 1, 2, 9, 0), (1, 2, 9, 2, 3, 9, 1), (2, 3, 7, 3, 4, 7, 2),
    ]  # fmt: skip
    assert buffer.nbytes < 8 * 100


def test_the_controllers_epsilon_falls_as_a_goal_is_reached(model: HDQN) -> None:
    model.exploration_rate = 0.8
    model.reached[2:4] = [150, 10**6]  # of the 300 of the annealing
    model.successes[0, -4:] = [1, 1, 0, 1]
    model.successes[1, -2:] = [1, 1]
    epsilons = model.epsilons()
    # 1 - 3/4; the least; half of the line from 1 to 0.1; all of it; no success yet, but so many steps.
    assert epsilons[:5].tolist() == pytest.approx([0.25, 0.1, 0.55, 0.1, 0.8])
    assert model.success()[:3].tolist() == [0.75, 1.0, 0.0]
    model.exploration_rate = 0.2
    assert model.epsilons()[[0, 2]].tolist() == pytest.approx([0.2, 0.2])


def test_the_meta_controllers_epsilon_begins_to_fall_after_the_controller_was_alone(model: HDQN) -> None:
    seen = []
    for left in (1.0, 0.71, 0.7, 0.525, 0.35, 0.0):  # alone 0.3, then half of the rest
        model._current_progress_remaining = left
        model._on_step()
        seen.append(model.meta.exploration_rate)
    assert seen == pytest.approx([1.0, 1.0, 1.0, 0.55, 0.1, 0.1])


def test_the_best_allowed_goal_is_chosen(model: HDQN) -> None:
    with torch.no_grad():
        network: Any = model.meta.q_net.q_net
        head = network[-1]
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 1, 2, 3, 4, 5, 6]))
    observations = np.zeros((2, 128), np.uint8)
    allowed = np.ones((2, 7), np.bool_)
    allowed[1, 5:] = False
    model.meta.exploration_rate = 0.0
    assert model.choose_goals(observations, allowed).tolist() == [6, 4]
    model.meta.exploration_rate = 1.0
    draws = np.array([model.choose_goals(observations, allowed) for _ in range(300)])
    assert set(draws[:, 0]) == set(range(7)) and set(draws[:, 1]) == set(range(5))


def test_the_meta_controller_learns_what_a_goal_is_worth(model: HDQN) -> None:
    model._current_progress_remaining = 0.2
    observation = np.zeros(128, np.uint8)
    for _ in range(200):
        for goal, gained in ((2, 1.0), (3, 0.0)):
            model._learn_of(GoalEnd(observation, goal, gained, observation, True, False, reached=goal == 2))
    model.meta.lr_schedule = lambda _: 3e-3
    model._train_meta(300)
    values = model.meta.q_net(torch.zeros(1, 128, dtype=torch.uint8))[0]
    assert values[2].item() == pytest.approx(1.0, abs=0.1) and values[3].item() == pytest.approx(0.0, abs=0.1)
    assert model.success()[2] == 1.0 and model.success()[3] == 0.0
    assert all(parameter.grad is None for parameter in model.meta.q_net.parameters())


@pytest.mark.parametrize("obs", ["ram", "pixels"])
def test_a_training_resumes_exactly_and_its_run_folder_is_like_any_other(obs: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {} if obs == "ram" else {"timesteps": 60, "n_envs": 2}
    half = 800 if obs == "ram" else 30
    settings = flags(tmp_path, obs, **changes)
    train_new(resolve(settings), tmp_path / "whole", quiet=True)
    train_new(resolve(settings), tmp_path / "parts", pause_at=half, quiet=True)
    resume(ResumeSettings(tmp_path / "parts"))
    last = sorted((tmp_path / "whole/checkpoints").glob("step-*"))[-1]
    parts = tmp_path / "parts/checkpoints" / last.name
    names = json.loads((last / "manifest.json").read_text())
    compared = [name for name in names if not name.endswith(("counters.json", "state.json", "random.json"))]
    assert {"meta-optimizer.pt", "meta-memory.npz", "goals.npz"} <= set(compared)
    for name in compared:
        assert (last / name).read_bytes() == (parts / name).read_bytes(), name
    for name in ("goals.csv", "gravitar-log.txt", "traces/episodes.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes(), name
    if obs == "ram":
        rows = list(csv.DictReader((tmp_path / "whole/goals.csv").open()))
        assert len(rows) > 1 and sum(int(row[name]) for row in rows for name in row if name.endswith("chosen")) > 5
        assert (tmp_path / "whole/goals.png").exists()
        replay(ReplaySettings(tmp_path / "whole", verify=True, sample=2))
        evaluate(EvaluateSettings(tmp_path / "whole", games=1, n_envs=1, json=tmp_path / "result.json"))
        assert json.loads((tmp_path / "result.json").read_text())["n"] == 1
        with pytest.raises(UserError, match="an agent with goals cannot be exported"):
            plain_model(resolve(settings), RunFolder(tmp_path / "whole").checkpoints / last.name)


@pytest.mark.parametrize("obs", ["ram", "pixels"])
def test_a_lost_life_ends_the_goal_unless_asked_otherwise(obs: str, tmp_path: Path) -> None:
    assert resolve(flags(tmp_path, obs)).environment.protocol.life_loss_terminal
    assert not resolve(flags(tmp_path, obs, life_loss=False)).environment.protocol.life_loss_terminal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "ALE/Pong-v5"}, r"pong has no goals \(games that have: montezuma_revenge, gravitar\)"),
        ({"env": "ALE/Gravitar-v5", "obs": "pixels"}, "where the goals of gravitar are on the screen is not known"),
        ({"timesteps": None, "episodes": 5}, "hdqn counts its phases in agent steps; give --timesteps"),
        ({"frame_stack": 2}, "hdqn sees the RAM of one moment; add --frame-stack 1"),
        ({"set": ("patience=0",)}, "patience must be at least 1"),
        ({"set": ("alone=1.5",)}, "alone must be at least 0 and at most 1"),
        ({"set": ("meta_bufer_size=9",)}, "unknown key 'meta_bufer_size' for hdqn; did you mean 'meta_buffer_size'"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        resolve(flags(tmp_path, **changes))
