"""BipedalWalker: trainings that are paused and resumed, their logs and traces, and what bad input gets."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from callbacks.agent_log import AGENT_LINE
from callbacks.learning_curve import LearningCurveCallback
from callbacks.scores import ScoreHistory
from common.cli import arguments_of, run_cli
from common.errors import UserError
from common.extras import missing_extra
from common.launch import LaunchSettings
from common.run_folder import RunFolder
from common.traces import Trace, TracedEpisode, TraceHeader, read_episodes, read_header
from common.video_names import game_name, video_file_name
from rl.commands.pack import pack
from rl.commands.walker import train_settings, train_walker
from rl.commands.walker_options import WalkerTrainSettings
from rl.envs.make_env import EnvironmentSettings, make_vec_env
from rl.envs.protocols import Protocol
from rl.options import PackSettings
from rl.replicates import replicates
from rl.settings import RunSettings, resolve
from rl.traces.playback import make_player, play
from rl.traces.verification import verify
from rl.train import run_callbacks, train_new, train_on

SMALL = {
    "ppo": ("policy_kwargs=dict(net_arch=[8])", "n_envs=2", "n_steps=40", "batch_size=10", "n_epochs=2"),
    "td3": ("policy_kwargs=dict(net_arch=[8])", "noise_type=ornstein-uhlenbeck", "noise_std=0.2"),
    "sac": ("policy_kwargs=dict(net_arch=[8])", "gradient_steps=2"),
    "tqc": ("policy_kwargs=dict(net_arch=[8], n_quantiles=5)", "n_envs=2", "ent_coef=0.01"),
    "crossq": ("policy_kwargs=dict(net_arch=dict(pi=[8], qf=[8]))",),
}
# `counters.json` holds seconds, `state.json` too.
EXACT = (
    "environment.json",
    "memory.npz",
    "observations.safetensors",
    "optimizer.pt",
    "policy.safetensors",
    "random.json",
)
NO_REPLAY = ("memory.npz",)  # what PPO has not


def small(algo: str, *assignments: str, **flags: Any) -> RunSettings:
    """A training of 400 steps; all but PPO learn from step 250 on."""
    replay = () if algo == "ppo" else ("learning_starts=250", "buffer_size=300")
    values = ("batch_size=8", *replay, *SMALL[algo], *assignments)
    options = {"timesteps": 400, "video_every": 0, "checkpoint_every": 150, **flags}
    user = WalkerTrainSettings(algo=algo, set=values, **options)
    return resolve(train_settings(user), "walker")


@pytest.mark.parametrize("algo", SMALL)
def test_a_paused_run_ends_as_the_whole_one(tmp_path: Path, algo: str) -> None:
    settings = small(algo)
    whole, paused = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "paused")
    train_new(settings, whole.path, quiet=True)
    train_new(settings, paused.path, pause_at=301, quiet=True)
    assert not (paused.checkpoints / "step-000000400").exists()
    train_on(settings, paused, quiet=True)
    for name in ("agent-log.txt", "traces/episodes.jsonl"):
        assert (paused.path / name).read_bytes() == (whole.path / name).read_bytes()
    for name in EXACT if algo != "ppo" else sorted({*EXACT} - {*NO_REPLAY}):
        one, other = ((run.checkpoints / "step-000000400" / name).read_bytes() for run in (paused, whole))
        assert one == other, name
    episodes = list(read_episodes(whole.traces))
    lines = [AGENT_LINE.format(number, one.score) for number, one in enumerate(episodes, 1)]
    assert lines and whole.agent_log.read_text().splitlines() == lines
    found = verify(whole.path, processes=1)
    assert not found.differences
    assert found.compared == {name: len(lines) for name in ("episodes.jsonl", "monitor.csv", "agent-log.txt")}


@pytest.mark.parametrize("algo", SMALL)
def test_hardcore_has_a_configuration_of_every_method(tmp_path: Path, algo: str) -> None:
    late = () if algo == "ppo" else ("learning_starts=130",)
    settings = small(algo, *late, hardcore=True, timesteps=150)
    assert settings.source.endswith("block 'BipedalWalkerHardcore-v3'")
    assert settings.parsed.algorithm["gamma"] == 0.99  # the zoo's in hardcore, whose episodes are longer
    run = RunFolder(tmp_path / "run")
    train_new(settings, run.path, quiet=True)
    assert read_header(run.traces).env_id == "BipedalWalkerHardcore-v3"
    last = max(run.checkpoints.glob("step-*"))
    assert last.name >= "step-000000150"
    assert all(tensor.isfinite().all() for tensor in load_file(last / "policy.safetensors").values())


def test_the_learning_curve_has_means_of_ten_episodes_and_is_drawn_every_ten(tmp_path: Path) -> None:
    callbacks = run_callbacks(small("td3"), RunFolder(tmp_path), ScoreHistory(), quiet=True)
    (curve,) = (one for one in callbacks if isinstance(one, LearningCurveCallback))
    assert (curve.every, curve.interval) == (10, 10)


def test_replicates_differ_in_the_seed_and_the_name() -> None:
    user = WalkerTrainSettings(hardcore=True, array_seeds=2, launch=LaunchSettings("local"))
    runs = replicates(user, "walker", train_settings)
    assert [settings.name for _, settings in runs] == ["crossq-hardcore-42", "crossq-hardcore-43"]
    assert {settings.environment.env_id for _, settings in runs} == {"BipedalWalkerHardcore-v3"}
    # The command line of each says its settings.
    assert [arguments_of(one) for one, _ in runs] == [["--hardcore"], ["--hardcore", "--seed", "43"]]
    found: list[WalkerTrainSettings] = []
    for one, _ in runs:
        assert run_cli({"train": (WalkerTrainSettings, found.append)}, ["train", *arguments_of(one)]) == 0
    assert found == [one for one, _ in runs]
    with pytest.raises(UserError, match="--launcher local or --launcher slurm"):
        train_walker(WalkerTrainSettings(array_seeds=2))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that the tests do not change."""
    folder = RunFolder(tmp_path_factory.mktemp("walker") / "run")
    train_new(small("crossq"), folder.path, quiet=True)
    return folder


def test_a_packed_run_has_the_agent_log_and_plays(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = RunFolder(tmp_path / "packed")
    pack(PackSettings(run.path, packed.path))
    kept = list(read_episodes(packed.traces))
    games = ", ".join(f"{one.episode + 1} ({one.score:g})" for one in kept)  # counted as in the log
    assert capsys.readouterr().out.endswith(f"games {games}\n")
    for name in ("agent-log.txt", "monitor.csv", "settings.yml", "learning-curve.png"):
        assert (packed.path / name).read_bytes() == (run.path / name).read_bytes()
    assert not verify(packed.path, sample=len(kept), processes=1).differences


def test_a_changed_agent_log_is_found(run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(run.path, tmp_path / "run"))
    first, *others = run.agent_log.read_text().splitlines(keepends=True)
    run.agent_log.write_text(f"episode: 1, reward: {float(first.split()[-1]) + 0.5}\n" + "".join(others))
    (difference,) = verify(run.path, processes=1).differences
    assert difference.episode == 0 and "agent-log.txt says" in difference.message


def test_an_episode_replays_whatever_its_environment_played_before() -> None:
    # In a world of Box2D that was used before, some of these replay differently.
    env = make_vec_env(EnvironmentSettings("BipedalWalkerHardcore-v3", "vector", Protocol(frame_stack=1)), 1, seed=3)
    env.reset()
    actions = np.random.default_rng(0)
    traced: list[TracedEpisode] = []
    while len(traced) < 6:
        _, _, _, (info,) = env.step(actions.uniform(-1, 1, (1, 4)).astype(np.float32))
        if "trace" in info:
            traced.append(TracedEpisode(len(traced), info["episode"]["r"], info["episode"]["l"], info["trace"]))
    env.close()
    player = make_player(TraceHeader("BipedalWalkerHardcore-v3"))
    for one in reversed(traced):
        assert one.trace.actions.dtype == np.float32
        result = play(player, one)
        assert (result.score, result.length) == (one.score, one.length)


@pytest.mark.parametrize("action", [[0.0, 0.0, 0.0, 1.01], [0.0, 0.0, np.nan, 0.0]])
def test_an_action_outside_the_box_is_refused(action: list[float]) -> None:
    trace = Trace(1, np.zeros(0, np.uint8), np.array([action], np.float32))
    with pytest.raises(UserError, match="episode 7 cannot be played: its actions are not those of the environment"):
        play(make_player(TraceHeader("BipedalWalker-v3")), TracedEpisode(7, 0.0, 1, trace))


def test_names_of_videos_are_those_of_the_assignment() -> None:
    plain, hardcore = TraceHeader("BipedalWalker-v3"), TraceHeader("BipedalWalker-v3", {"hardcore": True})
    assert video_file_name(game_name(plain), 224, -70.4) == "part2-agent-video,episode=225,score=-70.mp4"
    assert video_file_name(game_name(hardcore), 609, 185.0) == "part2-agent-video-hardcore,episode=610,score=185.mp4"
    registered = game_name(TraceHeader("BipedalWalkerHardcore-v3"))
    assert video_file_name(registered, 609, 185.0) == "part2-agent-video-hardcore,episode=610,score=185.mp4"


def test_without_box2d_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "Box2D" else found(name, *more)
    )
    with pytest.raises(ModuleNotFoundError) as error:
        make_vec_env(EnvironmentSettings("BipedalWalker-v3", "vector", Protocol(frame_stack=1)), 1, seed=1)
    assert str(missing_extra(error.value)) == (
        "this needs Box2D, which is not installed: pip install 'gravitar-pegasus[walker]'"
    )


@pytest.mark.parametrize(("library", "extra"), [("Box2D", "walker"), ("pygame", "window")])
def test_a_replay_names_the_extra_as_well(monkeypatch: pytest.MonkeyPatch, library: str, extra: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == library else found(name, *more)
    )
    with pytest.raises(ModuleNotFoundError) as error:
        make_player(TraceHeader("BipedalWalker-v3"), render=True)
    assert f"pip install 'gravitar-pegasus[{extra}]'" in str(missing_extra(error.value))


def test_hardcore_is_for_the_walker_alone() -> None:
    assert train_settings(WalkerTrainSettings(hardcore=True)).env == "BipedalWalkerHardcore-v3"
    assert train_settings(WalkerTrainSettings(hardcore=True)).name == "crossq-hardcore-42"
    with pytest.raises(UserError, match=r"--hardcore is for BipedalWalker, not for Pendulum-v1"):
        train_settings(WalkerTrainSettings(hardcore=True, env="Pendulum-v1"))


def test_the_trace_says_which_box2d(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train_new(small("sac"), run.path, quiet=True, pause_at=50)
    assert read_header(run.traces).versions.keys() == {"gymnasium", "box2d"}
