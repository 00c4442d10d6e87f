"""A process that renders videos of traced episodes at the lowest priority, beside a training.

It reads one job per line from stdin and answers each with a line on stdout, both JSON. It exits at the end of its
input, so it outlives the process that writes the jobs by at most the current video.

    echo '{"trace": "episodes.jsonl", "episode": 25, "output": "25.mp4"}' | python -m rl.traces.render_worker

answers ``{"output": "25.mp4", "frames": 3537, "seconds": 7.1, "error": null}``. A job may also have ``tensorboard``, a
folder for a small animation of the game, and ``step``, the animation's position on TensorBoard's axis. With ``--hurry``
the process keeps normal priority, for the end of a training, when it slows nothing down.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from common.errors import UserError, first_line
from common.traces import TracedEpisode, TraceHeader, find_episode, read_header
from rl.traces.playback import game_settings
from rl.traces.preview import Preview, write_preview
from rl.traces.video import render_episode


def run_job(job: dict[str, Any]) -> int:
    """Render one episode.

    :param job: has ``trace``, ``episode`` and ``output``, optionally ``tensorboard`` and ``step``
    :return: number of frames in the video
    """
    trace = Path(job["trace"])
    header, traced = read_header(trace), find_episode(trace, int(job["episode"]))
    preview = _make_preview(header, traced) if job.get("tensorboard") else None
    video = render_episode(header, traced, Path(job["output"]), show=preview.add if preview else None)
    if preview:
        write_preview(Path(job["tensorboard"]), preview, int(job.get("step", traced.episode)))
    return video.frames


def serve(jobs: Iterable[str], answers: IO[str]) -> None:
    """Do every job and write its answer; the answer to a job that fails has the error."""
    for line in jobs:
        began = time.perf_counter()
        answer: dict[str, Any] = {"output": None, "frames": 0, "seconds": 0.0, "error": None}
        try:
            job = json.loads(line)
            answer["output"] = job["output"]
            answer["frames"] = run_job(job)
        except UserError as error:
            answer["error"] = str(error)
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {first_line(error)}"
        answer["seconds"] = round(time.perf_counter() - began, 3)
        print(json.dumps(answer), file=answers, flush=True)


def lowest_priority() -> None:
    """Give this process the lowest scheduling priority that the operating system offers."""
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # some containers forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _make_preview(header: TraceHeader, traced: TracedEpisode) -> Preview:
    settings = game_settings(header)
    if settings is None:
        return Preview(fps=30, expected=traced.length)
    return Preview(fps=60, expected=round(traced.length * settings.mean_skip))


def _stop(signal_number: int, frame: object) -> None:
    sys.exit(128 + signal_number)  # as an exception, so that the unfinished video is removed


def main() -> None:
    """Do the jobs on stdin until it ends."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # SLURM's warning, which the training handles
    if "--hurry" not in sys.argv:
        lowest_priority()
    # Output of libraries goes to stderr, so that stdout has only answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError):
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
