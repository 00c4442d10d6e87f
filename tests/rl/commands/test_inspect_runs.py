"""The tables and the figure of ``inspect``: cells worked out by hand, what is drawn, and the files written.

Credits: the PNG and PDF signatures are those of ISO/IEC 15948 and ISO 32000.
"""

from __future__ import annotations

import csv
import io
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from common.cli import Commands, run_cli
from common.errors import UserError
from common.scores.log_order import MarkingWindow
from common.scores.logs import ScoreLog
from common.scores.plots import check_figure_path, learning_curve_figure, plot_learning_curves
from rl.commands.inspect_runs import (
    best_table,
    block_table,
    inspect,
    inspect_runs,
    last_table,
    milestone_table,
    with_distinct_names,
)
from rl.options import InspectSettings

REAL_LOGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "logs"


def ramp(name: str = "ramp", games: int = 1000, **fields: Any) -> ScoreLog:
    """Game n scores n: the mean of the last 100 at n is n - 49.5."""
    return replace(
        ScoreLog(Path(name), name, "monitor", np.arange(games), np.arange(games, dtype=np.float64)), **fields
    )


def marked(name: str = "marked") -> ScoreLog:
    windows = tuple(MarkingWindow(end, 0.0, 100.0 + end, 5.0, 100 if end else 1) for end in range(0, 501, 100))
    episodes = np.array([window.episode for window in windows])
    return ScoreLog(Path(name), name, "marking-2020", episodes, np.zeros(episodes.size), windows)


def cells(table: Table) -> list[list[str]]:
    """The table as printed, without its rules."""
    file = io.StringIO()
    console = Console(file=file, width=200)
    console.print(table)
    lines = [line.split("  ") for line in file.getvalue().splitlines() if line.strip() and "─" not in line]
    return [[cell.strip() for cell in line if cell.strip()] for line in lines]


def test_milestones_by_hand() -> None:
    title, head, first, second = cells(milestone_table([ramp(), marked()]))
    assert title == ["Mean score of the last 100 games, at episode"]
    assert head == ["run", "100", "500", "1,000"]
    # 1,000 games are numbered 0 to 999, so the mean at game 1,000 is that of number 999.
    assert first == ["ramp", "50.5", "450.5", "949.5"]
    assert second == ["marked", "200.0", "600.0", "-"]


def test_milestones_of_a_short_run() -> None:
    assert cells(milestone_table([ramp(games=20)]))[1:] == [["run", "100"], ["ramp", "-"]]


def test_best_by_hand() -> None:
    _, head, first, second = cells(best_table([ramp(seed=742), marked()]))
    assert head == ["run", "seed", "games", "best mean", "best game"]
    assert first == ["ramp", "742", "1,000", "949.5 @ 999", "999.0 @ 999"]
    assert second == ["marked", "-", "501", "600.0 @ 500", "0.0* @ 0"]


def test_last_by_hand() -> None:
    _, head, first, second = cells(last_table([ramp(), marked()]))
    assert head == ["run", "episodes", "games", "mean", "std (population)", "median", "IQM", "best"]
    # 900 to 999: variance (100^2 - 1) / 12, the middle half is 925 to 974.
    assert first == ["ramp", "900-999", "100", "949.5", "28.9", "949.5", "949.5", "999.0"]
    assert second == ["marked", "401-500", "100", "600.0", "5.0", "-", "-", "-"]


def test_blocks_of_a_single_run() -> None:
    rows = cells(block_table(ramp(games=250)))
    assert rows[1] == ["episodes", "games", "mean", "std (population)", "median", "best"]
    assert rows[2] == ["0", "1", "0.0", "0.0", "0.0", "0.0"]
    assert rows[3] == ["1-100", "100", "50.5", "28.9", "50.5", "100.0"]
    assert rows[5] == ["201-249", "49", "225.0", "14.1", "225.0", "249.0"]


def test_blocks_of_a_long_run_are_thinned_and_keep_the_last() -> None:
    rows = cells(block_table(ramp(games=12_050)))
    # 122 blocks, one in three: 0, 3, ..., 120, and the last one.
    assert rows[0] == ["ramp by 100 episodes, score in points (one row in 3)"]
    assert len(rows) - 2 == 42
    assert rows[3][0] == "201-300"
    assert rows[-1][0] == "12,001-12,049"


def test_names_are_told_apart(tmp_path: Path) -> None:
    logs = [
        ramp("log", path=tmp_path / "a" / "log.txt"),
        ramp("log", path=tmp_path / "b" / "log.txt"),
        ramp("one", path=tmp_path / "x" / "one" / "monitor.csv"),
        ramp("one", path=tmp_path / "y" / "one" / "monitor.csv"),
        ramp("same", path=tmp_path / "s.txt"),
        ramp("same", path=tmp_path / "s.txt"),
        ramp("alone"),
    ]
    folder = tmp_path.name
    names = [log.name for log in with_distinct_names(logs)]
    assert names == ["a/log", "b/log", "x/one", "y/one", f"{folder}/same (1)", f"{folder}/same (2)", "alone"]


# --- the figure ---


def texts_of(figure: Figure) -> tuple[str, str, list[str]]:
    axes = figure.axes[0]
    return axes.get_title(loc="left"), axes.texts[-1].get_text(), [
        text.get_text() for text in figure.legends[0].get_texts()
    ]  # fmt: skip


def test_figure_of_a_single_run() -> None:
    figure = learning_curve_figure([ramp(seed=742)], window=100)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "episode (games finished)"
    assert axes.get_ylabel() == "score (points, raw, whole games)"
    dots, line = axes.lines[:2]
    assert (dots.get_linestyle(), dots.get_marker()) == ("None", ".")
    assert np.asarray(dots.get_ydata()).tolist() == list(range(1000))
    assert np.asarray(line.get_xdata()).tolist() == list(range(99, 1000))
    np.testing.assert_allclose(np.asarray(line.get_ydata()), np.arange(99, 1000) - 49.5)
    (band,) = [each for each in axes.collections if isinstance(each, PolyCollection)]
    edges = np.asarray(band.get_paths()[0].vertices)
    # The quartiles of 900 to 999 are 924.75 and 974.25.
    assert sorted({float(y) for x, y in edges if x == 999}) == [924.75, 974.25]
    title, caption, legend = texts_of(figure)
    assert title == "Learning curve of ramp"
    assert caption == (
        "Line: mean of the last 100 games; shaded: between the quartiles of their scores; dots: single games."
    )
    assert legend == ["ramp (seed 742, 1,000 games)"]


def test_figure_of_a_run_and_a_marking_log() -> None:
    figure = learning_curve_figure([ramp(), marked()], window=50, title="Costs $5 and $6")
    line, steps = figure.axes[0].lines[:2]
    assert line.get_drawstyle() == "default"
    assert steps.get_drawstyle() == "steps-pre"
    # The first marking line covers one game and is no mean of a window.
    assert np.asarray(steps.get_xdata()).tolist() == [100, 200, 300, 400, 500]
    assert np.asarray(steps.get_ydata()).tolist() == [200.0, 300.0, 400.0, 500.0, 600.0]
    title, caption, legend = texts_of(figure)
    assert title == r"Costs \$5 and \$6"
    assert caption.replace("\n", " ") == (
        "Line: mean of the last 50 games; shaded: between the quartiles of their scores. Steps: mean_score of "
        "the marking lines (100 games each). Where no seed is given, the log does not say it."
    )
    assert legend == ["ramp (1,000 games)", "marked (501 games, marking lines)"]


def test_twelve_runs_can_be_told_apart() -> None:
    figure = learning_curve_figure([ramp(f"_run{index}", games=300 + index, seed=index) for index in range(12)])
    axes = figure.axes[0]
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(axes.lines) == len(looks) == 12
    assert len({line.get_marker() for line in axes.lines}) == 12
    assert not axes.collections
    _, caption, legend = texts_of(figure)
    assert "No spread is drawn for more than 3 runs." in caption
    assert len(legend) == 12
    assert "run11 (seed 11, 311 games)" in legend[11]


@pytest.mark.parametrize(("name", "columns"), [("short", 3), ("a_name_of_thirty_characters____", 2)])
def test_the_legend_fits_the_figure(name: str, columns: int) -> None:
    figure = learning_curve_figure([ramp(f"{name}{index}", seed=742) for index in range(7)])
    figure.canvas.draw()
    assert figure.legends[0]._ncols == columns  # type: ignore[attr-defined]
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def reference_heights(logs: list[ScoreLog], references: bool | None = None) -> list[float]:
    axes = learning_curve_figure(logs, references=references).axes[0]
    return [np.asarray(line.get_ydata())[0] for line in axes.lines if list(np.asarray(line.get_xdata())) == [0, 1]]


def test_reference_lines_only_for_gravitar_and_within_the_data() -> None:
    gravitar = ramp(environment="ALE/Gravitar-v5")
    assert reference_heights([gravitar]) == [173.0]
    assert reference_heights([ramp(games=4000, environment="Gravitar-ram-v0")]) == [173.0, 3351.0]
    assert reference_heights([marked()]) == []  # its means begin at 200
    assert reference_heights([gravitar], references=False) == []
    assert reference_heights([ramp(environment="ALE/Pong-v5")]) == []
    assert reference_heights([gravitar, ramp()]) == []
    assert reference_heights([ramp()], references=True) == [173.0]


def test_reference_lines_do_not_stretch_the_axis() -> None:
    # Scores from 180 to 679: random play's 173 lies in the margin below them.
    log = ramp(games=500, scores=np.arange(180.0, 680.0))
    with_lines, without = (learning_curve_figure([log], references=each).axes[0] for each in (True, False))
    assert len(with_lines.lines) == len(without.lines) + 1
    assert with_lines.get_ylim() == without.get_ylim()


def test_short_and_single_game_runs_are_drawn() -> None:
    figure = learning_curve_figure([ramp(games=1), ramp(games=7)])
    assert [np.asarray(line.get_xdata()).size for line in figure.axes[0].lines] == [1, 7]
    assert "(of all so far, where fewer)" in texts_of(figure)[1]


def test_files_of_the_figure(tmp_path: Path) -> None:
    png = plot_learning_curves([ramp()], tmp_path / "new" / "curve.png")
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1350, 810)  # 9 x 5.4 inches at 150 dots an inch
    assert len(data) > 20_000
    pdf = plot_learning_curves([ramp()], tmp_path / "curve.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert plot_learning_curves([ramp()], tmp_path / "again.pdf").read_bytes() == pdf
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.pdf", "curve.pdf", "new"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("curve.jpeg", "must end in .png, .pdf, .svg"),
        ("curve", "must end in"),
        ("curve.pgn", "did you mean '.png'"),
        (".", "is a folder"),
    ],
)
def test_figures_that_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_figure_path(tmp_path / name)
    assert caught.value.status == 2


# --- the command ---


def write_run(folder: Path, scores: list[float]) -> Path:
    folder.mkdir(parents=True)
    (folder / "settings.yml").write_text("seed: 742\n")
    rows = "".join(f"{score},10,{time}.0\n" for time, score in enumerate(scores))
    (folder / "monitor.csv").write_text('#{"t_start": 0, "env_id": "ALE/Gravitar-v5"}\nr,l,t\n' + rows)
    return folder


def test_inspect_one_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "runs" / "first", [float(number) for number in range(150)])
    file = io.StringIO()
    console = Console(file=file, width=80)
    before = sorted(run.iterdir())
    assert inspect_runs([run], console=console) == Path("inspect.png")
    assert sorted(run.iterdir()) == before  # nothing is written into it
    printed = file.getvalue()
    assert "first 742 150 99.5 @ 149 149.0 @ 149" in [" ".join(line.split()) for line in printed.splitlines()]
    assert "101-149" in printed
    assert printed.endswith("figure: inspect.png\n")
    assert Path("inspect.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.chdir(run)
    assert inspect_runs([Path(".")], console=console) is None
    assert sorted(run.iterdir()) == before
    assert file.getvalue().endswith("no figure; --output FILE makes one\n")
    assert inspect_runs([Path(".")], Path("curve.png"), console=console) == Path("curve.png")  # as asked


def test_inspect_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "other.txt"
    log.write_text("hello\nEpisode:0 Score:200.00\n")
    file = io.StringIO()
    console = Console(file=file, width=80)
    assert inspect_runs([write_run(tmp_path / "a", [50.0]), log], console=console) == Path("inspect.png")
    printed = file.getvalue()
    assert "other: 1 other lines in between (first at line 1: 'hello')" in printed
    assert "by 100 episodes" not in printed
    assert (tmp_path / "inspect.png").stat().st_size > 10_000
    assert max(map(len, printed.split("other:")[0].splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": []}, "no run to inspect"),
        ({"window": 0}, "--window is 0"),
        ({"output": Path("curve.doc")}, "must end in"),
        ({"paths": [Path("absent")]}, "does not exist"),
    ],
)
def test_inspect_refuses_before_it_prints_or_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", [50.0])
    file = io.StringIO()
    console = Console(file=file)
    with pytest.raises(UserError, match=message) as caught:
        inspect_runs(**{"paths": [run], "console": console, **arguments})
    assert caught.value.status == 2
    assert file.getvalue() == ""
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["monitor.csv", "run", "settings.yml"]


def test_inspect_the_real_logs(tmp_path: Path) -> None:
    names = ("gravitar_2020_a.txt", "gravitar_2020_b.txt")
    if not all((REAL_LOGS / name).is_file() for name in names):
        pytest.skip(f"the real logs are not there: {REAL_LOGS}")
    file = io.StringIO()
    console = Console(file=file, width=120)
    inspect_runs([REAL_LOGS / name for name in names], tmp_path / "both.pdf", console=console)
    printed = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "gravitar_2020_a 198.5 217.5 215.5 210.0 240.5" in printed
    assert "gravitar_2020_b 228.5 157.0 185.0 201.5 -" in printed
    assert "gravitar_2020_a - 2,541 285.0 @ 400 2,300* @ 200" in printed
    assert "gravitar_2020_b - 1,801 250.0 @ 596 2,200 @ 1,194" in printed
    # sort -n over the last 100 episode lines: median 100, mean of the middle 50 is 119.
    assert "gravitar_2020_b 1,701-1,800 100 194.5 237.1 100.0 119.0 1,050" in printed
    assert (tmp_path / "both.pdf").read_bytes().startswith(b"%PDF-")


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, figure = write_run(tmp_path / "run", [50.0] * 12), tmp_path / "figure.pdf"
    commands: Commands = {"inspect": (InspectSettings, inspect), "other": (InspectSettings, inspect)}
    assert run_cli(commands, ["inspect", str(run), "--output", str(figure), "--window", "10"]) == 0
    assert figure.read_bytes().startswith(b"%PDF-")
    printed = capsys.readouterr().out
    assert "Mean score of the last 10 games" in printed
    assert f"figure: {figure}" in printed
    assert run_cli(commands, ["inspect", str(tmp_path / "rum")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "rum does not exist; did you mean 'run'?" in message


@pytest.mark.parametrize("width", [40, 80])
def test_tables_are_turned_where_they_are_too_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.chdir(tmp_path)
    name = "ppo-ram-with-a-long-name-742"
    file = io.StringIO()
    console = Console(file=file, width=width)
    inspect_runs([write_run(tmp_path / name, [1050.0] * 2500), write_run(tmp_path / "b", [0.0])], console=console)
    printed = file.getvalue()
    assert max(map(len, printed.splitlines())) <= width
    words = printed.split()
    assert words.count(name) == 3  # whole, once in each table
    assert {"2,400-2,499", "1,050", "median", "(population)", "2,500"} <= set(words)
    values = [" ".join(line.split()) for line in printed.splitlines()]
    assert (f"{name}" in values and "best game 1,050 @ 0" in values and "episodes 2,400-2,499" in values) == (
        width < 80
    )


def test_one_bad_log_among_many_is_named_and_the_others_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_run(tmp_path / name, [50.0] * 12)
    (tmp_path / "empty.txt").write_text("")
    commands: Commands = {"inspect": (InspectSettings, inspect), "other": (InspectSettings, inspect)}
    assert run_cli(commands, ["inspect", "a", "empty.txt", "b"]) == 1
    captured = capsys.readouterr()
    assert {"a", "b"} <= set(captured.out.split()) and Path("inspect.png").exists()
    assert captured.err == "error: 1 of 3 logs is left out: empty.txt is empty; nothing has been logged in it\n"
    assert run_cli(commands, ["inspect", "empty.txt"]) == 2


def test_records_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "first", [float(number) for number in range(150)])
    commands: Commands = {"inspect": (InspectSettings, inspect), "other": (InspectSettings, inspect)}
    assert run_cli(commands, ["inspect", str(run), "--format", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    expected = {
        "name": "first", "kind": "monitor", "environment": "ALE/Gravitar-v5", "seed": 742, "games": 150,
        "mean_at_100": 50.5, "mean_at_500": None, "best_mean": 99.5, "best_mean_episode": 149, "best_score": 149.0,
        "best_score_episode": 149, "last_first_episode": 50, "last_episode": 149, "last_mean": 99.5, "last_iqm": 99.5,
        "warnings": [],
    }  # fmt: skip
    assert {name: one[name] for name in expected} == expected
    assert run_cli(commands, ["inspect", str(run), "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["name"], row["best_mean"], row["mean_at_500"]) == ("first", "99.5", "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["first", "monitor.csv", "settings.yml"]
