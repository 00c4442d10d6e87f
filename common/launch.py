"""Runs commands as local processes, or as the tasks of one SLURM array job.

A task that saves and exits with 138 (SIGUSR1: its time limit is near) or 143 (SIGTERM: it is pre-empted) is requeued.
So its command has to resume when it is started again. SLURM gets one readable shell script; submitit is not used,
because its jobs unpickle files in their folder.

Credits: SLURM's documentation of sbatch (``--array``, ``--signal``, ``--requeue``) and scontrol; submitit's way of
requeueing on the signal before the time limit.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import Interrupted, UserError, check_at_least
from common.files import write_atomic
from common.processors import cores
from common.signals import StopSignals

Command = Sequence[str]

SCRIPT = """\
#!/bin/bash
{directives}

trap : TERM  # the task saves first, then this script decides
case "$SLURM_ARRAY_TASK_ID" in
{cases}
esac
status=$?

# 138: saved on SIGUSR1, the time limit is near. 143: saved on SIGTERM; a job that still runs is pre-empted, another is
# cancelled.
if [[ $status == 138 || $status == 143 ]] && ((${{SLURM_RESTART_COUNT:-0}} < {requeues})) &&
    scontrol show job "$SLURM_JOB_ID" | grep -q JobState=RUNNING; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
"""


class Refused(UserError):
    """SLURM refuses a job."""


@dataclass(frozen=True)
class LaunchSettings:
    """How commands are launched, and the resources of SLURM tasks."""

    launcher: Literal["local", "slurm"] | None = None
    """Start local processes (local) or an array job (slurm). Default: run in this process."""
    parallel: int | None = None
    """Largest number of simultaneous processes or array tasks. Default: local, one per core; slurm, no limit."""
    partition: str | None = None
    """SLURM: partition. Default: the cluster's."""
    time: str | None = None
    """SLURM: time limit of a task, as in 90 (minutes), 4:00:00 or 2-00:00:00. Default: the partition's."""
    memory: str | None = None
    """SLURM: memory of a task, as in 8G. Default: the partition's."""
    cpus_per_task: int | None = None
    """SLURM: cores of a task. Default: the cluster's."""
    gpus_per_task: int | None = None
    """SLURM: GPUs of a task. Default: none."""
    warn_seconds: int = 120
    """SLURM: seconds before the time limit at which a task saves and is requeued."""
    requeues: int = 100
    """SLURM: largest number of times that a task is requeued."""
    sbatch: tuple[str, ...] = ()
    """SLURM: further options of sbatch, as in --sbatch account=lab qos=low."""


def launch(name: str, commands: Mapping[str, Command], folder: Path, settings: LaunchSettings) -> None:
    """Run commands in local processes and wait for them, or submit an array job and return.

    :param name: name of the job
    :param commands: the command of each task by the task's label, which names its log
    :param folder: folder for the logs, one per task, and for the array job's script
    :raises UserError: when SLURM is not installed or refuses the job; when a local command failed (status 1)
    :raises Interrupted: after a signal, which was passed on to the local commands; all of them have ended
    """
    check_launch(settings)
    if settings.launcher == "slurm":
        job = submit(name, commands, folder, settings)
        print(f"SLURM job {job}, {len(commands)} tasks; logs in {folder}; see squeue --job {job}, scancel {job}")
        return
    failed = run_local(commands, folder, settings.parallel)
    if failed:
        raise UserError(f"{len(failed)} of {len(commands)} failed ({', '.join(failed)}); see {folder}", status=1)


def check_launch(settings: LaunchSettings) -> None:
    """:raises UserError: for a setting out of range, and for ``slurm`` where SLURM is not installed"""
    if settings.launcher == "slurm" and shutil.which("sbatch") is None:
        raise UserError("--launcher slurm: sbatch is not installed here; use a login node of the cluster, or local")
    check_at_least(1, {"--parallel": settings.parallel, "--cpus-per-task": settings.cpus_per_task})
    numbers = {"--gpus-per-task": settings.gpus_per_task, "--requeues": settings.requeues}
    check_at_least(0, {**numbers, "--warn-seconds": settings.warn_seconds})
    if settings.time is not None and not re.fullmatch(r"\d+|\d+(:\d\d){1,2}|\d+-\d+(:\d\d){0,2}", settings.time):
        raise UserError(f"--time {settings.time}: write minutes, as in 90, or 4:00:00, or 2-00:00:00")
    if settings.memory is not None and not re.fullmatch(r"\d+[KMGT]?", settings.memory):
        raise UserError(f"--memory {settings.memory}: write a number with K, M, G or T, as in 8G")
    for option in settings.sbatch:
        if not re.fullmatch(r"[a-z-]+(=\S+)?", option):
            raise UserError(f"--sbatch {option}: write sbatch's option without its dashes, as in account=lab")


def array_script(name: str, commands: Mapping[str, Command], folder: Path, settings: LaunchSettings) -> str:
    """The shell script of an array job, one task for each command."""
    limit = "" if settings.parallel is None else f"%{settings.parallel}"
    options = {
        "job-name": name,
        "array": f"0-{len(commands) - 1}{limit}",
        "output": str(folder.resolve() / "task-%a.log"),
        "open-mode": "append",
        "ntasks": 1,
        "signal": f"USR1@{settings.warn_seconds}",
        "partition": settings.partition,
        "time": settings.time,
        "mem": settings.memory,
        "cpus-per-task": settings.cpus_per_task,
        "gpus-per-task": settings.gpus_per_task or None,
    }
    directives = [f"#SBATCH --{key}={shlex.quote(str(value))}" for key, value in options.items() if value is not None]
    directives += ["#SBATCH --requeue", *(f"#SBATCH --{option}" for option in settings.sbatch)]
    cases = [f"{task}) srun {shlex.join(command)} ;;" for task, command in enumerate(commands.values())]
    return SCRIPT.format(directives="\n".join(directives), cases="\n".join(cases), requeues=settings.requeues)


def submit(name: str, commands: Mapping[str, Command], folder: Path, settings: LaunchSettings) -> str:
    """Submit an array job. Its script stays in the folder as ``job.sh``; task k writes ``task-k.log``. Folders that
    were made for a job that SLURM refuses are removed.

    :return: the job's number
    :raises Refused: when SLURM refuses the job (status 1)
    """
    made = next((path for path in reversed([folder, *folder.parents]) if not path.exists()), None)
    script = folder / "job.sh"
    write_atomic(script, array_script(name, commands, folder, settings))
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    if done.returncode:
        if made is not None:
            shutil.rmtree(made)
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise Refused(f"SLURM refuses the job {name}: {lines[-1].removeprefix('sbatch: error: ')}", status=1)
    return done.stdout.strip().split(";")[0]


def array_job_lives(job: str) -> bool:
    """Whether a task of an array job is pending or running; True as well when SLURM does not answer."""
    done = subprocess.run(["squeue", "--noheader", "--job", job], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) if done.returncode == 0 else "Invalid job id" not in done.stderr


def run_local(
    commands: Mapping[str, Command],
    folder: Path,
    parallel: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run commands, at most ``parallel`` at a time, with the cores divided among them; each writes ``LABEL.log``.

    After a signal, which is passed on to the running commands, no other is started.

    :param parallel: default: one per core
    :param watch: called ten times per second
    :return: the labels of the commands that ended with a status other than 0
    :raises Interrupted: after a signal, when all commands have ended
    """
    at_once = min(parallel or cores(), len(commands))
    environment = {"OMP_NUM_THREADS": str(max(1, cores() // at_once)), **os.environ}
    folder.mkdir(parents=True, exist_ok=True)
    waiting = list(commands.items())
    running: dict[str, subprocess.Popen[bytes]] = {}
    failed: list[str] = []
    stopping = False
    signals = StopSignals("the same command")
    signals.open()
    try:
        while running or (waiting and not stopping):
            if signals.received is not None and not stopping:
                stopping = True
                for process in running.values():
                    process.send_signal(signals.received)
            while waiting and len(running) < at_once and not stopping:
                label, command = waiting.pop(0)
                with (folder / f"{label}.log").open("ab") as log:
                    running[label] = subprocess.Popen(
                        command, stdout=log, stderr=log, env=environment, start_new_session=True
                    )
                print(f"{label}: started, log in {folder / f'{label}.log'}", flush=True)
            watch()
            time.sleep(0.1)
            for label, process in list(running.items()):
                if process.poll() is not None:
                    del running[label]
                    print(f"{label}: {_describe_status(process.returncode)}", flush=True)
                    failed += [label] if process.returncode else []
    except BaseException:
        for process in running.values():
            process.terminate()
        raise
    finally:
        signals.close()
    if signals.received is not None:
        raise Interrupted("stopped; each process has saved where it was", signals.received)
    return failed


def _describe_status(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return "done" if status == 0 else f"failed with status {status}"
