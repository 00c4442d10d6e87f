"""The time of ``make demo``'s commands, on a quiet machine and beside a busy loop on each core.

    python -m bench.demo                      # a tenth of the demo's budgets, quiet and beside loops
    python -m bench.demo --share 1 --loops 0  # the whole demo once, as it is

The commands are read from the Makefile. What they leave goes into a folder that is removed, unless ``--runs`` names
one.

Credits: GNU make, whose recipe is read.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from bench.busy import busy_loops
from common.processors import cores

ROOT = Path(__file__).resolve().parent.parent
STEPS = 300_000  # of the preset demo; a test compares
BUDGETS = ("--timesteps", "--images")  # options that are scaled


@dataclass(frozen=True)
class Settings:
    """Measure the demo."""

    share: float = 0.1
    """Share of the demo's budgets."""
    loops: tuple[int, ...] = (0, cores())
    """Busy loops beside the demo, one measurement each; the first is what the others are compared with."""
    runs: Path | None = None
    """Folder in which the commands run and which they fill. Default: one that is removed."""


def main() -> None:
    """Run and print."""
    settings = tyro.cli(Settings)
    with tempfile.TemporaryDirectory() as removed:
        folder = (settings.runs or Path(removed)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        seconds = [measured(settings.share, count, folder) for count in settings.loops]
    table = Table(title=f"seconds of the demo's commands, {settings.share:g} of their budgets, {cores()} cores")
    for column in ("command", *(f"{count} loops" for count in settings.loops), "times the first"):
        table.add_column(column)
    rows = [*zip(*seconds, strict=True), tuple(map(sum, seconds))]
    names = [*(" ".join(Path(word).name for word in command[1:3]) for command in commands(1, "")), "all"]
    for name, row in zip(names, rows, strict=True):
        times = ", ".join(f"{value / row[0]:.2f}" for value in row[1:])
        table.add_row(name, *(f"{value:.0f}" for value in row), times)
    Console(width=120).print(table)


def measured(share: float, count: int, folder: Path) -> list[float]:
    """The seconds of each command beside so many busy loops.

    :raises SystemExit: when one of them fails
    """
    seconds = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with busy_loops(count):
        for command in commands(share, f"demo-{count}-loops"):
            began = time.monotonic()
            done = subprocess.run(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip().splitlines()[-1]}")
            seconds.append(time.monotonic() - began)
    return seconds


def commands(share: float, name: str) -> list[list[str]]:
    """The demo's commands with a share of their budgets.

    :param name: of the runs
    """
    recipe = (ROOT / "Makefile").read_text().partition("\ndemo: install\n")[2]
    lines = [line for line in recipe.partition("\n\n")[0].splitlines() if line.startswith("\t")]
    found = [shlex.split(line.replace("$(PY)", sys.executable).replace("$(NAME)", name)) for line in lines]
    return [_scaled(command, share) for command in found]


def _scaled(command: list[str], share: float) -> list[str]:
    """A command with its budget scaled; that of the preset demo is written out."""
    words = [command[0], str(ROOT / command[1]), *command[2:]]
    if "demo" in words:  # the preset
        words += ["--timesteps", str(STEPS)]
    for option in BUDGETS:
        if option in words:
            place = words.index(option) + 1
            words[place] = str(max(1, round(share * int(words[place]))))
    return words


if __name__ == "__main__":
    main()
