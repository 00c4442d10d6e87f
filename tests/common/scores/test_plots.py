"""The range of the learning curve's axis, and what the caption says of what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from common.scores.logs import ScoreLog
from common.scores.plots import learning_curve_figure


def log(scores: list[float], name: str = "run") -> ScoreLog:
    return ScoreLog(Path("monitor.csv"), name, "monitor", np.arange(len(scores)), np.array(scores))


def caption(figure: Figure) -> str:
    return " ".join(figure.axes[0].texts[0].get_text().split())


@pytest.mark.parametrize("place", [0, 3, 150])
def test_one_high_score_does_not_squash_the_line(place: int) -> None:
    scores = [100.0, 200.0] * 100
    scores[place] = 2_000.0
    figure = learning_curve_figure([log(scores)])
    low, high = figure.axes[0].get_ylim()
    assert low == 95 and high == 205
    assert "dots: single games. Triangles: 1 game above the axis, the best 2,000." in caption(figure)
    (triangles,) = [line for line in figure.axes[0].lines if line.get_marker() == "^"]
    assert triangles.get_xydata().tolist() == [[place, 205.0]]  # type: ignore[union-attr]


def test_scores_that_rise_have_room() -> None:
    figure = learning_curve_figure([log([float(score) for score in range(0, 1000, 5)])])
    low, high = figure.axes[0].get_ylim()
    assert low < 0 and high > 995
    assert "Triangles" not in caption(figure)


def test_an_early_high_score_does_not_squash_the_line_of_a_short_run() -> None:
    """The line is the mean of all games so far, and begins with the first game's 2,000 points."""
    figure = learning_curve_figure([log([2_000.0, *[100.0, 200.0] * 25])])
    assert figure.axes[0].get_ylim()[1] < 400


def test_two_games_of_0_points_have_an_axis_of_points() -> None:
    low, high = learning_curve_figure([log([0.0, 0.0])]).axes[0].get_ylim()
    assert (low, high) == (-0.5, 10.5)


def test_only_lines_that_must_be_told_apart_have_markers() -> None:
    scores = [100.0, 200.0] * 100
    alone = learning_curve_figure([log(scores)]).axes[0].lines
    assert [line.get_marker() for line in alone if line.get_linestyle() == "-"] == ["None"]
    several = learning_curve_figure([log(scores, "a"), log(scores, "b")]).axes[0].lines
    assert [line.get_marker() for line in several if not str(line.get_label()).startswith("_")] == ["o", "s"]


def test_means_of_each_ten_games_have_a_band_of_one_standard_deviation() -> None:
    figure = learning_curve_figure([log([*[0.0, 4.0] * 5, *[10.0, 20.0] * 5])], interval=10)
    (band,) = figure.axes[0].collections
    corners = band.get_paths()[0].get_extents()
    assert (corners.x0, corners.x1, corners.y0, corners.y1) == (9, 19, 0, 20)
    (line,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert line.get_xydata().tolist() == [[9, 2], [19, 15]]  # type: ignore[union-attr]
    said = "Line: mean of each 10 games; shaded: one standard deviation above and below; dots: single games."
    assert said in caption(figure)
