"""The project's programs in real processes of their own, without the seconds that importing torch takes each time.

A server process imports everything once; each command is a fork of it, with its own signals, folder, variables and
output. What the tests see is what they would see of ``subprocess.Popen``.

Credits: Python's multiprocessing (forkserver), for the idea.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 900.0  # far more than any command takes, also on a busy machine
PRELOADED = ("gen_models.training.loop", "rl.train", "rl.evaluate", "rl.replay")


class Server:
    """The process whose forks run the commands; one for each process of the tests."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forked-runs-"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked_runs"],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.changed = threading.Condition()
        self.ended: dict[int, int] = {}
        self._begun: list[int] = []
        self._starts = 0
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self._close)

    def start(
        self, program: str, arguments: tuple[str, ...], folder: Path, variables: dict[str, str]
    ) -> tuple[int, Path]:
        """Start a command; its number, and the path of its output without the suffixes ``.out`` and ``.err``."""
        with self.changed:
            self._starts += 1
            files = self.folder / str(self._starts)
            request = [str(ROOT / program), arguments, str(folder), variables, str(files)]
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            self.changed.wait_for(lambda: len(self._begun) == self._starts, SECONDS)
            return self._begun[-1], files

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, status = json.loads(line)
            with self.changed:
                if status is None:
                    self.ended.pop(number, None)  # numbers come again
                    self._begun.append(number)
                else:
                    self.ended[number] = status
                self.changed.notify_all()

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


server = cache(Server)


class ForkedRun:
    """A command that runs.

    :param program: ``run_gravitar.py`` or ``run_pegasus.py``
    :param arguments: its arguments
    :param folder: where it runs
    :param variables: of its environment, beside those of the tests
    """

    def __init__(self, program: str, *arguments: str, folder: Path, **variables: str) -> None:
        self.arguments = arguments
        self.pid, self._files = server().start(program, arguments, folder, variables)

    @property
    def returncode(self) -> int | None:
        """Its exit status; minus the number of the signal that killed it; None while it runs."""
        return server().ended.get(self.pid)

    def wait(self, timeout: float = SECONDS) -> int:
        """Wait for its end.

        :raises subprocess.TimeoutExpired: when it is still running
        """
        with server().changed:
            if not server().changed.wait_for(lambda: self.returncode is not None, timeout):
                raise subprocess.TimeoutExpired(self.arguments, timeout, self.stdout, self.stderr)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = SECONDS) -> tuple[str, str]:
        """Wait for its end; what it wrote to stdout and to stderr."""
        self.wait(timeout)
        return self.stdout, self.stderr

    def wait_for(self, path: Path) -> None:
        """Wait until a file is there."""
        deadline = time.monotonic() + SECONDS
        while not path.exists():
            assert self.returncode is None and time.monotonic() < deadline, f"no {path}: {self.output}"
            time.sleep(0.01)

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    @property
    def stdout(self) -> str:
        """What it has written to stdout so far."""
        return self._files.with_suffix(".out").read_text()

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._files.with_suffix(".err").read_text()

    @property
    def output(self) -> str:
        """What it has written to stdout, and then what to stderr."""
        return self.stdout + self.stderr


def run(program: str, *arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; the parameters are those of ``ForkedRun``."""
    command = ForkedRun(program, *arguments, folder=folder, **variables)
    status = command.wait()
    return subprocess.CompletedProcess([program, *arguments], status, command.stdout, command.stderr)


def _serve() -> None:
    """Start what is asked for on stdin, a line each, and say on stdout what was started and what has ended."""
    for name in PRELOADED:
        importlib.import_module(name)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: set[int] = set()
    while True:
        ready, _, _ = select.select([0, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            for number in sorted(running):
                ended, status = os.waitpid(number, os.WNOHANG)
                if ended:
                    running.discard(number)
                    print(json.dumps([number, os.waitstatus_to_exitcode(status)]), flush=True)
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                return
            number = os.fork()
            if not number:
                os.close(reading)
                os.close(writing)
                _become(*json.loads(line))
            running.add(number)
            print(json.dumps([number, None]), flush=True)


def _become(program: str, arguments: list[str], folder: str, variables: dict[str, str], files: str) -> NoReturn:
    """Turn this process into that of a command."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{files}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = [program, *arguments]
    status: Any = 0
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as stop:
        status = stop.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    _serve()
