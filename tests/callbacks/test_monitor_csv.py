"""``monitor.csv`` byte by byte, and read by Stable-Baselines3's own tools where they are installed.

Credits: Stable-Baselines3's ``Monitor`` and ``load_results``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from callbacks.monitor_csv import MonitorCsvCallback
from common.errors import UserError

TAPES = ([(2, 100.0), (3, -50.0)], [(2, 0.25), (1, 1e6)])
# At step 2 both, the first before the second; at step 3 the second, at step 5 the first.
ROWS = [(100.0, 2), (0.25, 2), (1e6, 1), (-50.0, 3)]


@pytest.fixture
def path(tmp_path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]) -> Path:
    path = tmp_path / "run" / "monitor.csv"
    ppo(tape_env(*TAPES)).learn(16, callback=MonitorCsvCallback(path, "ALE/Gravitar-v5"))
    return path


def test_rows_in_the_order_of_finishing(path: Path) -> None:
    first, header, *rows = path.read_text().splitlines()
    assert header == "r,l,t"
    content = json.loads(first.removeprefix("#"))
    assert content["env_id"] == "ALE/Gravitar-v5" and content["t_start"] > 1e9
    read = list(csv.reader(rows))
    assert [(float(r), int(length)) for r, length, _ in read] == ROWS
    times = [float(t) for *_, t in read]
    assert times == sorted(times) and times[0] >= 0
    assert path.read_bytes().endswith(b"\n") and b"\r" not in path.read_bytes()


def test_it_has_the_form_of_stable_baselines3s_own_file(
    path: Path, tmp_path: Path, tape_env: Callable[..., DummyVecEnv]
) -> None:
    """Side by side with the file that one ``Monitor`` writes."""
    own = tmp_path / "own.monitor.csv"
    env = Monitor(tape_env(TAPES[0]).envs[0].unwrapped, str(own))
    env.reset()
    for _ in range(2):
        env.step(0)
    env.close()
    theirs, ours = own.read_text().splitlines(), path.read_text().splitlines()
    assert ours[0].startswith("#{") and theirs[0].startswith("#{")
    assert json.loads(theirs[0][1:]).keys() == json.loads(ours[0][1:]).keys()
    assert ours[1] == theirs[1]
    assert [part.count(".") for part in ours[2].split(",")[:2]] == [1, 0]
    assert ours[2].split(",")[:2] == theirs[2].split(",")[:2]


def test_stable_baselines3_reads_it(path: Path) -> None:
    pytest.importorskip("pandas", reason="Stable-Baselines3 reads monitor files with pandas")
    from stable_baselines3.common.monitor import load_results

    results = load_results(str(path.parent))
    assert list(zip(results["r"], results["l"], strict=True)) == ROWS


def test_a_file_that_exists_is_never_overwritten(
    path: Path, tape_env: Callable[..., DummyVecEnv], ppo: Callable[..., PPO]
) -> None:
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"monitor\.csv exists and is never overwritten"):
        ppo(tape_env(*TAPES)).learn(16, callback=MonitorCsvCallback(path, "tape"))
    assert path.read_bytes() == before
