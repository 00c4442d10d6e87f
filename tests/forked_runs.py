"""Commands of run_pegasus.py in real processes of their own, without the seconds that importing torch takes each time.

A server process imports everything once; each command is a fork of it, with its own signals, folder and output.

Credits: Python's multiprocessing (forkserver).
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120.0


def _run(arguments: tuple[str, ...], folder: str, output: str) -> None:
    os.chdir(folder)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["run_pegasus.py", *arguments]
    runpy.run_path(str(ROOT / "run_pegasus.py"), run_name="__main__")


class ForkedRun:
    """A command that runs.

    :param arguments: those of run_pegasus.py
    :param folder: where it runs
    """

    def __init__(self, *arguments: str, folder: Path) -> None:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(ROOT)
        try:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["gen_models.training.loop"])
            self.file = folder / f"output-{time.monotonic_ns()}.txt"
            self.process: BaseProcess = context.Process(target=_run, args=(arguments, str(folder), str(self.file)))
            self.process.start()
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before

    def wait(self) -> int:
        """Wait for its end.

        :return: its exit status; minus the number of the signal that killed it
        """
        self.process.join(SECONDS)
        assert self.process.exitcode is not None, f"still running: {self.output}"
        return self.process.exitcode

    def wait_for(self, path: Path) -> None:
        """Wait until a file is there."""
        deadline = time.monotonic() + SECONDS
        while not path.exists():
            assert self.process.exitcode is None and time.monotonic() < deadline, f"no {path}: {self.output}"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    @property
    def output(self) -> str:
        """Its output on stdout and stderr."""
        return self.file.read_text() if self.file.exists() else ""


def run(*arguments: str, folder: Path) -> tuple[int, str]:
    """Run a command to its end.

    :return: exit status and output
    """
    command = ForkedRun(*arguments, folder=folder)
    return command.wait(), command.output
