"""The storage of a study: a journal file, SQLite or PostgreSQL.

The journal is Optuna's own, which optuna-dashboard reads, with one repair: a truncated last line (a full disk, a crash)
is removed before the next one is written, so that the lines before it stay readable.

A password never leaves the process: it is moved from the URL to ``PGPASSWORD``, and only the URL without it is used.

Credits: Optuna's journal and relational storages (Akiba et al. 2019, arXiv 1907.10902); SQLAlchemy; psycopg.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._rdb.models import TrialModel
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from common.errors import UserError, first_line
from tune.settings import WAIT_SECONDS, StudySettings

if TYPE_CHECKING:
    import psycopg  # in the extra "search", for studies in PostgreSQL alone

LOCK_SECONDS = 30  # after which a journal's lock counts as left by a dead process
# PostgreSQL's errors that are not retried.
FINAL = ("authentication failed", "does not exist", "no password supplied", "no pg_hba.conf entry", "permission denied")
NO_URL = "--storage: not a URL; write postgresql://user@host/database or sqlite:///file.db"
T = TypeVar("T")


class Unreachable(UserError):
    """A database could not be reached in time."""


def redacted(url: str) -> str:
    """A storage's URL without its password, the only form in which it is printed, stored or passed on."""
    return str(_parsed(url)[0].render_as_string(hide_password=False)) if _is_url(url) else url


def open_storage(settings: StudySettings, instead: str = "") -> BaseStorage:
    """Open the storage in a study's settings, by default the journal file in its folder.

    :param instead: the URL of another storage
    :raises UserError: see ``open_url``
    """
    return open_url(instead or storage_url(settings))


def storage_url(settings: StudySettings) -> str:
    """The URL of a study's storage, or the path of its journal, for ``open_url``."""
    return settings.storage or str(settings.folder / "journal.log")


def open_url(url: str, wait_seconds: float = WAIT_SECONDS) -> BaseStorage:
    """Open a storage; it is created if it does not exist.

    :param url: ``postgresql://user@host/database``, ``sqlite:///file.db``, or the path of a journal file
    :param wait_seconds: time to retry when the database cannot be reached, now or later
    :raises UserError: when the URL is not valid (status 2), or the storage cannot be reached or read (status 1)
    """
    if not _is_url(url):
        return _open_journal(Path(url).resolve())
    parsed, password = _parsed(url)
    if password is not None:
        os.environ["PGPASSWORD"] = password
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    return _open_postgresql(parsed, wait_seconds)


def _is_url(url: str) -> bool:
    """Whether this is a database's URL, not the path of a journal.

    :raises UserError: for a malformed URL, which is not used as a path because it may contain a password
    """
    if "://" not in url and url.partition(":")[0].partition("+")[0] in ("postgresql", "postgres", "sqlite"):
        raise UserError(NO_URL)
    return "://" in url


def _parsed(url: str) -> tuple[URL, str | None]:
    """A database's URL without its password, and the password.

    :raises UserError: when it is not valid; the message does not have the URL, which may contain a password
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(NO_URL) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        kind = parsed.get_backend_name()
        raise UserError(f"--storage {kind}://...: use a journal file's path, sqlite:/// or postgresql://")
    if "@" in (parsed.host or ""):  # it ends the password, whose rest would be taken for the host's name
        raise UserError("--storage: more than one @ in the URL; write the one in a password as %40")
    if "sslpassword" in parsed.query:
        raise UserError("--storage: an sslpassword does not belong into a URL; name a service of pg_service.conf there")
    password = str(parsed.password) if parsed.password is not None else None
    in_query = parsed.query.get("password")
    if isinstance(in_query, str):
        password = in_query
    parsed = parsed.difference_update_query(["password"])._replace(username=parsed.username or None, password=None)
    return parsed, password


class RepairingJournal(JournalFileBackend):
    """Optuna's journal file, in which a truncated last line is repaired before lines are appended.

    The lock is a file created with O_EXCL, which also works on NFS (version 3 and later), where ``flock`` may not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = JournalFileOpenLock(str(path), grace_period=LOCK_SECONDS)
        super().__init__(str(path), self.lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, one per line, after the last complete line."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self.lock.acquire()
        try:
            with self.path.open("r+b") as file:
                _repair_end(file)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self.lock.release()


def _repair_end(file: IO[bytes]) -> None:
    """Seek to the end of a journal; a last line without a newline is completed, or removed if it is truncated."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    start, tail = size, b""
    while start > 0 and b"\n" not in tail:
        step = min(4096, start)
        start -= step
        file.seek(start)
        tail = file.read(step) + tail
    line = tail.rpartition(b"\n")[2]
    try:
        json.loads(line)
    except ValueError:
        file.truncate(size - len(line))
        file.seek(0, os.SEEK_END)
    else:
        file.seek(0, os.SEEK_END)
        file.write(b"\n")


def _open_journal(path: Path) -> JournalStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(RepairingJournal(path))
    except OSError as error:
        raise UserError(f"cannot open the journal {path}: {error.strerror}", status=1) from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(
            f"{path} is not a journal of Optuna's, or is damaged ({first_line(error)})", status=1
        ) from error


class SQLiteStorage(RDBStorage):
    """Optuna's storage in an SQLite file, where one worker alone claims a trial.

    Optuna reads a trial's state FOR UPDATE and then writes it. SQLite has no such read, so two workers may both find it
    waiting; here the state changes in one statement.
    """

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As ``RDBStorage``'s; for RUNNING, whether this call made a waiting trial running."""
        if state == TrialState.RUNNING:
            waiting = (TrialModel.trial_id == trial_id) & (TrialModel.state == TrialState.WAITING)
            changes = {"state": TrialState.RUNNING, "datetime_start": datetime.now()}
            with self.engine.begin() as connection:
                if connection.execute(sqlalchemy.update(TrialModel).where(waiting).values(changes)).rowcount == 1:
                    return True
        return super().set_trial_state_values(trial_id, state, values)


def _open_sqlite(url: URL) -> RDBStorage:
    def open_file() -> RDBStorage:
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        return SQLiteStorage(_text(url), engine_kwargs={"connect_args": {"timeout": WAIT_SECONDS}})

    return _tables(open_file, url)


def _open_postgresql(url: URL, wait_seconds: float) -> RDBStorage:
    import psycopg

    url = url.set(drivername="postgresql+psycopg")
    arguments, keywords = url.get_dialect()().create_connect_args(url)
    keywords = {"connect_timeout": 10, **keywords}

    def connect() -> psycopg.Connection[Any]:
        return _reached(lambda: psycopg.connect(*arguments, **keywords), _text(url), wait_seconds)

    # A connection is tested before each use, and replaced if it broke in the meantime.
    return _tables(lambda: RDBStorage(_text(url), engine_kwargs={"creator": connect, "pool_pre_ping": True}), url)


def _reached(connect: Callable[[], T], where: str, wait_seconds: float) -> T:
    """Connect; retry for ``wait_seconds``.

    :raises UserError: when the server refuses the connection
    :raises Unreachable: when the server could not be reached in that time
    """
    import psycopg

    deadline = time.monotonic() + wait_seconds
    warned = False
    while True:
        try:
            return connect()
        except psycopg.OperationalError as error:
            reason = first_line(error).removeprefix("connection failed: ")
            if any(words in reason for words in FINAL):
                raise UserError(f"the storage {where} refuses: {reason}", status=1) from None
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"cannot reach the storage {where} for {wait_seconds:g} s: {reason}; is its server running?",
                    status=1,
                ) from None
            if not warned:
                print(f"cannot reach the storage {where}; trying for {wait_seconds:g} s", file=sys.stderr, flush=True)
                warned = True
            time.sleep(min(1.0, wait_seconds / 10))


def _tables(open_database: Callable[[], RDBStorage], url: URL) -> RDBStorage:
    """Open a database and create its tables. Retries when another process creates them at the same time."""
    tries = 5
    while True:
        tries -= 1
        try:
            return open_database()
        except (SQLAlchemyError, RuntimeError, OSError) as error:
            transient = isinstance(error, (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError,
                                           sqlalchemy.exc.OperationalError))  # fmt: skip
            if not transient or tries == 0:
                cause = first_line(getattr(error, "orig", None) or error)
                raise UserError(f"cannot use the storage {_text(url)}: {cause}", status=1) from None
            time.sleep(0.5)


def _text(url: URL) -> str:
    return str(url.render_as_string(hide_password=False))
