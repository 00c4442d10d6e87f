"""When runs are good: steps and episodes worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import UserError
from common.scores.logs import read_log
from rl.commands.sample_efficiency import Passed, compare, passed, spread, table
from rl.commands.walker_options import TableSettings


def run_folder(path: Path, seed: int, scores: list[float], length: int) -> Path:
    """A run whose episodes all have one length."""
    path.mkdir()
    rows = "".join(f"{score},{length},{number}.0\n" for number, score in enumerate(scores))
    (path / "monitor.csv").write_text('#{"t_start": 0.0, "env_id": "BipedalWalker-v3"}\nr,l,t\n' + rows)
    (path / "settings.yml").write_text(f"seed: {seed}\n")
    return path


def test_the_first_full_window_that_is_good_enough(tmp_path: Path) -> None:
    # Windows of 3: means -, -, 100, 200, 300 after episodes 3, 4, 5.
    log = read_log(run_folder(tmp_path / "a", 1, [300.0, 0.0, 0.0, 600.0, 300.0], 10))
    assert passed(log, 100, window=3) == Passed(3, 30)
    assert passed(log, 101, window=3) == Passed(4, 40)
    assert passed(log, 300, window=3) == Passed(5, 50)
    assert passed(log, 301, window=3) == Passed(None, None)
    assert passed(log, 0, window=6) == Passed(None, None)


def test_agent_logs_count_from_one_and_say_no_steps(tmp_path: Path) -> None:
    path = tmp_path / "agent-log.txt"
    path.write_text(
        "".join(f"episode: {number}, reward: {reward}\n" for number, reward in [(1, 0.5), (2, 3.5), (3, 9.0)])
    )
    assert passed(read_log(path), 2.0, window=2) == Passed(2, None)


def test_runs_that_differ_in_their_seed_are_one_method(tmp_path: Path) -> None:
    paths = [
        run_folder(tmp_path / "crossq-42", 42, [1.0, 9.0, 9.0], 10),
        run_folder(tmp_path / "tqc-42", 42, [0.0, 0.0, 0.0], 5),
        run_folder(tmp_path / "crossq-43", 43, [9.0, 9.0, 9.0], 20),
    ]
    crossq, tqc = compare([read_log(path) for path in paths], [9.0], window=2)
    assert (crossq.name, crossq.seeds, tqc.name, tqc.seeds) == ("crossq", (42, 43), "tqc", (42,))
    assert crossq.passed == ((Passed(3, 30),), (Passed(2, 40),))
    assert tqc.passed == ((Passed(None, None),),)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([3_000], "3,000"),
        ([None], "-"),
        ([5, 1, 3], "3 [1, 5]"),
        ([4, 1], "2 [1, 4]"),
        ([None, 1_000, 7], "1,000 [7, 1,000] (2 of 3)"),
        ([None, None, 7], "- [7, 7] (1 of 3)"),
    ],
)
def test_the_median_counts_a_run_that_never_gets_there_as_the_last(values: list[int | None], text: str) -> None:
    assert spread(values) == text


def test_records_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "crossq-42", 42, [0.0, 9.0, 9.0], 10)
    table(TableSettings((run,), means=(9.0, 10.0), window=2, format="json"))
    assert json.loads(capsys.readouterr().out) == [
        {
            "method": "crossq", "seed": 42, "steps_to_9": 30, "steps_to_10": None,
            "episodes_to_9": 3, "episodes_to_10": None,
        }
    ]  # fmt: skip
    with pytest.raises(UserError, match="--window"):
        table(TableSettings((run,), window=0))
    with pytest.raises(UserError, match="no run to compare"):
        table(TableSettings(()))
