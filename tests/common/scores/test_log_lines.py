"""Single lines of logs as the assignments and their students write them."""

from __future__ import annotations

import math

import pytest

from callbacks.marking_log import MARKING_LINE, PROGRESS_LINE
from common.scores.log_lines import EpisodeLine, MarkingLine, UnreadableLine, parse_line


def test_the_writers_own_lines_come_back() -> None:
    marking = parse_line(MARKING_LINE.format(1200, 350.0, 1217.456, 99.999))
    assert marking == MarkingLine(1200, 350.0, 1217.46, 100.0, exact=True, prefixed=False)
    progress = parse_line(PROGRESS_LINE.format(1205, 2300.0, 0.05))
    assert progress == EpisodeLine(1205, 2300.0, "score", exact=True)


@pytest.mark.parametrize(
    ("line", "episode", "score"),
    [
        ("episode: 7, reward: -95.22623172553806", 7, -95.22623172553806),
        ("Episode:0 Score:200.00 Last_100_Avg_Rew:150.000 Epsilon:1.00 Steps:739", 0, 200.0),
        ("EPISODE: 12, SCORE: 350", 12, 350.0),
        ("episode:3,score:50.0,epsilon:0.98", 3, 50.0),
        ("Ep 12 | total reward = 35.5", 12, 35.5),
        ("episode: 4, score: np.float64(250.0)", 4, 250.0),
        ("episode: 4, score: tensor([250.])", 4, 250.0),
        ("{'episode': 3, 'reward': 20}", 3, 20.0),
        ("Episode 12/1000\tAverage Score: 180.00\tScore: 250.00", 12, 250.0),
        ("Episode 9 finished after 210 steps with reward 35", 9, 35.0),
        ("episode 1,250, score: 1,350.0", 1250, 1350.0),
        ("episode: 5, score: 1.5e3", 5, 1500.0),
        ("Timestep: 900, Episode: 5, Episode Reward: -3", 5, -3.0),
        ("2020-12-01 10:00:01 INFO episode number: 8 score: 100", 8, 100.0),
        ("\x1b[32mepisode: 6, score: 150.0\x1b[0m", 6, 150.0),
    ],
)
def test_spellings(line: str, episode: int, score: float) -> None:
    found = parse_line(line)
    assert isinstance(found, EpisodeLine)
    assert (found.episode, found.score) == (episode, score)


@pytest.mark.parametrize(
    "line",
    [
        "UserWarning: WARN: overwriting existing videos",
        "Episode 100\tAverage Score: 180.00",  # a mean is not the episode's score
        "Episode: 100 Last_100_Avg_Rew: 200.0",
        "Episode: 100 Past_100_Score: 200.0",
        "eval episode: 3, reward: 400.0",
        "best episode: 30, score: 900.0",
        "mean score over the last 100 episodes: 212.5",
        "| rollout/ep_rew_mean | 212 |",
        "score: 250.0",
        "episode: 12",
        "",
    ],
)
def test_lines_without_an_episodes_score(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("spelling", ["nan", "NaN", "np.float64(nan)"])
def test_a_score_that_is_not_a_number_is_read_as_such(spelling: str) -> None:
    found = parse_line(f"episode: 3, score: {spelling}")
    assert isinstance(found, EpisodeLine)
    assert math.isnan(found.score)


@pytest.mark.parametrize(
    "line",
    [
        "episode: 3, score: None",
        "episode: 3.5, score: 100.0",
        "episode: 12, reward: ",
        "episode: 1e30, score: 1",
    ],
)
def test_lines_that_should_have_had_a_score(line: str) -> None:
    assert parse_line(line) == UnreadableLine(marking=False)


@pytest.mark.parametrize(
    ("line", "exact", "prefixed"),
    [
        ("marking, episode: 100, score: 50.0, mean_score: 198.50, std_score: 211.24", True, False),
        ("marking,episode:100,score:50.0,mean_score:198.50,std_score:211.24", False, False),
        ("Marking, Episode: 100, Score: 50.0, Mean_Score: 198.50, Std_Score: 211.24", False, False),
        (
            "marking, episode: 100, score: np.float64(50.0), mean_score: 198.50, std_score: 211.24",
            False,
            False,
        ),
        ("12:30 marking, episode: 100, score: 50.0, mean_score: 198.50, std_score: 211.24", False, True),
        ("marking, episode: 100, score: 50.0, mean_score: 198.50, std_score: 211.24 ", False, False),
    ],
)
def test_marking_lines(line: str, exact: bool, prefixed: bool) -> None:
    assert parse_line(line) == MarkingLine(100, 50.0, 198.5, 211.24, exact=exact, prefixed=prefixed)


def test_marking_line_without_a_deviation() -> None:
    found = parse_line("marking, episode: 100, score: 50.0, mean_score: 198.50")
    assert isinstance(found, MarkingLine)
    assert math.isnan(found.std)


@pytest.mark.parametrize("line", ["marking, episode: 100, score: 5", "marking", "marking scheme: see the paper"])
def test_marking_lines_that_say_too_little(line: str) -> None:
    assert parse_line(line) == UnreadableLine(marking=True)
