"""The demo's commands as the Makefile has them, with a share of their budgets; their times are not judged here."""

from __future__ import annotations

import sys

from bench.demo import ROOT, STEPS, commands
from rl.settings import PRESETS


def test_the_demos_commands_are_scaled() -> None:
    gravitar, train, sample = commands(0.1, "a")
    assert gravitar == [
        sys.executable, str(ROOT / "run_gravitar.py"), "train", "--preset", "demo", "--name", "a",
        "--timesteps", "30000",
    ]  # fmt: skip
    assert train[2:] == ["train", "--preset", "sprites", "--images", "4000", "--name", "a"]
    assert sample[2:] == ["sample", "runs/pegasus/a", "--weights", "horse+spread=4", "--name", "winged-horses"]
    assert PRESETS["demo"]["timesteps"] == STEPS
