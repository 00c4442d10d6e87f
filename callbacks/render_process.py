"""The training's side of the process that renders videos: jobs are sent to it, and it answers each."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Answer:
    """The result of a job.

    :param error: why there is no video, or None
    """

    error: str | None


class RenderProcess:
    """Runs ``python -m MODULE``, which is started at the first job and again after it has died.

    It has one job at a time. A job is a line of a few hundred bytes, which always fits into the pipe's buffer, so
    nothing here blocks except ``answer`` with a timeout.

    :param module: full name of a module that, run as a program, reads one JSON object a line and answers each with
        one that holds ``error``, None or a text; it takes the option ``--hurry``
    :param hurry: run at normal priority, not at the lowest
    """

    def __init__(self, module: str, hurry: bool = False) -> None:
        self.busy = False
        self._command = [sys.executable, "-m", module, *(["--hurry"] if hurry else [])]
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._errors: IO[bytes] | None = None

    def send(self, job: dict[str, Any]) -> None:
        """Send a job; ``busy`` until ``answer`` has returned its answer."""
        self.busy = True
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
        except OSError as error:
            self._answers.put(json.dumps({"error": f"the renderer cannot be started: {error}"}))
            return
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has died, which the reading thread reports

    def answer(self, timeout: float = 0.0) -> Answer | None:
        """The answer to the current job, or None while there is none.

        :param timeout: seconds to wait for it
        """
        if not self.busy:
            return None
        try:
            line = self._answers.get(timeout=timeout) if timeout > 0 else self._answers.get_nowait()
        except queue.Empty:
            return None
        self.busy = False
        if line is not None:
            return Answer(json.loads(line)["error"])
        assert self._process is not None
        status = self._process.wait()
        reason = self._last_error_line()
        self._process = None
        return Answer(f"the renderer ended with status {status}{reason}")

    def close(self) -> None:
        """End the process; a video that is being rendered is not finished."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        if self.busy:
            self._process.terminate()  # it removes the unfinished file
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.busy = False

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        self._answers = queue.Queue()
        # In a process group of its own it does not get the terminal's Ctrl-C. Not in a session of its own: Linux may
        # share the processor evenly between sessions, whatever their priorities (autogroup).
        group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=_ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **group,
        )
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()

    def _last_error_line(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        return f" ({lines[-1].strip()})" if lines else ""


def _read(answers: IO[str], into: queue.Queue[str | None]) -> None:
    for line in answers:
        into.put(line)
    into.put(None)
    answers.close()
