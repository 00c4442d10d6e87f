"""optuna-dashboard reads the storages: the documented command starts, and answers over HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tune.storage import open_url

SECONDS = 120.0


def get(address: str, process: subprocess.Popen[bytes]) -> bytes:
    """The server's answer, as soon as there is one."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.parametrize("name", ["{}/journal.log", "sqlite:///{}/study.db"], ids=["journal", "sqlite"])
def test_the_dashboard_shows_a_studys_trials(name: str, tmp_path: Path) -> None:
    storage = name.format(tmp_path)
    study = optuna.create_study(study_name="ppo-ram-742", storage=open_url(storage), direction="maximize")
    study.set_metric_names(["score"])
    objective: Callable[[optuna.Trial], float] = lambda trial: trial.suggest_float("x", 0, 1) + 3  # noqa: E731
    study.optimize(objective, n_trials=3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    process = subprocess.Popen([str(program), storage, "--port", str(port)], stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        assert b"<html" in get(f"{address}/dashboard/", process).lower()
        (found,) = json.loads(get(f"{address}/api/studies", process))["study_summaries"]
        assert found["study_name"] == "ppo-ram-742"
        shown: dict[str, Any] = json.loads(get(f"{address}/api/studies/{found['study_id']}?after=0", process))
        values = [trial["values"][0] for trial in shown["trials"]]
        assert [float(value) for value in values] == [trial.value for trial in study.trials]
    finally:
        process.terminate()
        process.wait(30)
