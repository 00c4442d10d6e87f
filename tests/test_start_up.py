"""The start of the programs: help and mistakes are answered before anything large is imported."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT

PROGRAMS = {
    "run_gravitar": "train",
    "run_pegasus": "train",
    "run_pong": "train",
    "run_walker": "train",
    "tune.__main__": "gravitar",
    "submission.__main__": "check",
}
LARGE = {
    "accelerate", "ale_py", "cv2", "diffusers", "gradio", "gymnasium", "matplotlib", "numpy", "optuna", "pandas", "PIL",
    "sb3_contrib", "scipy", "stable_baselines3", "tensorboard", "torch", "torchvision", "transformers",
}  # fmt: skip
# Runs a program and says which modules it has imported, and its processor time in seconds.
CALL = """
import importlib, json, sys, time
sys.argv = json.loads(sys.argv[1])
main = importlib.import_module(sys.argv[0]).main
try:
    status = main()
except SystemExit as stop:
    status = stop.code
print(json.dumps([status, sorted({name.partition(".")[0] for name in sys.modules}), time.process_time()]))
"""


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("arguments", "expected"), [(["--help"], 0), (["COMMAND", "--help"], 0), (["COMMAND", "--sede", "3"], 2)]
)
def test_help_and_typos_import_nothing_large(program: str, arguments: list[str], expected: int) -> None:
    said = json.dumps([program, *(PROGRAMS[program] if word == "COMMAND" else word for word in arguments)])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CALL, said], capture_output=True, text=True, env=environment, check=True
    )
    status, modules, seconds = json.loads(done.stdout.splitlines()[-1])
    assert status == expected
    assert LARGE.isdisjoint(modules)
    assert seconds < 1
    assert done.stderr.count("\n") == (expected != 0)


@pytest.mark.parametrize("worker", ["rl.envs.atari_worker", "rl.traces.render_worker"])
def test_workers_import_neither_torch_nor_matplotlib(worker: str) -> None:
    program = f"import sys, {worker}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    modules = done.stdout.split()
    assert worker in modules and not {"torch", "stable_baselines3", "matplotlib"} & set(modules)


def test_a_home_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("marking, episode: 0, score: 5.0, mean_score: 5.00, std_score: 0.00\n")
    removed = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_gravitar.py"), "inspect", "log.txt", "--output", "figure.png"],
        cwd=tmp_path, env={**environment, "HOME": "/proc/none"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (tmp_path / "figure.png").exists()
    assert done.stderr.count("mkdir -p failed for path /proc/none/.config/matplotlib") == 1
    assert done.stderr.count("created a temporary cache directory") == 1


def test_every_command_is_where_its_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    found = {}
    monkeypatch.setattr("common.cli.run_cli", lambda commands, **_: found.update(commands))
    for program in PROGRAMS:
        importlib.import_module(program).main()
        for name, (settings, function) in found.items():
            (parameter,) = pkgutil.resolve_name(function).__annotations__.keys() - {"return"}
            assert settings.__name__ in pkgutil.resolve_name(function).__annotations__[parameter], (program, name)
