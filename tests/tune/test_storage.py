"""Storages: a journal that was cut anywhere, passwords, what cannot be reached, a server that goes away and comes
back.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from common.errors import UserError
from tests import postgres_server
from tune.plan import ATTEMPT, PLAN, claim
from tune.storage import open_url, redacted

PASSWORD = postgres_server.PASSWORD


def finished(path: Path) -> dict[int, float]:
    """Value of each finished trial of a journal, by its number."""
    study = optuna.load_study(study_name="s", storage=open_url(str(path)))
    return {trial.number: trial.values[0] for trial in study.get_trials(states=(TrialState.COMPLETE,))}


def stored_values(content: bytes) -> dict[int, float]:
    """The same, read by hand from the whole lines of a journal."""
    values = {}
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["op_code"] == 6 and record["state"] == TrialState.COMPLETE:
            values[record["trial_id"]] = record["values"][0]
    return values


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of four trials with parameters and intermediate values."""
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    study = optuna.create_study(study_name="s", storage=open_url(str(path)))

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(x / 2, 1)
        trial.set_user_attr("steps", 1)
        return x

    study.optimize(objective, n_trials=4)
    return path.read_bytes()


def test_a_journal_cut_at_any_byte_loads_and_goes_on(journal: bytes, tmp_path: Path) -> None:
    first = journal.index(b"\n")  # before its end there is no study
    ends = {index + shift for index, byte in enumerate(journal) if byte == 10 for shift in (-1, 0, 1)}
    cuts = ends | set(random.Random(1).sample(range(first, len(journal)), 25))
    for cut in sorted(cut for cut in cuts if first <= cut <= len(journal)):
        path = tmp_path / f"cut-{cut}.log"
        path.write_bytes(journal[:cut])
        storage = open_url(str(path))
        storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "another")  # written behind the cut
        before = stored_values(journal[:cut])
        assert finished(path) == before, cut
        study = optuna.load_study(study_name="s", storage=open_url(str(path)))
        study.optimize(lambda trial: 7.0, n_trials=1)
        again = finished(path)
        assert {number: again[number] for number in before} == before
        assert sorted(again.values())[-1] == 7.0 and len(again) == len(before) + 1
        for line in path.read_bytes().splitlines():
            json.loads(line)


def test_a_whole_last_line_without_its_newline_is_kept(journal: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(journal[:-1])
    assert len(stored_values(journal)) == 4
    storage = open_url(str(path))
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "another")
    assert path.read_bytes().startswith(journal)
    assert len(finished(path)) == 4


@pytest.mark.parametrize("content", [b"episode: 3\n" * 3, b"\x00\xff\n\x00\n", b'{"op_code": 4}\n\n[]\n'])
def test_what_is_no_journal_is_one_line_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gravitar-log.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"gravitar-log\.txt is not a journal"):
        open_url(str(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("runs/tune/a/journal.log", "runs/tune/a/journal.log"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("postgresql://me:s3cr%2Ft@host:55/db?sslmode=require", "postgresql://me@host:55/db?sslmode=require"),
        ("postgresql+psycopg://host/db?user=me&password=s3cr", "postgresql+psycopg://host/db?user=me"),
        ("postgresql://:s3cr@host/db", "postgresql://host/db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, clean: str) -> None:
    assert redacted(url) == clean


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:s3cr@host/db",
        "postgresql://me:s3cr@host:port/db",
        "postgresql://me:a@s3cr@host/db",
        "postgresql:/me:s3cr@host/db",
        "postgres:me:s3cr@host/db",
        "postgresql://me@host/db?sslpassword=s3cr",
        "://s3cr",
    ],
)
def test_a_url_that_names_no_storage_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UserError, match="--storage") as caught:
        open_url(url)
    assert "s3cr" not in str(caught.value) and caught.value.status == 2


def test_a_server_that_is_not_there_is_tried_again_and_then_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    with socket.socket() as probe:  # bound, and nobody listens
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(UserError, match=r"cannot reach the storage .* for 0\.5 s") as caught:
            open_url(f"postgresql://me:s3cr@127.0.0.1:{port}/db", wait_seconds=0.5)
    output = capfd.readouterr()
    assert "trying for 0.5 s" in output.err and "s3cr" not in output.err + output.out + str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.status == 1
    assert os.environ["PGPASSWORD"] == "s3cr"


@pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
def test_postgresql_asks_for_its_password_and_may_go_away_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with postgres_server.postgres_server() as server:
        with pytest.raises(UserError, match=r"refuses.*authentication failed"):
            open_url(server.url, wait_seconds=20)
        with pytest.raises(UserError, match=r"refuses.*does not exist"):
            open_url(server.url.replace("me@", f"me:{'s3cr%2Ft%2541'}@") + "x", wait_seconds=20)
        assert os.environ["PGPASSWORD"] == PASSWORD  # taken out of the URL, escapes undone
        storage = open_url(server.url, wait_seconds=20)
        study = optuna.create_study(study_name="s", storage=storage)
        study.optimize(lambda trial: 1.0, n_trials=2)
        server.stop()
        server.start()
        study.optimize(lambda trial: 1.0, n_trials=2)
        assert len(optuna.load_study(study_name="s", storage=open_url(server.url)).trials) == 4


def test_no_trial_in_sqlite_is_claimed_twice(tmp_path: Path) -> None:
    """SQLite has no SELECT ... FOR UPDATE, by which Optuna lets one of several workers claim a trial elsewhere."""
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="s", storage=open_url(url))
    for number in range(60):
        study.enqueue_trial({}, user_attrs={PLAN: number, ATTEMPT: 0})
    together = threading.Barrier(4)

    def claim_all() -> list[int]:
        mine = optuna.load_study(study_name="s", storage=open_url(url))
        together.wait()
        claimed = []
        while (trial := claim(mine)) is not None:
            claimed.append(trial.number)
        return claimed

    with ThreadPoolExecutor(4) as pool:
        claims = [pool.submit(claim_all) for _ in range(4)]
    assert sorted(number for each in claims for number in each.result()) == list(range(60))
