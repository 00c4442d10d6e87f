"""Starts from an archive's states: which are chosen, and episodes that begin there."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import UserError
from common.traces import Trace, TracedEpisode
from rl.envs.atari_env import AtariVecEnv
from rl.envs.atari_game import AtariGame, GameSettings
from rl.envs.protocols import Protocol
from rl.envs.ram import SCORE, bcd
from rl.envs.saved_starts import SavedStarts
from rl.exploration.archive import Archive, Entry, Lineage, State
from rl.exploration.games import Moment
from rl.exploration.starts import STARTS, STRIDE, choose_starts, lasting, read_starts, states_of_games
from rl.explore import explore
from rl.options import ExploreSettings, ResumeSettings, TrainSettings
from rl.settings import RunSettings, resolve
from rl.train import resume, train, train_new

UP = 2


def entry(stage: int, number: int, line: Lineage) -> Entry:
    return Entry(Moment((stage,), (number, 0), 0, 6, 0), State(b"", ()), 0, line)


def archive_of(*entries: Entry) -> Archive:
    archive = Archive(1_000)
    for one in entries:
        archive.offer(one)
    return archive


def test_states_after_which_the_game_went_on() -> None:
    start = Lineage(None, b"")
    # One rollout of 20 actions left states at its steps 3, 8 and 20; from the last two others began.
    actions = bytes(range(20))
    early, later, last = (Lineage(start, actions[:step]) for step in (3, 8, 20))
    short, long = Lineage(later, b"\1" * 14), Lineage(last, b"\1" * 15)
    other = Lineage(start, b"\5" * 30)
    lines = (early, later, last, short, long, other)
    kept = {one.moment.position[0] for one in lasting(archive_of(*(entry(0, *pair) for pair in enumerate(lines))))}
    # 3 + 15 <= 20 lasted; 8 + 15 > 20, and 14 steps from there, did not; 15 steps after the last one did.
    assert kept == {0, 2}


def test_as_many_of_each_stage() -> None:
    start = Lineage(None, b"")
    entries = []
    for stage, size in ((1, 40), (2, 4), (3, 9)):
        for number in range(size):
            line = Lineage(start, bytes([stage, number]))
            entries += [entry(stage, number, line), entry(stage, 100 + number, Lineage(line, b"\1" * 20))]
    chosen = choose_starts(archive_of(*entries), np.random.default_rng(1), 18)
    stages = [one.moment.stage[0] for one in chosen]
    assert [stages.count(stage) for stage in (1, 2, 3)] == [7, 4, 7]
    assert len({one.moment.cell for one in chosen}) == 18


@pytest.fixture(scope="module")
def saved() -> SavedStarts:
    """Two states of a game, on the way into the sun."""
    game = AtariGame(GameSettings("gravitar"))
    states = []
    for steps in (4, 12):
        game.reset(3)
        for _ in range(steps):
            game.step(UP)
        states.append(zlib.compress(game.save_state(with_generator=False)))
    return SavedStarts(tuple(states), (UP, UP), environments=2)


def make(saved: SavedStarts | None, workers: int = 1) -> AtariVecEnv:
    return AtariVecEnv("gravitar", 3, "ram", Protocol(life_loss_terminal=True), 9, workers=workers, saved=saved)


def test_episodes_begin_at_the_states_and_end_with_a_life(saved: SavedStarts) -> None:
    env = make(saved)
    begun: Any = env.reset()
    assert np.array_equal(begun[2], make(None).reset()[2])
    game = AtariGame(GameSettings("gravitar"))
    ram = np.zeros(128, np.uint8)
    memories = []
    for state, last_action in zip(saved.states, saved.last_actions, strict=True):
        game.restore_state(zlib.decompress(state), last_action, 1)
        game.ram(ram)
        memories.append(ram.tobytes())
    assert {memory.tobytes() for memory in begun[:2]} <= set(memories)
    ends: list[tuple[int, dict[str, Any]]] = []
    for _ in range(400):
        step: Any = env.step(np.full(3, UP))
        observations, _, dones, infos = step
        for index in np.flatnonzero(dones):
            ends.append((int(index), infos[index]))
            if index < 2:
                assert observations[index].tobytes() in memories
    env.close()
    starts_envs = [info for index, info in ends if index < 2]
    assert len(starts_envs) > 10 and not any("episode" in info or "trace" in info for info in starts_envs)
    assert all(not info["TimeLimit.truncated"] and "terminal_observation" in info for info in starts_envs)
    assert sum("episode" in info for index, info in ends if index == 2) >= 1


def test_they_go_on_in_another_process_where_they_were(saved: SavedStarts) -> None:
    rng = np.random.default_rng(4)
    actions = rng.integers(18, size=(160, 3))
    first = make(saved)
    first.reset()

    def steps(env: AtariVecEnv, actions: np.ndarray) -> list[list[bytes]]:
        return [[np.asarray(part).tobytes() for part in env.step(action)[:3]] for action in actions]

    newest = steps(first, actions[:100])[-1][0]
    state = json.loads(json.dumps(first.state()))
    expected = steps(first, actions[100:])
    first.close()
    second = make(saved, workers=2)
    second.reset()
    assert second.load_state(state).tobytes() == newest
    assert steps(second, actions[100:]) == expected
    second.close()


def random_game(game: AtariGame, seed: int) -> TracedEpisode:
    rng = np.random.default_rng(seed)
    game.reset(seed)
    actions, score, over = [], 0.0, False
    while not over:
        actions.append(int(rng.integers(18)))
        reward, terminated, truncated = game.step(actions[-1])
        score += reward
        over = terminated or truncated
    return TracedEpisode(seed, score, len(actions), Trace(seed, np.zeros(0, np.uint8), np.array(actions, np.uint8)))


def test_states_of_games_are_from_the_median_score_on_and_not_about_to_end() -> None:
    game = AtariGame(GameSettings("gravitar"))
    episodes = [random_game(game, seed) for seed in range(5)]
    median = sorted(episode.score for episode in episodes)[2]
    found = states_of_games(game, episodes)
    assert set(found) == {score for score in found if isinstance(score, float) and score >= median} != set()
    rng = np.random.default_rng(1)
    ram = np.zeros(128, np.uint8)
    for score, starts in found.items():
        for state, last_action in starts[:: max(1, len(starts) // 10)]:
            game.restore_state(state, last_action, noise_seed=int(rng.integers(100)))
            game.ram(ram)
            assert bcd(ram[SCORE].tobytes()) == score
    assert STRIDE * sum(map(len, found.values())) < sum(len(episode.trace.actions) for episode in episodes)


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("searches")
    more: dict[str, Any] = {"processes": 1, "video": False, "runs": runs}
    explore(ExploreSettings(timesteps=4_000, noise="fresh", name="fresh", **more))
    explore(ExploreSettings(timesteps=100, noise="fixed", name="fixed", **more))
    return runs / "gravitar"


def flags(searches: Path, runs: Path, **changes: Any) -> TrainSettings:
    fields: dict[str, Any] = {
        "preset": "smoke", "life_loss": True, "starts": searches / "fresh", "timesteps": 1_024, "runs": runs,
        "name": "a", "video_every": 0, "n_envs": 4, "set": ("n_steps=64", "batch_size=128"),
    }  # fmt: skip
    return TrainSettings(**{**fields, **changes})


def test_a_training_with_starts_resumes_exactly(searches: Path, tmp_path: Path) -> None:
    train(flags(searches, tmp_path, name="whole"))
    whole = tmp_path / "gravitar/whole"
    assert RunSettings.from_yaml(whole / "settings.yml").starts_envs == 2
    content = (whole / STARTS).read_bytes()
    starts = read_starts(content, 2)
    assert len(starts.states) == len(starts.last_actions) > 20
    search = shutil.copytree(searches / "fresh", tmp_path / "search")
    settings = resolve(flags(searches, tmp_path, name="parts", starts=search))
    train_new(settings, tmp_path / "gravitar/parts", pause_at=512)
    shutil.rmtree(search)
    resume(ResumeSettings(tmp_path / "gravitar/parts"))  # without the search
    for name in ("policy.safetensors", "optimizer.pt", "environment.json", "observations.safetensors"):
        pair = [run / "checkpoints/step-000001024" / name for run in (whole, tmp_path / "gravitar/parts")]
        assert pair[0].read_bytes() == pair[1].read_bytes(), name


def test_mistakes(searches: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"frame_skip": "2-4"}, "--starts needs a fixed frame skip"),
        ({"sticky": 1.0}, "--starts needs a fixed frame skip and --sticky below 1"),
        ({"life_loss": False}, "--starts needs --life-loss True"),
        ({"obs": "pixels"}, "--starts needs an Atari game's RAM"),
        ({"starts_share": 1.0}, "--starts-share 1 of 4 environments"),
        ({"starts_share": 0.1}, "--starts-share 0.1 of 4 environments"),
        ({"starts": searches / "fixed"}, "has fixed noise.*--noise fresh"),
        ({"starts": searches / "none"}, "is not a run folder"),
        ({"env": "ALE/MontezumaRevenge-v5"}, "is of ALE/Gravitar-v5, not ALE/MontezumaRevenge-v5"),
    ):
        with pytest.raises(UserError, match=message):
            train(flags(searches, tmp_path, **changes))
    assert not (tmp_path / "gravitar").exists(), "nothing half-written"
    train(flags(searches, tmp_path))
    with pytest.raises(UserError, match="the run has starts_envs = 2, not 1"):
        train(flags(searches, tmp_path, starts_share=0.25, resume_if_exists=True))
    (tmp_path / "gravitar/a" / STARTS).rename(tmp_path / "kept")
    with pytest.raises(UserError, match=r"starts.npz is missing, from whose states the run began"):
        resume(ResumeSettings(tmp_path / "gravitar/a", timesteps=2_000))
    (tmp_path / "gravitar/a" / STARTS).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"the run's starts.npz is damaged"):
        resume(ResumeSettings(tmp_path / "gravitar/a", timesteps=2_000))
