"""Learning curves and blocks worked out by hand, and those of the real logs by awk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.scores.curves import (
    Block,
    best_mean,
    blocks,
    interval_curve,
    learning_curve,
    marking_interval,
    mean_at,
    quartiles,
)
from common.scores.log_order import MarkingWindow
from common.scores.logs import ScoreLog, read_log

REAL_LOGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "logs"


def log_of(episodes: list[int], scores: list[float], windows: tuple[MarkingWindow, ...] = ()) -> ScoreLog:
    return ScoreLog(
        path=Path("log.txt"),
        name="log",
        kind="marking-2020" if windows else "monitor",
        episodes=np.array(episodes, dtype=np.int64),
        scores=np.array(scores, dtype=np.float64),
        windows=windows,
    )


def test_trailing_curve_has_full_windows_only() -> None:
    curve = learning_curve(log_of([0, 1, 2, 3, 4], [10, 20, 60, 0, 40]), window=3)
    assert (curve.source, curve.window, curve.complete) == ("trailing", 3, True)
    assert curve.episodes.tolist() == [2, 3, 4]
    np.testing.assert_allclose(curve.means, [30, 80 / 3, 100 / 3])
    found = best_mean(curve)
    assert found is not None and found[0] == pytest.approx(100 / 3) and found[1] == 4
    assert mean_at(curve, 2) == 30.0
    assert mean_at(curve, 5) is None
    assert mean_at(curve, 5, tolerance=1) == pytest.approx(100 / 3)
    assert mean_at(curve, 1, tolerance=5) is None


def test_a_run_shorter_than_the_window() -> None:
    curve = learning_curve(log_of([0, 1], [10, 30]), window=3)
    assert not curve.complete
    assert (curve.episodes.tolist(), curve.means.tolist()) == ([0, 1], [10.0, 20.0])
    assert best_mean(curve) is None
    assert mean_at(curve, 1) is None


def test_windows_go_by_episode_number_across_a_gap() -> None:
    # Known: 0 to 19 and 24 to 39. The window of 4 that ends at 24 holds only 24, that of 25 holds 24 and 25.
    numbers = [*range(20), *range(24, 40)]
    curve = learning_curve(log_of(numbers, [float(number) for number in numbers]), window=4)
    assert curve.episodes.tolist() == [*range(3, 20), *range(25, 40)]
    assert mean_at(curve, 25) == 24.5
    assert mean_at(curve, 27) == 25.5


WINDOWS = (
    MarkingWindow(0, 200.0, 200.0, 0.0, 1),
    MarkingWindow(100, 50.0, 150.0, 20.0, 100),
    MarkingWindow(200, 0.0, 900.0, 20.0, 40),
    MarkingWindow(300, 0.0, 300.0, 30.0, 100),
)


def test_marking_curve_takes_the_lines_that_cover_the_usual_number() -> None:
    log = log_of([0, 100, 200, 300], [200, 50, 0, 0], WINDOWS)
    curve = learning_curve(log, window=7)
    assert (curve.source, curve.window, marking_interval(log)) == ("marking", 100, 100)
    assert (curve.episodes.tolist(), curve.means.tolist()) == ([100, 300], [150.0, 300.0])
    assert best_mean(curve) == (300.0, 300)
    assert mean_at(curve, 200) is None
    assert quartiles(log, curve)[0].size == 0


def test_marking_blocks() -> None:
    rows = blocks(log_of([0, 100, 200, 300], [200, 50, 0, 0], WINDOWS))
    assert rows[0] == Block(0, 0, 1, 200.0, 0.0, None, None)
    assert rows[2] == Block(161, 200, 40, 900.0, 20.0, None, None)


def test_single_scores_come_before_marking_lines() -> None:
    log = log_of([0, 1, 2], [1.0, 2.0, 6.0], (MarkingWindow(0, 1.0, 1.0, 0.0, 1),))
    curve = learning_curve(log, window=3)
    assert (curve.source, curve.means.tolist()) == ("trailing", [3.0])


def test_blocks_end_where_marking_lines_do() -> None:
    rows = blocks(log_of([0, 1, 2, 3, 4, 5], [7, 1, 3, 5, 11, 20]), size=2)
    assert rows == [
        Block(0, 0, 1, 7.0, 0.0, 7.0, 7.0),
        Block(1, 2, 2, 2.0, 1.0, 2.0, 3.0),
        Block(3, 4, 2, 8.0, 3.0, 8.0, 11.0),
        Block(5, 5, 1, 20.0, 0.0, 20.0, 20.0),
    ]


def test_quartiles_by_hand() -> None:
    log = log_of(list(range(6)), [0, 4, 8, 12, 16, 100])
    episodes, low, high = quartiles(log, learning_curve(log, window=5))
    assert episodes.tolist() == [4, 5]
    assert (low.tolist(), high.tolist()) == ([4.0, 8.0], [12.0, 16.0])


def test_quartiles_of_a_long_run_at_some_episodes() -> None:
    log = log_of(list(range(5000)), [float(number) for number in range(5000)])
    episodes, low, high = quartiles(log, learning_curve(log, window=101), points=50)
    assert (episodes.size, episodes[0], episodes[-1]) == (50, 100, 4999)
    np.testing.assert_allclose(low, episodes - 75)
    np.testing.assert_allclose(high, episodes - 25)


@pytest.mark.parametrize(
    ("name", "best", "best_at", "means"),
    [
        # awk's moving sum over the episode lines
        ("gravitar_2020_b", 250.0, 596, {100: 228.5, 500: 157.0, 1000: 185.0, 1500: 201.5}),
        ("walker_2021_a", 305.652170, 1246, {100: -111.181, 500: 47.7952, 1000: 298.274}),
        ("walker_2022_b", 319.614028, 665, {100: -95.2905, 500: 304.992}),
        # the marking lines as they stand there
        ("gravitar_2020_a", 285.0, 400, {100: 198.5, 500: 217.5, 1000: 215.5, 1500: 210.0, 2000: 240.5}),
    ],
)
def test_real_logs(name: str, best: float, best_at: int, means: dict[int, float]) -> None:
    path = REAL_LOGS / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"the real log {path.name} is not there: {REAL_LOGS}")
    curve = learning_curve(read_log(path))
    found = best_mean(curve)
    assert found is not None and found[0] == pytest.approx(best, abs=1e-6) and found[1] == best_at
    for episode, mean in means.items():
        assert mean_at(curve, episode) == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize(("name", "first"), [("walker_2021_a", 1052), ("walker_2022_b", 470)])
def test_when_the_real_walkers_first_pass_300(name: str, first: int) -> None:
    path = REAL_LOGS / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"the real log {path.name} is not there: {REAL_LOGS}")
    curve = learning_curve(read_log(path))
    assert curve.episodes[np.argmax(curve.means >= 300)] == first


def test_intervals_by_hand() -> None:
    # Two whole intervals from the log's first episode on; of the last one there is half.
    log = log_of(list(range(1, 26)), [*[1.0] * 10, *[0.0, 4.0] * 5, *[7.0] * 5])
    curve = interval_curve(log, size=10)
    assert curve.source == "intervals" and curve.complete
    assert curve.episodes.tolist() == [10, 20, 25]
    assert curve.means.tolist() == [1.0, 2.0, 7.0]
    assert curve.deviations is not None and curve.deviations.tolist() == [0.0, 2.0, 0.0]
    assert interval_curve(log_of(list(range(1, 25)), [0.0] * 24)).episodes.tolist() == [10, 20]
    few = interval_curve(log_of(list(range(1, 4)), [1.0, 2.0, 3.0]))
    assert few.episodes.tolist() == [3] and few.means.tolist() == [2.0] and not few.complete
    with pytest.raises(ValueError, match="at least 1"):
        interval_curve(log, size=0)
