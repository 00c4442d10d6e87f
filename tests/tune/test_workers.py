"""Workers in processes of their own, some of which are killed, on real storages."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from common.cli import run_cli
from common.errors import UserError
from common.launch import LaunchSettings
from tests import postgres_server
from tests.tune.made_task import MadeStudy
from tests.tune.made_worker import start_worker
from tune.commands import search
from tune.options import GravitarCommand, WorkerSettings
from tune.plan import ATTEMPT, INTERRUPTED, PLAN, STEPS, WORKER, by_plan, tally
from tune.search import open_study
from tune.settings import GravitarStudy
from tune.storage import open_url
from tune.workers import BEAT, Watch, run_workers, work

SECONDS = 180.0


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A storage of the kind that the test names."""
    if request.param == "postgresql":
        if postgres_server.missing():
            pytest.skip(str(postgres_server.missing()))
        monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
        with postgres_server.postgres_server() as server:
            yield server.url
    else:
        yield {"journal": str(tmp_path / "journal.log"), "sqlite": f"sqlite:///{tmp_path}/study.db"}[request.param]


class Crowd:
    """Workers of one study."""

    def __init__(self, settings: MadeStudy, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.study = open_study(settings, open_url(settings.storage))
        self.processes: list[BaseProcess] = []

    def start(self) -> BaseProcess:
        """One more."""
        output = self.folder / f"worker-{len(self.processes)}.txt"
        self.processes.append(start_worker(self.settings.name, self.settings.storage, output))
        return self.processes[-1]

    def trial_of(self, process: BaseProcess) -> FrozenTrial | None:
        """The trial that a worker is running."""
        self.study._storage.remove_session()  # else SQLite may show what was there when this process last looked
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if f":{process.pid}:" in trial.user_attrs.get(WORKER, ""):
                return trial
        return None

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait, or fail with the output of the workers."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def output(self) -> str:
        """The output of all workers."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.txt")))

    def end(self) -> None:
        """Leave none behind."""
        for process in self.processes:
            process.kill()
            process.join()


@contextlib.contextmanager
def crowd_of(storage: str, folder: Path, trials: int, pause: float, retries: int = 9) -> Iterator[Crowd]:
    """No worker yet, in a study of quick trials."""
    settings = MadeStudy(
        name="s", trials=trials, seeds=1, pause=pause, retries=retries, sampler="random", storage=storage,
        runs=str(folder / "runs"),
    )  # fmt: skip
    crowd = Crowd(settings, folder)
    try:
        yield crowd
    finally:
        crowd.end()


def values(study: optuna.Study) -> dict[int, float]:
    """Value of each complete trial by its place in the plan, of which there is one."""
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    places = [trial.user_attrs[PLAN] for trial in complete]
    assert len(places) == len(set(places))
    return {trial.user_attrs[PLAN]: trial.values[0] for trial in complete}


@pytest.mark.parametrize("storage", ["postgresql", "journal", "sqlite"], indirect=True)
def test_four_workers_finish_what_was_asked_for_though_two_are_killed(storage: str, tmp_path: Path) -> None:
    with crowd_of(storage, tmp_path, trials=12, pause=0.4) as crowd:
        kill_two_of_four(crowd)


def kill_two_of_four(crowd: Crowd) -> None:
    """Start four workers, kill two in the middle of a trial, and count."""
    workers = [crowd.start() for _ in range(4)]
    lost = []
    for victim in workers[:2]:
        crowd.wait_until(partial(crowd.trial_of, victim))
        before = crowd.trial_of(victim)
        victim.kill()
        victim.join()
        lost += [trial for trial in (crowd.trial_of(victim),) if trial is not None and before is not None]
    early = values(crowd.study)
    for survivor in workers[2:]:
        survivor.join(SECONDS)
        assert survivor.exitcode == 0, crowd.output()

    count = tally(crowd.study, crowd.settings.retries)
    assert (count.complete, count.failed, count.running, count.waiting) == (12, 0, 0, 0), crowd.output()
    late = values(crowd.study)
    assert sorted(late) == list(range(12))
    assert {place: late[place] for place in early} == early
    for trial in lost:  # what the dead were at was done by others, with the same values
        attempts = by_plan(crowd.study)[trial.user_attrs[PLAN]]
        again = next(attempt for attempt in attempts if attempt.user_attrs[ATTEMPT] == trial.user_attrs[ATTEMPT] + 1)
        assert trial.params.items() <= again.params.items()
    trials = crowd.study.get_trials(deepcopy=False)
    assert count.steps == sum(trial.user_attrs.get(STEPS, 0) for trial in trials) >= 12
    late_comer = ["worker", crowd.settings.name, "--storage", crowd.settings.storage]
    assert run_cli({"worker": (WorkerSettings, work)}, late_comer) == 0
    assert len(crowd.study.get_trials()) == len(trials)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["postgresql", "journal", "sqlite"], indirect=True)
def test_workers_that_are_killed_at_random_lose_nothing(storage: str, tmp_path: Path) -> None:
    with crowd_of(storage, tmp_path, trials=80, pause=0.2, retries=10_000) as crowd:
        kill_at_random(crowd)


def kill_at_random(crowd: Crowd) -> None:
    """Kill thirty of four workers, each of which another follows, and count."""
    chance = random.Random(742)
    known: dict[int, float] = {}
    for _ in range(4):
        crowd.start()
    for _ in range(30):
        time.sleep(chance.uniform(0.1, 2.0))
        chance.choice([process for process in crowd.processes if process.is_alive()]).kill()
        crowd.start()
        now = values(crowd.study)
        assert {place: now[place] for place in known} == known
        known = now
    crowd.wait_until(lambda: not any(process.is_alive() for process in crowd.processes))
    count = tally(crowd.study, crowd.settings.retries)
    assert (count.complete, count.failed, count.running, count.waiting) == (80, 0, 0, 0), crowd.output()
    assert sorted(values(crowd.study)) == list(range(80))


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_worker_that_is_asked_to_leave_gives_its_trial_back(storage: str, tmp_path: Path, number: int) -> None:
    with crowd_of(storage, tmp_path, trials=1, pause=60.0) as crowd:
        worker = crowd.start()
        crowd.wait_until(lambda: crowd.trial_of(worker))
        assert worker.pid is not None
        os.kill(worker.pid, number)
        worker.join(SECONDS)
        assert worker.exitcode == 128 + number
        first, second = by_plan(crowd.study)[0]
        assert first.state == TrialState.FAIL and first.user_attrs[INTERRUPTED] and second.state == TrialState.WAITING
        assert "leaves s; its trial waits again" in crowd.output()


@pytest.mark.parametrize("storage", ["postgresql"], indirect=True)
def test_a_password_in_the_url_is_nowhere_afterwards(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGPASSWORD", "")
    escaped = quote(postgres_server.PASSWORD, safe="")
    study = GravitarStudy(
        name="s", trials=1, runs=str(tmp_path / "runs"), storage=storage.replace("me@", f"me:{escaped}@")
    )
    command = tmp_path / "python"
    command.write_text('#!/bin/sh\necho "$@"\n')  # a worker that does nothing but say how it was called
    command.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(command))
    with pytest.raises(UserError, match="no worker is left, and 0 of 1 trials"):
        search(GravitarCommand(study))
    files = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert f"--storage {storage}" in (tmp_path / "runs/tune/s/workers/worker-0.log").read_text()
    output = capfd.readouterr()
    kept = repr(optuna.load_study(study_name="s", storage=open_url(storage)).user_attrs)
    for text in (*files.values(), output.out.encode(), output.err.encode(), kept.encode()):
        assert escaped.encode() not in text and postgres_server.PASSWORD.encode() not in text


def running(number: int, worker: str | None) -> FrozenTrial:
    """A trial that runs."""
    trial = create_trial(state=TrialState.RUNNING, user_attrs={WORKER: worker} if worker else {})
    trial.number = trial._trial_id = number
    return trial


def test_a_worker_is_dead_when_it_has_not_beaten_for_the_grace_period_of_the_one_who_looks() -> None:
    watch = Watch(grace_seconds=10)
    trials = [running(0, "lives"), running(1, "dies"), running(2, None)]
    tape = {}
    for now in range(0, 25, 4):
        beats = {f"{BEAT}lives": now, f"{BEAT}dies": min(now, 8)}
        tape[now] = [trial.number for trial in watch.stale(trials, beats, 1000.0 + now)]
    assert tape == {0: [], 4: [], 8: [], 12: [2], 16: [2], 20: [1, 2], 24: [1, 2]}


def test_a_trial_that_goes_to_another_worker_gets_a_whole_grace_period() -> None:
    watch = Watch(grace_seconds=10)
    assert watch.stale([running(0, "dies")], {}, 0.0) == []
    for now in (4.0, 8.0):
        assert watch.stale([running(0, "dies")], {}, now) == []
    for now in (9.0, 13.0, 17.0, 19.0):
        assert watch.stale([running(0, "next")], {}, now) == []
    assert [trial.number for trial in watch.stale([running(0, "next")], {}, 20.0)] == [0]


def test_who_was_stopped_itself_holds_nobody_for_dead() -> None:
    watch = Watch(grace_seconds=10)
    for now in (0.0, 4.0, 50.0, 54.0, 58.0):
        assert watch.stale([running(0, "other")], {}, now) == []
    assert [trial.number for trial in watch.stale([running(0, "other")], {}, 61.0)] == [0]


def test_bad_input_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in {
        ("nothing", "--storage", str(tmp_path / "journal.log")): "no study 'nothing'",
        (str(tmp_path / "absent"),): "not a study's folder",
        ("s", "--storage", str(tmp_path / "j.log"), "--beat-seconds", "5", "--grace-seconds", "5"): "--grace-seconds",
        ("s", "--storage", "redis://me:s3cr@host"): "--storage redis://",
    }.items():
        assert run_cli({"worker": (WorkerSettings, work)}, ["worker", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1 and "s3cr" not in error


def test_a_study_that_nobody_is_left_to_finish_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = MadeStudy(name="s", trials=2, seeds=1, workers=2, runs=str(tmp_path / "runs"))
    open_study(settings, open_url(str(tmp_path / "journal.log")))
    monkeypatch.setattr("sys.executable", "/bin/false")  # workers that end before they have begun
    with pytest.raises(UserError, match="no worker is left, and 0 of 2 trials are finished"):
        run_workers(settings, str(tmp_path / "journal.log"), LaunchSettings())
