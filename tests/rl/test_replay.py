"""`replay`: which game, which file name, and a check of scores that finds what was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from common.cli import Commands, run_cli
from common.errors import UserError
from common.traces import Trace, TracedEpisode, read_episodes
from rl.options import ReplaySettings
from rl.replay import replay, select_episode
from rl.traces.playback import ReplayResult, make_player, play
from rl.traces.verification import verify
from tests.traced_games import SHORT, header, random_game, write_run


@pytest.fixture(scope="module")
def episodes() -> list[TracedEpisode]:
    """Five whole games of random play; seed 22 gives 500 points in 616 steps, seed 32 500 points in 610."""
    games = [random_game(seed, episode=number) for number, seed in enumerate((1, 22, 8, 32, 3))]
    assert [(game.score, game.length) for game in (games[1], games[3])] == [(500, 616), (500, 610)]
    assert max(games[number].score for number in (0, 2, 4)) < 500
    return games


@pytest.fixture
def run(tmp_path: Path, episodes: list[TracedEpisode]) -> Path:
    return write_run(tmp_path / "runs" / "gravitar" / "first", header(), episodes)


def rewrite(run: Path, change: Callable[[list[TracedEpisode]], object]) -> None:
    """Write the trace file anew, with right checksums, after a change."""
    path = run / "traces" / "episodes.jsonl"
    first = path.read_text().splitlines(keepends=True)[0]
    games = list(read_episodes(path))
    change(games)
    path.write_text(first + "".join(game.line() for game in games))


def found(run: Path, sample: int | None = None) -> list[str]:
    return [str(difference) for difference in verify(run, sample).differences]


def test_another_emulator_gives_the_same_games(episodes: list[TracedEpisode]) -> None:
    player = make_player(header())
    for game in reversed(episodes):
        assert play(player, game) == ReplayResult(game.score, game.length, terminated=True, truncated=False)


def test_a_true_run_is_verified(run: Path) -> None:
    result = verify(run)
    assert (result.differences, result.episodes, result.total) == ([], 5, 5)
    assert result.compared == {"episodes.jsonl": 5, "monitor.csv": 5, "gravitar-log.txt": 3}


def test_several_processes_find_the_same(run: Path) -> None:
    rewrite(run, lambda games: games.__setitem__(3, replace(games[3], score=750.0)))
    one, two = verify(run, processes=1), verify(run, processes=2)
    assert one == two
    assert [str(difference) for difference in one.differences] == [
        "episode 3: episodes.jsonl says 750 points, the emulator gives 500"
    ]


def test_changed_scores_are_found(run: Path, episodes: list[TracedEpisode]) -> None:
    lines = (run / "monitor.csv").read_text().splitlines()
    lines[2 + 1] = "5000.0,616,1.5"
    lines[2 + 3] = "500.0,9,1.5"
    (run / "monitor.csv").write_text("\n".join(lines) + "\n")
    log = run / "gravitar-log.txt"
    was = f"marking, episode: 2, score: {episodes[2].score:.1f}"
    assert log.read_text().count(was) == 1
    log.write_text(log.read_text().replace(was, "marking, episode: 2, score: 3000.0"))
    rewrite(run, lambda games: games.__setitem__(4, replace(games[4], score=games[4].score + 0.5)))
    score = episodes[4].score
    assert found(run) == [
        "episode 1: monitor.csv says 5000 points, the emulator gives 500",
        f"episode 2: gravitar-log.txt says 3000 points, the emulator gives {episodes[2].score:g}",
        "episode 3: monitor.csv says 9 steps, the replay has 610",
        f"episode 4: episodes.jsonl says {score + 0.5:g} points, the emulator gives {score:g}",
    ]


def test_changed_actions_are_found(run: Path) -> None:
    def change(games: list[TracedEpisode]) -> None:
        trace = games[1].trace
        # Doing nothing throughout gives no points.
        games[1] = replace(games[1], trace=replace(trace, actions=np.zeros_like(trace.actions)))
        trace = games[2].trace
        games[2] = replace(games[2], trace=replace(trace, actions=trace.actions[:50]), length=50)
        trace = games[3].trace
        games[3] = replace(games[3], trace=replace(trace, actions=trace.actions + np.uint8(18)))

    rewrite(run, change)
    report = found(run)
    assert any(line.startswith("episode 1: episodes.jsonl says 500 points, the emulator gives 0") for line in report)
    assert "episode 2: the game is not over after its last traced action" in report
    assert "episode 2: monitor.csv says 599 steps, the replay has 50" in report
    assert "episode 3: its actions are not those of gravitar, which are 0 to 17" in report
    assert not [line for line in report if line.startswith(("episode 0", "episode 4"))]


def test_a_changed_seed_is_found(run: Path) -> None:
    def change(games: list[TracedEpisode]) -> None:
        games[1] = replace(games[1], trace=replace(games[1].trace, seed=23))

    rewrite(run, change)
    assert found(run)


def test_scores_without_a_trace_are_found(run: Path) -> None:
    rewrite(run, lambda games: games.pop())
    with (run / "gravitar-log.txt").open("a") as log:
        log.write("marking, episode: 100, score: 9000.0, mean_score: 9000.00, std_score: 0.00\n")
    report = found(run)
    assert "episode 100: gravitar-log.txt says 9000 points, the trace file has no such episode" in report
    assert [line.split()[1] for line in report] == ["4:", "4:", "100:"]
    assert found(run, sample=4) == []  # a sample cannot say what is missing


def test_a_copy_with_few_traces_is_told_from_one_that_differs(run: Path) -> None:
    with (run / "gravitar-log.txt").open("a") as log:
        for number in range(100, 140):
            log.write(f"marking, episode: {number}, score: 9000.0, mean_score: 9000.00, std_score: 0.00\n")
    message = r"^40 episodes of the logs have no trace, as in a copy .*; the 5 that have one are as logged \(--sample 5"
    with pytest.raises(UserError, match=message) as raised:
        replay(ReplaySettings(run, verify=True))
    assert raised.value.status == 1
    rewrite(run, lambda games: games.__setitem__(1, replace(games[1], score=1.0)))
    with pytest.raises(UserError, match=r"^41 episodes differ; all 5 episodes were played again"):
        replay(ReplaySettings(run, verify=True))


def test_a_sample(run: Path) -> None:
    rewrite(run, lambda games: games.__setitem__(3, replace(games[3], score=750.0)))
    picks = sorted(np.random.default_rng(7).choice(5, 2, replace=False).tolist())
    result = verify(run, sample=2, seed=7)
    assert (result.episodes, result.total) == (2, 5)
    assert [difference.episode for difference in result.differences] == [pick for pick in picks if pick == 3]
    assert verify(run, sample=50).episodes == 5
    with pytest.raises(UserError, match="at least 1"):
        verify(run, sample=0)


def test_logs_that_are_absent_or_damaged(run: Path) -> None:
    (run / "gravitar-log.txt").unlink()
    assert "gravitar-log.txt" not in verify(run).compared
    with (run / "monitor.csv").open("a") as file:
        file.write("250.0,\n")
    with pytest.raises(UserError, match=r"monitor\.csv, line 8: not a row of r, l, t") as caught:
        verify(run)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("traces/episodes.jsonl", lambda text: text[:-20], "line 6: the trace is truncated or damaged"),
        ("traces/episodes.jsonl", lambda text: text.replace('"actions": "c', '"actions": "d', 1), "line 2: .*damaged"),
        ("traces/episodes.jsonl", lambda text: "", "not a trace file"),
        ("traces/episodes.jsonl", lambda text: text.splitlines()[0] + "\n", "has no episodes"),
        ("settings.yml", lambda text: text.replace("Gravitar", "Pong"), "settings.yml says ALE/Pong-v5"),
        ("settings.yml", lambda text: "seed: 3\n", "does not say which environment"),
        ("settings.yml", lambda text: "{", r"settings\.yml is not valid YAML"),
        ("settings.yml", lambda text: "[" * 5_000, r"settings\.yml is not valid YAML"),
    ],
)
@pytest.mark.parametrize("settings", [{"verify": True}, {"best": True}])
def test_bad_files_are_one_line_and_status_2(
    name: str, change: Callable[[str], str], message: str, settings: dict[str, Any], run: Path
) -> None:
    path = run / name
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=message) as caught:
        replay(ReplaySettings(run, **settings))
    assert caught.value.status == 2
    assert "\n" not in str(caught.value)
    assert not (run / "videos").exists()


def test_another_ale_py_is_refused_unless_forced(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "traces" / "episodes.jsonl"
    installed = header().versions["ale-py"]
    path.write_text(path.read_text().replace(f'"ale-py": "{installed}"', '"ale-py": "0.8.1"'))
    with pytest.raises(UserError, match=rf"ale-py 0\.8\.1, installed is {installed}: .* --force") as caught:
        replay(ReplaySettings(run, verify=True))
    assert caught.value.status == 2
    replay(ReplaySettings(run, verify=True, force=True))
    assert "all 5 episodes played again" in capsys.readouterr().out


def test_bad_arguments(run: Path, tmp_path: Path) -> None:
    for settings, message in (
        (ReplaySettings(run), "say one of"),
        (ReplaySettings(run, best=True, episode=0), "say one of"),
        (ReplaySettings(run, best=True, verify=True), "say one of"),
        (ReplaySettings(run, best=True, sample=3), "--sample goes with --verify"),
        (ReplaySettings(run, verify=True, outtake=True), "--outtake is for videos"),
        (ReplaySettings(run, best=True, output=Path("game.avi")), "--output game.avi: videos are written as .mp4"),
        (ReplaySettings(run, best=True, scale=3), "scale 3"),
        (ReplaySettings(run, episode=5), "no episode 5: it has 0 to 4"),
        (ReplaySettings(run.parent / "frist", best=True), "did you mean 'first'"),
        (ReplaySettings(tmp_path, best=True), "there are no traces"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            replay(settings)
        assert caught.value.status == 2
    assert not (run / "videos").exists()


def test_the_best_is_the_first_of_the_highest(run: Path) -> None:
    assert select_episode(run).episode == 1
    assert select_episode(run, 3).length == 610


def test_videos_and_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brief = replace(SHORT, max_frames=100)
    games = [random_game(seed, brief, number) for number, seed in enumerate((11, 12))]
    run = write_run(tmp_path / "run", header(brief), games)
    short_pong = replace(brief, game="pong")
    pong = random_game(5, short_pong, 100)
    write_run(tmp_path / "pong", replace(header(short_pong), env_id="ALE/Pong-v5"), [pong])

    replay(ReplaySettings(run, best=True))
    replay(ReplaySettings(run, episode=1, outtake=True, scale=2))
    replay(ReplaySettings(tmp_path / "pong", episode=100, output=tmp_path / "videos"))
    replay(ReplaySettings(run, episode=1, output=tmp_path / "mine.mp4"))
    first = f"gravitar-video-episode-0-score-{games[0].score:.0f}.mp4"
    outtake = f"gravitar-outtake-episode-1-score-{games[1].score:.0f}.mp4"
    assert sorted(path.name for path in (run / "videos").iterdir()) == [outtake, first]
    other = f"pong-video-episode-100-score-{pong.score:.0f}.mp4"
    assert [path.name for path in (tmp_path / "videos").iterdir()] == [other]
    sizes = []
    for path in (run / "videos" / first, run / "videos" / outtake, tmp_path / "mine.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            sizes.append((stream.width, stream.height, stream.frames))
    assert sizes == [(640, 840, 101), (320, 420, 101), (640, 840, 101)]
    out = capsys.readouterr().out
    assert f"episode 0: {games[0].score:g} points in 25 steps, as traced; 101 pictures, 1.7 s at 60" in out
    assert str(run / "videos" / outtake) in out


def test_exit_status_and_list(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands: Commands = {"replay": (ReplaySettings, replay), "other": (Trace, print)}
    assert run_cli(commands, ["replay", str(run), "--verify", "--sample", "2"]) == 0
    assert "2 (seed 742) of 5 episodes played again" in capsys.readouterr().out
    rewrite(run, lambda games: games.__setitem__(3, replace(games[3], score=750.0)))
    assert run_cli(commands, ["replay", str(run), "--verify"]) == 1
    captured = capsys.readouterr()
    assert "episode 3: episodes.jsonl says 750 points, the emulator gives 500" in captured.out
    assert captured.err == "error: 1 episode differs; all 5 episodes were played again\n"
    wrong = replace(random_game(11, SHORT), score=750.0)
    run = write_run(tmp_path / "short", header(SHORT), [wrong])
    assert run_cli(commands, ["replay", str(run), "--episode", "0"]) == 1
    assert "points in 100 steps, its trace says 750 points" in capsys.readouterr().err
    assert not list((run / "videos").iterdir())
