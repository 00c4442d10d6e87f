"""Pong: the homework's log to the letter, its actions and exploration, exact resume, and what bad input gets."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from callbacks.interaction_log import EPISODE_LINE
from common.cli import arguments_of, run_cli
from common.errors import UserError
from common.run_folder import RunFolder
from common.traces import read_episodes, read_header
from rl.agent import build_agent, explore_by
from rl.algorithms.features import CNN2013
from rl.algorithms.weighted_actions import WeightedActions
from rl.commands.pong_options import PongTrainSettings
from rl.envs import protocols
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.make_env import make_vec_env
from rl.options import ResumeSettings
from rl.presets import PONG_PRESETS
from rl.settings import RunSettings, resolve
from rl.traces.verification import verify
from rl.train import resume, train

EPISODE = r"Episode: \d+, interaction_steps: \d+, reward: -?\d+, epsilon: \d\.\d{6}"
EVALUATION = r"Evaluation: True, episode: \d+, interaction_steps: \d+, evaluate reward: -?\d+"


@pytest.fixture(scope="module", autouse=True)
def _short_games() -> Any:
    """Games of 400 frames, so that a training of seconds has some."""
    short = {**protocols.PROTOCOLS, "pong": dataclasses.replace(protocols.PROTOCOLS["pong"], max_frames=400)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocols, "PROTOCOLS", short)
        yield


def options(folder: Path, name: str = "first", **changes: Any) -> PongTrainSettings:
    given = {
        "preset": "smoke",
        "algo": "dqn",
        "action_probabilities": (0.3, 0.6, 0.1),
        "epsilon_decay": 1000,
        "timesteps": 1300,
    }
    given |= {
        "video_every": 0,
        "checkpoint_every": 500,
        "set": ("learning_starts=200",),
        "device": "cpu",
        "runs": folder,
        "name": name,
    }
    return PongTrainSettings(**{**given, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs")
    train(options(folder), "pong")
    return RunFolder(folder / "pong" / "first")


def test_the_log_has_the_homeworks_lines(run: RunFolder) -> None:
    lines = run.interaction_log.read_text().splitlines()
    episodes = [line for line in lines if line.startswith("Episode")]
    evaluations = [line for line in lines if line.startswith("Evaluation")]
    assert len(episodes) + len(evaluations) == len(lines)
    assert all(re.fullmatch(EPISODE, line) for line in episodes) and len(episodes) >= 11
    assert all(re.fullmatch(EVALUATION, line) for line in evaluations)
    numbers = [int(line.split(",")[1].split(": ")[1]) for line in evaluations]
    assert numbers == [1, 11]
    scores = [float(line.split(",")[0]) for line in run.monitor.read_text().splitlines()[2:]]
    assert [float(line.split("reward: ")[1].split(",")[0]) for line in episodes] == scores
    # Epsilon falls from 1 to 0.05 over 1,000 steps, 0.95 / 1000 a step.
    for line in episodes:
        steps, epsilon = int(line.split("interaction_steps: ")[1].split(",")[0]), float(line.split("epsilon: ")[1])
        assert epsilon == pytest.approx(max(0.05, 1 - 0.95 * steps / 1000), abs=2e-6)


def test_the_homeworks_own_numbers() -> None:
    # Its first line: 2,048 steps of a million, 0.01 at the end.
    settings = resolve(PongTrainSettings(preset="homework", device="cpu", n_envs=1, set=("buffer_size=100",)), "pong")
    env = make_vec_env(settings.environment, 1, 0)
    try:
        model: Any = build_agent(settings, env)
    finally:
        env.close()
    epsilon = model.exploration_schedule(1 - 2048 / settings.timesteps)
    line = EPISODE_LINE.format(1, 2048, 12.0, epsilon)
    assert line == "Episode: 1, interaction_steps: 2048, reward: 12, epsilon: 0.997972"


def test_actions_in_the_trace_are_the_three_and_exploring_prefers_up(run: RunFolder) -> None:
    header = read_header(run.traces)
    assert header.game is not None and header.game["actions"] == ["NOOP", "UP", "DOWN"]
    first = np.concatenate([traced.trace.actions for traced in list(read_episodes(run.traces))[:2]])
    assert set(first.tolist()) == {0, 1, 2}  # epsilon is above 0.8 there
    assert (first == 1).mean() > 0.45 > (first == 0).mean() > (first == 2).mean()


def test_every_game_replays(run: RunFolder) -> None:
    found = verify(run.path, processes=1)
    assert not found.differences and found.episodes >= 11


def test_a_run_that_goes_on_ends_as_if_it_had_not_stopped(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "cut")
    shutil.copytree(run.path, copy.path)
    for later in sorted(copy.checkpoints.glob("step-*"))[1:]:
        shutil.rmtree(later)
    resume(ResumeSettings(copy.path))
    assert copy.interaction_log.read_bytes() == run.interaction_log.read_bytes()
    assert copy.traces.read_bytes() == run.traces.read_bytes()
    last = sorted(run.checkpoints.glob("step-*"))[-1]
    ours = copy.checkpoints / last.name / "policy.safetensors"
    assert ours.read_bytes() == (last / "policy.safetensors").read_bytes()


def test_up_moves_the_paddle_up() -> None:
    height = {}
    for word in ("UP", "DOWN"):
        game = AtariGame(GameSettings("pong", sticky=0.0, actions=("NOOP", word)))
        game.reset(0)
        for _ in range(20):
            game.step(0)
        for _ in range(3):
            game.step(1)
        ram = np.zeros(128, np.uint8)
        game.ram(ram)
        height[word] = int(ram[51])  # the paddle's place, counted from the top
    assert height["UP"] < height["DOWN"]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (("NOOP", "UPWARDS"), "'UPWARDS' is no action of pong"),
        (("NOOP", "UP", "RIGHT"), "the action 'RIGHT' of pong stands there twice"),
        (("UP", "NOOP"), "the first action has to be NOOP"),
    ],
)
def test_actions_that_a_game_has_not_are_refused(actions: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as raised:
        AtariGame(GameSettings("pong", actions=actions))
    assert message in str(raised.value)


@pytest.mark.parametrize("preset", PONG_PRESETS)
def test_presets_resolve(preset: str) -> None:
    settings = resolve(PongTrainSettings(preset=preset), "pong")
    assert settings.task == "pong" and settings.algo == PONG_PRESETS[preset]["algo"]
    assert settings.environment.protocol.sticky == 0
    three = settings.environment.protocol.actions == ("NOOP", "UP", "DOWN")
    assert three is (preset != "dqn2013")


def test_the_first_dqn_has_the_papers_network() -> None:
    settings = resolve(PongTrainSettings(preset="dqn2013", n_envs=1, device="cpu", set=("buffer_size=100",)), "pong")
    env = make_vec_env(settings.environment, 1, 0)
    try:
        model: Any = build_agent(settings, env)
    finally:
        env.close()
    network = model.q_net
    assert isinstance(network.features_extractor, CNN2013) and isinstance(model.policy.optimizer, torch.optim.RMSprop)
    sizes = [tuple(parameter.shape) for name, parameter in network.named_parameters() if name.endswith("weight")]
    # 84 pixels: 20x20 after the first convolution, 9x9 after the second, 32 * 81 = 2592 into 256 units, six actions.
    assert sizes == [(16, 4, 8, 8), (32, 16, 4, 4), (256, 2592), (6, 256)]
    assert (model.exploration_fraction, model.exploration_final_eps) == (0.1, 0.1)


def test_exploring_by_probabilities_needs_one_for_each_action() -> None:
    settings = resolve(PongTrainSettings(preset="smoke", device="cpu"), "pong")
    env = make_vec_env(settings.environment, 1, 0)
    try:
        model = build_agent(settings, env)
    finally:
        env.close()
    explore_by(model, ())
    assert not isinstance(model.action_space, WeightedActions)
    with pytest.raises(UserError, match="2 probabilities for 3 actions"):
        explore_by(model, (0.5, 0.5))
    explore_by(model, (0.2, 0.3, 0.5))
    assert isinstance(model.action_space, WeightedActions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon_decay": 5000}, "--epsilon-decay 5000: the run ends after 1300 steps, before epsilon has come down"),
        ({"epsilon_decay": 0}, "--epsilon-decay must be at least 1"),
        (
            {"epsilon_decay": None, "timesteps": None, "episodes": 3},
            "never ends with --episodes: add --epsilon-decay",
        ),
        ({"set": ("exploration_fraction=2",)}, "exploration_fraction must be above 0 and at most 1, not 2"),
        ({"algo": "ppo", "set": (), "epsilon_decay": None}, "--action-probabilities is for dqn and qrdqn, not for ppo"),
        ({"action_probabilities": (0.33, 0.33, 0.33)}, "they add to 0.99, not to 1"),
        ({"action_probabilities": (0.5, 0.5)}, "2 probabilities for 3 actions"),
        ({"actions": ("NOOP", "SIDEWAYS")}, "'SIDEWAYS' is no action of pong"),
        ({"preset": "demo"}, "unknown preset 'demo' (known: fast, homework, dqn2013, smoke)"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        train(options(tmp_path, **changes), "pong")
    assert message in str(raised.value) and not (tmp_path / "pong").exists()


def test_a_command_line_says_its_settings() -> None:
    settings = PongTrainSettings(
        preset="homework", action_probabilities=(0.3, 0.6, 0.1), epsilon_decay=4_000_000, actions=("NOOP", "UP")
    )
    found: list[PongTrainSettings] = []
    assert run_cli({"train": (PongTrainSettings, found.append)}, ["train", *arguments_of(settings)]) == 0
    assert found == [settings] and arguments_of(PongTrainSettings()) == []


def test_settings_say_the_exploration(run: RunFolder) -> None:
    settings = RunSettings.from_yaml(run.settings)
    assert (settings.action_probabilities, settings.epsilon_decay, settings.task) == ((0.3, 0.6, 0.1), 1000, "pong")
    last = sorted(run.checkpoints.glob("step-*"))[-1]
    assert "bit_generator" in json.loads((last / "random.json").read_text())["action_space"]
