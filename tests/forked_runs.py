"""The project's programs in real processes of their own, without the seconds that importing torch takes each time.

A server process imports everything once; each program is a fork of it, with its own signals, folder, variables and
output. What the tests see is what they would see of ``subprocess.Popen``. Where it is the project that starts programs,
``forked_python`` puts a stand-in in the place of ``sys.executable``.

Credits: Python's multiprocessing (forkserver), for the idea.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from tests.forked_python import NUMBER, answer, ask_for

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 900.0  # far more than any command takes, also on a busy machine
PRELOADED = ("gen_models.training.loop", "rl.train", "rl.evaluate", "rl.replay")


class Server:
    """The process whose forks run the programs; one for each process of the tests.

    :ivar python: a stand-in for ``sys.executable``, whose programs are forks of this process, as are the programs that
        they start
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forked-runs-"))
        self.address = str(self.folder / "socket")
        self.python = str(self.folder / "python")
        client = ROOT / "tests" / "forked_python.py"
        Path(self.python).write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{client}" "{self.address}" "$@"\n')
        Path(self.python).chmod(0o755)
        self._starts = 0
        # It is there before the server has imported everything; who comes early waits.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked_runs", str(listener.fileno()), self.python], cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, stdin=subprocess.PIPE,
                pass_fds=(listener.fileno(),),
            )  # fmt: skip
        atexit.register(self._close)

    def next_files(self) -> Path:
        """The path of a program's output, without the suffixes ``.out`` and ``.err``."""
        self._starts += 1
        return self.folder / str(self._starts)

    def _close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


server = cache(Server)


def forked_python() -> str:
    """A program that stands in for ``sys.executable``: what it runs is a fork of the server."""
    return server().python


class ForkedRun:
    """A command that runs.

    :param program: ``run_gravitar.py`` or ``run_pegasus.py``
    :param arguments: its arguments
    :param folder: where it runs
    :param variables: of its environment, beside those of the tests
    """

    def __init__(self, program: str, *arguments: str, folder: Path, **variables: str) -> None:
        self.arguments = arguments
        self._files = server().next_files()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120", **variables}
        with (
            open(os.devnull, "rb") as nothing,
            self._files.with_suffix(".out").open("ab") as out,
            self._files.with_suffix(".err").open("ab") as err,
        ):
            files = [file.fileno() for file in (nothing, out, err)]
            command = [str(ROOT / program), *arguments]
            self._connection, self.pid = ask_for(server().address, command, str(folder), environment, files)
        self._status: int | None = None

    @property
    def returncode(self) -> int | None:
        """Its exit status; minus the number of the signal that killed it; None while it runs."""
        return self._ended(0.0)

    def _ended(self, seconds: float) -> int | None:
        if self._status is None and select.select([self._connection], [], [], seconds)[0]:
            with self._connection:
                self._status = answer(self._connection)
        return self._status

    def wait(self, timeout: float = SECONDS) -> int:
        """Wait for its end.

        :raises subprocess.TimeoutExpired: when it is still running
        """
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.arguments, timeout, self.stdout.encode(), self.stderr.encode())
        return status

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


def _serve(listener: socket.socket, python: str) -> None:
    """Run what is asked for, until nobody holds the other end of stdin; say what has ended, and with which status."""
    for name in PRELOADED:
        importlib.import_module(name)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: dict[int, socket.socket] = {}
    abandoned: set[int] = set()
    while True:
        asking = {connection: process for process, connection in running.items() if process not in abandoned}
        watched: list[Any] = [0, reading, listener, *asking]
        ready, _, _ = select.select(watched, [], [])
        for connection in asking.keys() & set(ready):  # nobody waits for it any longer
            os.kill(asking[connection], signal.SIGKILL)
            abandoned.add(asking[connection])
        if reading in ready:
            os.read(reading, 4096)
            for process in list(running):
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    with running.pop(process) as connection:
                        if process not in abandoned:
                            _say(connection, os.waitstatus_to_exitcode(status))
                    abandoned.discard(process)
        if listener in ready:
            connection, _ = listener.accept()
            length, files, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
            request = connection.recv(NUMBER.unpack(length)[0], socket.MSG_WAITALL)
            arguments, folder, variables = json.loads(request)
            process = os.fork()
            if not process:
                for other in (listener, connection, *running.values()):
                    other.close()
                os.close(reading)
                os.close(writing)
                _become(arguments, folder, variables, files, python)
            for number in files:
                os.close(number)
            running[process] = connection
            _say(connection, process)
        if 0 in ready:
            for process in running:
                os.kill(process, signal.SIGKILL)
            return


def _say(connection: socket.socket, number: int) -> None:
    """Answer, unless nobody listens any longer."""
    with contextlib.suppress(OSError):
        connection.sendall(NUMBER.pack(number))


def _become(arguments: list[str], folder: str, variables: dict[str, str], files: list[int], python: str) -> NoReturn:
    """Turn this process into that of a program."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for place, number in enumerate(files):
        os.dup2(number, place)
        os.close(number)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    tempfile.tempdir = None  # TMPDIR may be another
    sys.executable = python
    flags = [argument for argument in arguments[:1] if argument == "-u"]
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), _output(1, bool(flags)), _output(2, True)
    status: Any = 0
    try:
        _run(arguments[len(flags) :])
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


def _output(number: int, at_once: bool) -> io.TextIOWrapper:
    """A standard stream as Python opens it."""
    at_once = at_once or "PYTHONUNBUFFERED" in os.environ
    errors = "backslashreplace" if number == 2 else "strict"
    binary = os.fdopen(number, "wb", 0 if at_once else -1)
    return io.TextIOWrapper(binary, "utf-8", errors, line_buffering=os.isatty(number), write_through=at_once)


def _run(arguments: list[str]) -> None:
    """What ``python`` does with its arguments."""
    if arguments[0] == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as shared:
        _serve(shared, sys.argv[2])
