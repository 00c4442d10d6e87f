"""The search on the real emulator: the same with any number of processes, and every way found is a game."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import Interrupted, UserError
from common.run_folder import RunFolder
from common.traces import read_episodes, read_header
from rl.envs.atari_game import AtariGame, GameSettings
from rl.evaluate import evaluate
from rl.exploration import explorer as rounds
from rl.exploration.archive import StateParts
from rl.exploration.explorer import Explorer
from rl.exploration.games import gravitar
from rl.exploration.settings import ARCHIVE, load_archive
from rl.explore import explore
from rl.options import EvaluateSettings, ExploreSettings, ResumeSettings
from rl.traces.verification import verify
from rl.train import resume

GAME = GameSettings("gravitar")


@pytest.fixture(autouse=True)
def small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "ROUND", 8)
    monkeypatch.setattr(rounds, "ROLLOUT_STEPS", 30)


def explored(noise_fixed: bool, processes: int = 1, count: int = 4) -> Explorer:
    explorer = Explorer(GAME, 5, noise_fixed, 1_000, processes)
    for _ in range(count):
        explorer.play_round()
    explorer.close()
    return explorer


alone = cache(explored)


def assert_same(one: Explorer, other: Explorer) -> None:
    ours, theirs = one.archive.arrays(), other.archive.arrays()
    assert (one.steps, ours.keys()) == (other.steps, theirs.keys())
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("noise_fixed", [True, False])
def test_what_is_found_does_not_depend_on_the_number_of_processes(noise_fixed: bool) -> None:
    assert len(alone(noise_fixed).archive) > 30
    assert_same(alone(noise_fixed), explored(noise_fixed, processes=2))


def test_every_way_to_a_state_is_a_game() -> None:
    explorer = explored(True, count=8)
    game = AtariGame(GAME)
    ram = np.zeros(128, np.uint8)
    parts = StateParts(game.save_state())
    deepest = sorted(explorer.archive.entries, key=lambda entry: len(entry.line.all_actions()))[-12:]
    for entry in deepest:
        game.reset(explorer.game_seed)
        score = sum(game.step(action)[0] for action in entry.line.all_actions())
        game.ram(ram)
        assert score == entry.moment.score
        assert gravitar(ram.tobytes()) == entry.moment
        assert game.save_state() == parts.join(entry.state)


def test_fresh_noise_plays_differently() -> None:
    assert alone(True).archive.arrays()["moments"].tolist() != alone(False).archive.arrays()["moments"].tolist()


def search(runs: Path, name: str, timesteps: int, **flags: object) -> Path:
    """With the seed 28 the first points come after some 890 steps."""
    fields: dict[str, Any] = {"seed": 28, "processes": 1, "video": False, **flags}
    explore(ExploreSettings(timesteps=timesteps, name=name, runs=runs, **fields))
    return runs / "gravitar" / name


def archive_bytes(run: Path) -> list[bytes]:
    _, archive = load_archive(run)
    arrays = archive.arrays()
    return [arrays[name].tobytes() for name in sorted(arrays)]


def test_a_resumed_search_equals_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search(tmp_path, "whole", 2_000)
    first = search(tmp_path, "parts", 700)
    resume(ResumeSettings(first, timesteps=1_400))
    search(tmp_path, "parts", 2_000, resume_if_exists=True)
    assert archive_bytes(whole) == archive_bytes(first)
    assert RunFolder(whole).traces.read_bytes() == RunFolder(first).traces.read_bytes()
    columns = [
        [line.split(",")[0:1] + line.split(",")[2:] for line in (run / "exploration.csv").read_text().splitlines()]
        for run in (whole, first)
    ]
    assert columns[0] == columns[1] and len(columns[0]) > 1
    assert len(list(RunFolder(first).checkpoints.glob("step-*"))) == 2

    def play_and(stop: Callable[[], object], self: Explorer) -> None:
        play(self)
        if self.archive.best().moment.score and self.steps > 1_000:
            stop()

    def dies() -> None:
        raise KeyboardInterrupt  # as a kill: nothing is saved

    play = Explorer.play_round
    # A signal saves; a kill leaves lines in the log that came after the last checkpoint.
    stop = lambda: signal.raise_signal(signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(Explorer, "play_round", lambda self: play_and(stop, self))
    with pytest.raises(Interrupted, match=r"saved .*step-0000.*; go on with: run_gravitar.py resume"):
        search(tmp_path, "stopped", 2_000)
    monkeypatch.setattr(Explorer, "play_round", play)
    killed = search(tmp_path, "killed", 600)
    monkeypatch.setattr(Explorer, "play_round", lambda self: play_and(dies, self))
    with pytest.raises(KeyboardInterrupt):
        resume(ResumeSettings(killed, timesteps=2_000))
    assert len((killed / "exploration.csv").read_text().splitlines()) > 1
    monkeypatch.setattr(Explorer, "play_round", play)
    for name in ("stopped", "killed"):
        resume(ResumeSettings(tmp_path / "gravitar" / name, timesteps=2_000))
        assert archive_bytes(tmp_path / "gravitar" / name) == archive_bytes(whole)
        rows = (tmp_path / "gravitar" / name / "exploration.csv").read_text().splitlines()
        assert [line.split(",")[2:] for line in rows] == [line[1:] for line in columns[0]]


def test_the_best_game_is_a_trace_that_verifies_and_says_how_it_was_found(tmp_path: Path) -> None:
    run = search(tmp_path, "found", 1_500)
    _, archive = load_archive(run)
    episodes = list(read_episodes(RunFolder(run).traces))
    assert read_header(RunFolder(run).traces).note == "found by search"
    assert len(episodes) == 1 and episodes[0].score >= archive.best().moment.score > 0
    found = verify(run)
    assert not found.differences and found.compared == {"episodes.jsonl": 1}


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="CartPole-v1 is not an Atari game"):
        search(tmp_path, "a", 100, env="CartPole-v1")
    with pytest.raises(UserError, match="pong has no cells"):
        search(tmp_path, "a", 100, env="ALE/Pong-v5")
    with pytest.raises(UserError, match=r"draws its frame skip at random.*explore its v5 id"):
        search(tmp_path, "a", 100, env="Gravitar-v0")
    with pytest.raises(UserError, match="--cells must be at least 100, not 5"):
        search(tmp_path, "a", 100, cells=5)
    with pytest.raises(UserError, match=r"there is no run folder|is not a run folder"):
        load_archive(tmp_path / "gravitar/a")
    run = search(tmp_path, "a", 300)
    with pytest.raises(UserError, match="exists and is never overwritten"):
        search(tmp_path, "a", 300)
    with pytest.raises(UserError, match="the search has noise = fixed, not fresh"):
        search(tmp_path, "a", 300, noise="fresh", resume_if_exists=True)
    with pytest.raises(UserError, match="--minutes must be more than 0, not -1"):
        search(tmp_path, "b", 300, minutes=-1.0)
    with pytest.raises(UserError, match="a search has no --checkpoint-every"):
        resume(ResumeSettings(run, checkpoint_every=5))
    with pytest.raises(UserError, match="it is a search's, which has no agent"):
        evaluate(EvaluateSettings(run))
    last = max(RunFolder(run).checkpoints.glob("step-*"))
    content = (last / ARCHIVE).read_bytes()
    (last / ARCHIVE).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"every checkpoint of .* is damaged"):
        load_archive(run)


def test_an_archive_of_another_version(tmp_path: Path) -> None:
    run = search(tmp_path, "a", 300)
    path = RunFolder(run).settings
    path.write_text(path.read_text().replace("ale-py: ", "ale-py: 0.0."))
    for go_on in (
        lambda: load_archive(run),
        lambda: resume(ResumeSettings(run, timesteps=600)),
        lambda: search(tmp_path, "a", 600, resume_if_exists=True),
    ):
        with pytest.raises(UserError, match=r"was made with ale-py 0.0.*its states may not fit"):
            go_on()
    assert "ale-py: 0.0." in path.read_text(), "nothing is written over"


def test_the_log_of_a_search(tmp_path: Path) -> None:
    run = search(tmp_path, "a", 3_000)
    header, *rows = (run / "exploration.csv").read_text().splitlines()
    assert header == "steps,seconds,score,lives,fuel,cells"
    scores = [int(row.split(",")[2]) for row in rows]
    assert scores and scores == sorted(set(scores)), "a line for each new best score"
    assert scores[-1] == load_archive(run)[1].best().moment.score


def test_a_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = Explorer(GAME, 5, True, 1_000, processes=2)
    explorer.play_round()
    assert explorer._pool is not None
    for process in list(explorer._pool._processes.values()):
        process.kill()
    with pytest.raises(UserError, match="a process of the search died; resume it"):
        explorer.play_round()
        explorer.play_round()
    explorer.close()
