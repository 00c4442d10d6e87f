"""Whole logs: hand-made ones with one oddity each, SB3's own Monitor files, and the four real logs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3.common.monitor import ResultsWriter

from callbacks.marking_log import MARKING_LINE
from common.errors import UserError
from common.scores.curves import learning_curve
from common.scores.logs import ScoreLog, read_log

REAL_LOGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "logs"


def real_log(name: str) -> Path:
    path = REAL_LOGS / name
    if not path.is_file():
        pytest.skip(f"the real log {name} is not there: {REAL_LOGS}")
    return path


def episode_lines(first: int, scores: list[float]) -> str:
    return "".join(f"episode: {number}, score: {score:.1f}\n" for number, score in enumerate(scores, first))


def marking_line(episode: int, window: list[float]) -> str:
    return MARKING_LINE.format(episode, window[-1], np.mean(window), np.std(window)) + "\n"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ScoreLog]:
    def write_and_read(content: str | bytes, name: str = "log.txt") -> ScoreLog:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_log(path)

    return write_and_read


def tape(log: ScoreLog) -> list[tuple[int, float]]:
    return list(zip(log.episodes.tolist(), log.scores.tolist(), strict=True))


# --- the real logs: counts by grep -c, sums and maxima by awk ---


def test_real_log_with_every_tenth_episode() -> None:
    log = read_log(real_log("gravitar_2020_a.txt"))
    assert (log.kind, log.name) == ("marking-2020", "gravitar_2020_a")
    # grep -c: 26 lines begin with marking, 254 with episode; of the 26 only episode 0 is not among the 254.
    assert len(log.windows) == 26
    assert log.episodes.size == 255
    assert log.scores.sum() == 54_750
    assert (log.episodes[0], log.episodes[-1], log.games, log.stride) == (0, 2540, 2541, 10)
    assert not log.every_score_known
    assert [window.size for window in log.windows] == [1] + [100] * 25
    assert [window.episode for window in log.windows] == list(range(0, 2501, 100))
    assert (log.windows[2].score, log.windows[2].mean, log.windows[2].std) == (2300.0, 237.5, 310.43)
    assert log.warnings == ()  # nothing is wrong with it


def test_real_log_in_a_spelling_of_its_own() -> None:
    log = read_log(real_log("gravitar_2020_b.txt"))
    assert log.kind == "marking-2020"
    assert len(log.windows) == 19
    assert log.episodes.tolist() == list(range(1801))
    assert log.scores.sum() == 341_300
    assert (log.scores.max(), int(log.scores.argmax())) == (2200.0, 1194)
    assert [window.size for window in log.windows] == [1] + [100] * 18
    # awk over the 1,801 episode lines gives each of the 19 means and deviations: no warning about them.
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith("1801 episode lines in another spelling (first at line 2: 'Episode:0 Score")


@pytest.mark.parametrize(
    ("name", "episodes", "total", "best", "best_at"),
    [
        ("walker_2021_a", 1250, 178458.458888, 310.115016, 1082),
        ("walker_2022_b", 800, 119345.104053, 325.380502, 722),
    ],
)
def test_real_agent_logs(name: str, episodes: int, total: float, best: float, best_at: int) -> None:
    log = read_log(real_log(f"{name}.txt"))
    assert (log.kind, log.windows, log.warnings) == ("agent-2021", (), ())
    assert log.episodes.tolist() == list(range(1, episodes + 1))
    assert log.scores.sum() == pytest.approx(total, abs=1e-5)
    assert log.scores.max() == pytest.approx(best, abs=1e-6)
    assert log.episodes[log.scores.argmax()] == best_at


# --- one oddity each ---


def test_a_plain_log_has_no_warnings(read: Callable[..., ScoreLog]) -> None:
    log = read(marking_line(0, [100]) + episode_lines(0, [100, 50, 0]))
    assert tape(log) == [(0, 100.0), (1, 50.0), (2, 0.0)]
    assert log.warnings == ()


def test_lines_in_between(read: Callable[..., ScoreLog]) -> None:
    log = read("starting\n\n" + episode_lines(0, [10, 20]) + "UserWarning: overwriting\n" + episode_lines(2, [30]))
    assert tape(log) == [(0, 10.0), (1, 20.0), (2, 30.0)]
    assert "2 other lines in between (first at line 1: 'starting')" in log.warnings


def test_windows_line_ends(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [10, 20]).replace("\n", "\r\n"))
    assert tape(log) == [(0, 10.0), (1, 20.0)]
    assert "Windows line ends (CRLF)" in log.warnings


def test_a_progress_bars_carriage_returns(read: Callable[..., ScoreLog]) -> None:
    log = read("10%|#  |\repisode: 0, score: 5.0\r20%|## |\nepisode: 1, score: 6.0\n")
    assert tape(log) == [(0, 5.0), (1, 6.0)]
    assert "2 other lines in between (first at line 1: '10%|#  |')" in log.warnings


def test_no_final_newline_and_a_cut_line(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [10, 20]) + "episode: 2, sco")
    assert tape(log) == [(0, 10.0), (1, 20.0)]
    assert "no newline at the end: the last line may be cut" in log.warnings


def test_a_cut_marking_line(read: Callable[..., ScoreLog]) -> None:
    log = read(marking_line(0, [10]) + "marking, episode: 100, score: 0.0, mea")
    assert [window.episode for window in log.windows] == [0]
    assert any(each.startswith("1 marking lines not in the exact format (first at line 2") for each in log.warnings)


def test_a_gap(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [1, 2, 3]) + episode_lines(8, [4, 5, 6]))
    assert log.episodes.tolist() == [0, 1, 2, 8, 9, 10]
    assert "gaps: 5 episodes are missing in 1 places (first between episode 2 and 8)" in log.warnings


def test_a_missing_beginning(read: Callable[..., ScoreLog]) -> None:
    assert "the log begins at episode 40" in read(episode_lines(40, [1, 2, 3])).warnings


def test_a_restart_drops_what_is_written_again(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [0, 1, 2, 3, 4]) + episode_lines(2, [20, 30]))
    assert tape(log) == [(0, 0.0), (1, 1.0), (2, 20.0), (3, 30.0)]
    assert log.warnings[0] == (
        "restart at line 6: the episode number goes back from 4 to 2; "
        "the 3 earlier score lines from there on are left out"
    )


def test_a_restart_from_the_beginning(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [1] * 50) + episode_lines(0, [7, 8]))
    assert tape(log) == [(0, 7.0), (1, 8.0)]
    assert "goes back from 49 to 0" in log.warnings[0]


def test_many_restarts_are_told_shortly(read: Callable[..., ScoreLog]) -> None:
    log = read("".join(episode_lines(0, [1, 2, 3]) for _ in range(9)))
    assert sum(each.startswith("restart") for each in log.warnings) == 5
    assert "3 more restarts" in log.warnings


def test_a_stray_line_is_no_restart(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [1, 2, 3]) + "saved the video of episode: 1, score: 2.0\n" + episode_lines(3, [4]))
    assert tape(log) == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]
    assert "1 single line goes back to an earlier episode and is left out" in log.warnings


def test_games_that_finished_out_of_order(read: Callable[..., ScoreLog]) -> None:
    lines = episode_lines(0, [0, 1, 2, 3, 4, 5]).splitlines(keepends=True)
    log = read("".join(lines[index] for index in (0, 3, 2, 1, 4, 5)))
    assert tape(log) == [(number, float(number)) for number in range(6)]
    assert "2 lines are out of order and were sorted by episode number" in log.warnings


def test_an_episode_that_stands_there_twice(read: Callable[..., ScoreLog]) -> None:
    log = read("episode: 0, score: 1.0\nepisode: 0, score: 1.0\nepisode: 1, score: 5.0\nepisode: 1, score: 6.0\n")
    assert tape(log) == [(0, 1.0), (1, 6.0)]
    assert "1 episodes stand there twice with different scores; the later line counts" in log.warnings


def test_scores_that_are_no_numbers(read: Callable[..., ScoreLog]) -> None:
    log = read("episode: 0, score: nan\nepisode: 1, score: np.float64(250.0)\nepisode: 2, score: inf\n")
    assert tape(log) == [(1, 250.0)]
    warning = "2 lines with a score that is not a finite number (first at line 1: 'episode: 0, score: nan')"
    assert warning in log.warnings


def test_other_encodings(read: Callable[..., ScoreLog]) -> None:
    latin = read("d\xe9but de l'entra\xeenement avec une graine\n".encode("latin-1") + episode_lines(0, [1]).encode())
    assert tape(latin) == [(0, 1.0)]
    assert "2 characters are not UTF-8" in latin.warnings
    powershell = read(episode_lines(0, [1, 2]).encode("utf-16"))
    assert tape(powershell) == [(0, 1.0), (1, 2.0)]
    assert "the file is UTF-16, not plain text" in powershell.warnings
    assert tape(read(b"\xef\xbb\xbf" + episode_lines(0, [1]).encode())) == [(0, 1.0)]


def test_a_log_of_others_without_marking_lines(read: Callable[..., ScoreLog]) -> None:
    log = read("Episode:0 Score:200.00\nEpisode:1 Score:0.00\n")
    assert log.kind == "marking-2020"
    assert "no line starts with marking" in log.warnings
    assert any(each.startswith("2 episode lines in another spelling (first at line 1") for each in log.warnings)


# --- marking windows ---


def scores_of(count: int) -> list[float]:
    return [float(50 * (number * number % 23)) for number in range(count)]


def test_marking_lines_alone(read: Callable[..., ScoreLog]) -> None:
    scores = scores_of(301)
    log = read("".join(marking_line(end, scores[max(0, end - 99) : end + 1]) for end in (0, 100, 200, 300)))
    assert [window.size for window in log.windows] == [1, 100, 100, 100]
    assert log.windows[1].mean == pytest.approx(sum(scores[1:101]) / 100)
    assert log.episodes.tolist() == [0, 100, 200, 300]
    assert log.warnings == ("no scores of single episodes but those in the marking lines",)


def test_a_missing_marking_line(read: Callable[..., ScoreLog]) -> None:
    scores = scores_of(501)
    text = "".join(marking_line(end, scores[max(0, end - 99) : end + 1]) for end in (0, 100, 200, 400, 500))
    log = read(text)
    assert [window.size for window in log.windows] == [1, 100, 100, 100, 100]
    assert "no marking line between episode 200 and 400" in log.warnings


def test_a_restart_shortens_the_window(read: Callable[..., ScoreLog]) -> None:
    # Stopped after 130, resumed from a checkpoint at 120 with an empty window: line 200 covers 120 to 200.
    scores = scores_of(301)
    text = (
        marking_line(0, scores[:1])
        + marking_line(100, scores[1:101])
        + "".join(f"episode: {number}, score: 0.0\n" for number in (110, 120, 130))
        + f"episode: 120, score: {scores[120]:.1f}\nepisode: 130, score: {scores[130]:.1f}\n"
        + marking_line(200, scores[120:201])
        + marking_line(300, scores[201:301])
    )
    log = read(text)
    assert [window.size for window in log.windows] == [1, 100, 81, 100]
    assert "the marking line at episode 200 covers only 81 episodes" in log.warnings


def test_the_scores_tell_how_many_a_marking_line_covers(read: Callable[..., ScoreLog]) -> None:
    # A restart that no number shows: the process began at 138 with an empty window.
    scores = scores_of(301)
    lines = episode_lines(0, scores).splitlines(keepends=True)
    lines[0] = marking_line(0, scores[:1]) + lines[0]
    lines[100] = marking_line(100, scores[1:101]) + lines[100]
    lines[200] = marking_line(200, scores[138:201]) + lines[200]
    lines[300] = marking_line(300, scores[201:301]) + lines[300]
    log = read("".join(lines))
    assert [window.size for window in log.windows] == [1, 100, 63, 100]
    assert log.warnings == ("the marking line at episode 200 covers only 63 episodes",)


def test_a_marking_line_that_covers_more_than_the_usual_number(read: Callable[..., ScoreLog]) -> None:
    # The line of episode 300 was never written, so that the one of 400 covers 200 episodes.
    scores = scores_of(501)
    lines = episode_lines(0, scores).splitlines(keepends=True)
    for first, last in ((0, 0), (1, 100), (101, 200), (201, 400), (401, 500)):
        lines[last] = marking_line(last, scores[first : last + 1]) + lines[last]
    log = read("".join(lines))
    assert [window.size for window in log.windows] == [1, 100, 100, 200, 100]
    assert log.warnings == ("no marking line between episode 200 and 400",)


def test_marking_lines_that_do_not_follow_from_the_scores(read: Callable[..., ScoreLog]) -> None:
    lines = episode_lines(0, [100.0] * 101) + MARKING_LINE.format(100, 900.0, 950.0, 10.0) + "\n"
    log = read(marking_line(0, [100.0]) + lines)
    assert log.windows[1].mean == 950.0
    assert log.scores[100] == 100.0
    assert "1 marking line gives another score than the episode line (first at episode 100)" in log.warnings
    assert (
        "1 marking line does not follow from the episode lines (first at episode 100: mean_score 950.00, "
        "the episode lines give 100.00)"
    ) in log.warnings


# --- monitor files and folders ---


def test_monitor_file_of_sb3_itself(tmp_path: Path) -> None:
    writer = ResultsWriter(
        str(tmp_path / "monitor.csv"),
        header={"t_start": 5.0, "env_id": "ALE/Gravitar-v5"},
        extra_keys=("lives",),
    )
    for score in (0.0, 250.0, 100.0):
        writer.write_row({"r": score, "l": 700, "t": score + 1, "lives": 0})
    writer.close()
    log = read_log(tmp_path / "monitor.csv")
    assert (log.kind, log.environment, log.name) == ("monitor", "ALE/Gravitar-v5", tmp_path.name)
    assert tape(log) == [(0, 0.0), (1, 250.0), (2, 100.0)]
    assert log.warnings == ("restart: the time goes back 1 times; all rows are kept in their order",)


def test_odd_rows_in_a_monitor_file(read: Callable[..., ScoreLog]) -> None:
    log = read(
        '#{"t_start": 1, "env_id": "None"}\r\nr,l,t\r\n50,10,1\r\n\r\nnan,5,2\r\n100,x\r\n-7.5,3,4.5\r\n25',
        "m.csv",
    )
    assert (log.kind, log.environment) == ("monitor", None)
    assert log.scores.tolist() == [50.0, -7.5]
    assert "2 rows that could not be read (first at line 6: '100,x')" in log.warnings
    assert "1 rows with a score that is not a finite number (first at line 5: 'nan,5,2')" in log.warnings


def test_columns_in_another_order(read: Callable[..., ScoreLog]) -> None:
    assert read("t,l,r\n1.0,10,300\n2.0,10,150\n").scores.tolist() == [300.0, 150.0]


def test_one_monitor_file_for_each_environment(tmp_path: Path) -> None:
    for name, start, rows in (("0", 100.0, ((5.0, 1.0), (6.0, 9.0))), ("1", 103.0, ((7.0, 0.5), (8.0, 4.0)))):
        lines = [
            json.dumps({"t_start": start, "env_id": "Gravitar"}),
            "r,l,t",
            *(f"{r},10,{t}" for r, t in rows),
        ]
        (tmp_path / f"{name}.monitor.csv").write_text("#" + "\n".join(lines) + "\n")
    log = read_log(tmp_path)
    # Finished at 101, 103.5, 107 and 109 seconds.
    assert log.scores.tolist() == [5.0, 7.0, 8.0, 6.0]


def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ppo-ram"
    folder.mkdir()
    (folder / "settings.yml").write_text("algo: ppo\nseed: 742\nenvironment:\n  env_id: ALE/Gravitar-v5\n")
    (folder / "gravitar-log.txt").write_text(marking_line(0, [300]))
    (folder / "monitor.csv").write_text("#{}\nr,l,t\n300.0,10,1.0\n50.0,10,2.0\n")
    return folder


def test_run_folder_prefers_the_monitor(tmp_path: Path) -> None:
    log = read_log(run_folder(tmp_path))
    assert (log.name, log.kind, log.seed, log.environment) == ("ppo-ram", "monitor", 742, "ALE/Gravitar-v5")
    assert log.scores.tolist() == [300.0, 50.0]


@pytest.mark.parametrize("monitor", [None, b"#{}\nr,l,t\n", b"\0\1\2"])
def test_run_folder_falls_back_to_the_marking_log(tmp_path: Path, monitor: bytes | None) -> None:
    folder = run_folder(tmp_path)
    (folder / "monitor.csv").unlink()
    if monitor is not None:
        (folder / "monitor.csv").write_bytes(monitor)
    log = read_log(folder)
    assert (log.kind, log.seed, log.scores.tolist()) == ("marking-2020", 742, [300.0])
    assert any(each.startswith("not used:") for each in log.warnings) == (monitor is not None)


@pytest.mark.parametrize("settings", ["seed: [", "- 1\n", "seed: yes\n", "!!python/object:os.system {}\n", "\0"])
def test_odd_settings_are_no_obstacle(tmp_path: Path, settings: str) -> None:
    folder = run_folder(tmp_path)
    (folder / "settings.yml").write_text(settings)
    assert read_log(folder).seed is None


# --- what is refused ---


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\r\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a binary file"),
        (gzip.compress(episode_lines(0, list(range(200))).encode()), "is a binary file"),
        (bytes(range(128, 256)) * 4, "is a binary file"),
        (episode_lines(0, [1]).encode() + b"\0" * 100, "is a binary file"),
        (b"\xff\xfe\0\0\0\0", "is a binary file"),
        (b"hello\nworld\n", "holds no score"),
        (b"episode: 0, score: nan\n", "holds no score"),
        (b"r,l,t\n", "holds no finished episode"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_log(path)
    assert caught.value.status == 2
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gravitar-log.txt").write_text(episode_lines(0, [1]))
    with pytest.raises(UserError, match=r"does not exist; did you mean 'gravitar-log\.txt'\?"):
        read_log(tmp_path / "gravitar-lok.txt")
    with pytest.raises(UserError, match="does not exist"):
        read_log(tmp_path / "nowhere" / "log.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no monitor\.csv and no gravitar-log\.txt or agent-log\.txt"):
        read_log(tmp_path / "empty")
    with pytest.raises(UserError, match="not a regular file"):
        read_log(Path("/dev/null"))


def test_lines_made_to_be_slow_or_to_crash(read: Callable[..., ScoreLog]) -> None:
    letters = "episode " * 100_000
    digits = f"episode: {'1' * 100_000}, score: {'9' * 100_000}"
    log = read("\n".join([letters, digits, "a" * 500_000, '#{"a": ' * 1000, "\x85\u2028\x0b", "episode: 1, score: 2"]))
    assert tape(log) == [(1, 2.0)]


def test_random_mixtures_are_read_or_refused(read: Callable[..., ScoreLog]) -> None:
    generator = np.random.default_rng(742)
    words = "marking, |episode|: |score|mean_score|std_score|reward|nan|1e999|\n|\r\n|\r|,|np.float64(|)|é|#{"
    pieces = [*words.split("|"), "r,l,t\n", "9" * 40, "\x1b[31m", "None", "-", "0", "7", "\t"]
    read_count = 0
    for _ in range(300):
        lines = [
            f"episode: {generator.integers(300)}, score: {50 * generator.integers(40)}.0\n"
            if generator.random() < 0.5
            else "".join(generator.choice(pieces, size=generator.integers(1, 12)))
            for _ in range(generator.integers(1, 60))
        ]
        try:
            log = read("".join(lines))
        except UserError:
            continue
        read_count += 1
        assert (np.diff(log.episodes) > 0).all()
        assert np.isfinite(log.scores).all()
        assert log.episodes.size == log.scores.size > 0
        assert all(window.size >= 1 for window in log.windows)
    assert read_count > 200


def test_a_line_end_is_missed_only_where_something_is_cut(read: Callable[..., ScoreLog]) -> None:
    assert read("episode: 0, score: 1.0\nepisode: 1, score: 2.0").warnings == ("no line starts with marking",)
    assert "no newline at the end: the last line may be cut" in read("episode: 0, score: 1.0\nepisode: 1, sc").warnings


@pytest.mark.parametrize(
    "line",
    [
        "video: 25, score: 700 (best 700.0 at episode 25)",
        "[video] episode 25, score: 700",
        "checkpoint: episode 25, score 700",
        "best score: 700 at episode 25",
    ],
)
def test_lines_about_other_episodes_are_no_episode_lines(read: Callable[..., ScoreLog], line: str) -> None:
    log = read(episode_lines(0, [10, 20]) + line + "\n" + episode_lines(2, [30]))
    assert tape(log) == [(0, 10.0), (1, 20.0), (2, 30.0)]
    assert [each for each in log.warnings if "other lines in between" not in each] == ["no line starts with marking"]


def only_marking(*lines: tuple[int, float, float, float]) -> str:
    return "".join(MARKING_LINE.format(*line) + "\n" for line in lines)


def test_a_marking_line_after_a_restart_covers_fewer_games(read: Callable[..., ScoreLog]) -> None:
    """Scores of single games are unknown, but all are multiples of 50, so a mean of 100 games is one of 0.5."""
    log = read(only_marking((0, 50, 50, 0), (100, 150, 210.5, 88.2), (200, 250, 216.67, 62.36), (300, 100, 190, 70)))
    # 216.67 is the mean of 3, 6, ... 99 games: 99 is the largest of these. With 100 games it would be 216.5 or 217.
    assert [window.size for window in log.windows] == [1, 100, 99, 100]
    assert "the marking line at episode 200 covers only 99 episodes" in log.warnings
    lines = [(0, 50, 50, 0), (100, 150, 210.5, 88.2), (200, 250, 250, 0), (300, 100, 190, 70), (400, 100, 150, 70)]
    log = read(only_marking(*lines))
    assert [window.size for window in log.windows] == [1, 100, 1, 100, 100]
    assert "the marking line at episode 200 covers only 1 game" in log.warnings
    # It is not drawn as a mean of 100.
    assert 200 not in learning_curve(log).episodes


def test_a_hundred_games_of_0_points_are_a_hundred(read: Callable[..., ScoreLog]) -> None:
    log = read(only_marking((0, 0, 0, 0), (100, 0, 0, 0), (200, 50, 0.5, 4.97)))
    assert [window.size for window in log.windows] == [1, 100, 100]


def test_scores_beyond_all_measure_are_none(read: Callable[..., ScoreLog]) -> None:
    log = read(episode_lines(0, [10, 20]) + "episode: 2, score: 1e308\nepisode: 3, score: -1e308\n")
    assert tape(log) == [(0, 10.0), (1, 20.0)]
    assert any(each.startswith("2 lines with a score that is not a finite number") for each in log.warnings)
    monitor = read("r,l,t\n1e308,1,1\n5,1,2\n", "monitor.csv")
    assert tape(monitor) == [(0, 5.0)]


def test_names_that_lead_nowhere_get_a_line(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=r"link is a link to .*gone, which does not exist; give a run folder"):
        read_log(tmp_path / "link")
    with pytest.raises(UserError, match=r"cannot read x{80}: File name too long"):
        read_log(Path("x" * 300))
