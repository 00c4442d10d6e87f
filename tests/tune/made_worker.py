"""``python -m tune worker`` for studies of the made task: as a script, or forked without the seconds of its imports.

Credits: Python's multiprocessing (forkserver).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)


def main(arguments: Sequence[str], output: str, environment: Mapping[str, str]) -> None:
    """Run the command with some variables of the environment, its output going to a file.

    A fork server has the environment of the time at which it was started, maybe by another test.
    """
    os.environ.update(environment)
    from common.cli import run_cli
    from tests.tune import made_task  # noqa: F401  registers the task
    from tune.options import WorkerSettings
    from tune.workers import work

    if output:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
    sys.exit(run_cli({"worker": (WorkerSettings, work)}, ["worker", *arguments]))


def start_worker(study: str, storage: str, output: Path) -> BaseProcess:
    """A worker that beats quickly, in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tune.made_task", "tune.workers"])
    flags = ["--storage", storage, "--beat-seconds", "0.3", "--grace-seconds", "3", "--wait-seconds", "20"]
    password = {name: os.environ[name] for name in ("PGPASSWORD",) if name in os.environ}
    process: BaseProcess = context.Process(target=main, args=([study, *flags], str(output), password))
    process.start()
    return process


if __name__ == "__main__":
    main(sys.argv[1:], "", {})
