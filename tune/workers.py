"""Workers of a study: each may join at any time, runs trials until none is left, and stops cleanly after a signal.

    python -m tune worker runs/tune/STUDY                                    one more worker, on this machine
    python -m tune worker STUDY --storage postgresql://me@host/studies       on any machine

Every worker has a heartbeat: a thread that increments a counter in the study. If another worker finds by its own clock
that a counter has not changed for a grace period, the counter's worker is dead: its trial is set to failed, which only
one process can do, and enqueued again. So the clocks of two machines are never compared, and any storage can be used.

Credits: the heartbeats of Optuna's relational storage (Akiba et al. 2019, arXiv 1907.10902).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from common.errors import Interrupted, UserError
from common.launch import LaunchSettings, array_job_lives, check_launch, run_local, submit
from common.signals import SIGNALS
from tune.live_table import LiveTable
from tune.options import WorkerSettings
from tune.plan import INTERRUPTED, WORKER, requeue_lost, tally
from tune.search import load_study, over, run_trial
from tune.settings import StudySettings, read_settings
from tune.storage import open_url, redacted, storage_url

ROOT = Path(__file__).resolve().parent.parent
BEAT = "beat "  # followed by the worker's name, the study's attribute with the counter
POLL_SECONDS = 2.0


def work(user: WorkerSettings) -> None:
    """Run trials until all are finished or the budget is spent.

    :raises UserError: when there is no such study, or its storage cannot be reached
    :raises Interrupted: after a signal; the current trial has been saved and waits again
    """
    if not 0 < 3 * user.beat_seconds <= user.grace_seconds * (1 + 1e-9):
        raise UserError("--grace-seconds must be at least three times --beat-seconds, which must be above 0")
    storage, name = _find(user)
    study, settings = load_study(name, storage)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:4]}"
    began = time.monotonic()
    print(f"{worker} works on {name}", flush=True)
    try:
        with (
            _raised(SIGNALS),
            Heartbeat(study, worker, settings.retries, user.beat_seconds, user.grace_seconds) as heartbeat,
        ):
            while not over(study, settings, began):
                heartbeat.check()
                if not run_trial(study, settings, worker=worker):
                    time.sleep(min(POLL_SECONDS, user.beat_seconds))
    except Interrupted as stop:
        release_trial(study, worker, settings.retries)
        raise Interrupted(f"{worker} leaves {name}; its trial waits again", stop.status - 128) from None
    print(f"{worker}: nothing is left to do in {name}", flush=True)


def _find(user: WorkerSettings) -> tuple[BaseStorage, str]:
    if user.storage:
        return open_url(user.storage, user.wait_seconds), Path(user.study).name
    settings = read_settings(Path(user.study))
    return open_url(storage_url(settings), user.wait_seconds), settings.name


@contextlib.contextmanager
def _raised(numbers: Sequence[int]) -> Iterator[None]:
    """The first of these signals raises ``Interrupted`` in the main thread; later ones are ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name, number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watch:
    """Measures for how long the heartbeat counters have not changed.

    :param grace_seconds: time without a heartbeat after which a worker counts as dead
    """

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self._since: dict[int, tuple[Any, float]] = {}
        self._looked: float | None = None
        self._slow = False

    def stale(self, running: Sequence[FrozenTrial], beats: Mapping[str, Any], now: float) -> list[FrozenTrial]:
        """The trials whose workers are dead.

        If half of the grace period has passed since the last call, this process was stopped itself, perhaps with the
        whole machine, and all grace periods begin again.

        :param running: all running trials
        :param beats: the study's attributes, with each worker's counter
        :param now: seconds on this process's clock
        """
        slow = self._looked is not None and now - self._looked > self.grace_seconds / 2
        if slow and not self._slow:  # twice in a row means that the storage is slow
            self._since = {}
        self._looked, self._slow = now, slow
        since = {}
        for trial in running:
            worker = trial.user_attrs.get(WORKER)  # None if it died before it stored its name
            beat = (worker, beats.get(f"{BEAT}{worker}"))
            before, first = self._since.get(trial._trial_id, (None, now))
            since[trial._trial_id] = (beat, first if before == beat else now)
        self._since = since
        return [trial for trial in running if now - since[trial._trial_id][1] > self.grace_seconds]


class Heartbeat:
    """Increments a worker's counter in a thread, and enqueues the trials of dead workers again.

    :param retries: see ``tune.plan.requeue_lost``
    """

    def __init__(
        self, study: optuna.Study, worker: str, retries: int, beat_seconds: float, grace_seconds: float
    ) -> None:
        self.study = study
        self.worker = worker
        self.retries = retries
        self.beat_seconds = beat_seconds
        self.watch = Watch(grace_seconds)
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def check(self) -> None:
        """:raises Exception: the error that ended the thread, such as an unreachable storage"""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        count = 0
        try:
            while not self._stop.is_set():
                self.study.set_user_attr(f"{BEAT}{self.worker}", count)
                fail_dead_trials(self.study, self.watch, self.retries)
                count += 1
                self._stop.wait(self.beat_seconds)
        except Exception as error:
            self._error = error
        finally:
            self.study._storage.remove_session()


def fail_dead_trials(study: optuna.Study, watch: Watch, retries: int) -> None:
    """Set the trials of dead workers to failed, and enqueue those that may be retried."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in watch.stale(running, study.user_attrs, time.monotonic()):
        try:
            study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
        except UpdateFinishedTrialError:
            continue  # another process was first
        who = trial.user_attrs.get(WORKER, "a worker")
        print(f"trial {trial.number}: {who} is dead", file=sys.stderr, flush=True)
        requeue_lost(study, retries)


def release_trial(study: optuna.Study, worker: str, retries: int) -> None:
    """Enqueue a claimed trial again after a signal before its start; later ones are handled in ``run_trial``."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(WORKER) == worker:
            with contextlib.suppress(UpdateFinishedTrialError):
                study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
                study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    requeue_lost(study, retries)


def run_workers(settings: StudySettings, storage: str, launch: LaunchSettings) -> None:
    """Start the workers of a study and show their progress until it is over.

    :param storage: the storage's URL, or the path of the journal
    :raises UserError: when all workers have ended before the study is over (status 1), or SLURM is not installed
    :raises Interrupted: after a signal; the workers have stopped cleanly
    """
    check_launch(launch)
    study, _ = load_study(settings.name, open_url(storage))
    where = redacted(storage) if "://" in storage else str(Path(storage).resolve())
    command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-u", "-m", "tune", "worker", settings.name]
    commands = {f"worker-{number}": [*command, "--storage", where] for number in range(settings.workers)}
    folder = settings.folder / "workers"
    with LiveTable(study, settings) as table:
        if launch.launcher == "slurm":
            job = submit(settings.name, commands, folder, launch)
            print(f"SLURM job {job}, {len(commands)} workers; logs in {folder}; Ctrl-C ends this table, not the job")
            _watch_job(job, study, settings, table)
        else:
            run_local(commands, folder, launch.parallel or settings.workers, watch=table.update)
    count = tally(study, settings.retries)
    if not over(study, settings, table.began):
        raise UserError(
            f"no worker is left, and {count.finished} of {count.planned} trials are finished; see {folder}, "
            "and go on with the same command",
            status=1,
        )


def _watch_job(job: str, study: optuna.Study, settings: StudySettings, table: LiveTable) -> None:
    asked = time.monotonic()
    while not over(study, settings, table.began):
        table.update()
        time.sleep(POLL_SECONDS)
        if time.monotonic() - asked > 30:
            asked = time.monotonic()
            if not array_job_lives(job):
                return
