"""A real PostgreSQL server, started and stopped by a test: Debian's binaries, a folder and a port of its own.

PostgreSQL refuses to run as root; then the server runs as the user ``postgres``, whom Debian's package makes.

Credits: PostgreSQL's documentation of initdb and postgres.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

PASSWORD = "s3cr/t%41"  # with characters that a URL has to escape
SECONDS = 60.0


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL's programs, or None."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders and (folders[-1] / "postgres").exists() else None


def missing() -> str | None:
    """Why there can be no server here, or None."""
    if binaries() is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "root cannot run PostgreSQL, and there is no setpriv"
    return None


class PostgresServer:
    """A running server with a user ``me``, who needs a password, and a database ``studies``.

    :param folder: for its files
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the database, without the password."""
        return f"postgresql://me@127.0.0.1:{self.port}/studies"

    def create(self) -> None:
        """Make the files of an empty server, start it, make the user and the database."""
        programs = binaries()
        assert programs is not None
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, "postgres", "postgres")
        options = ["--username=me", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"]
        command = [str(programs / "initdb"), *options, "--locale=C", str(self.folder / "data")]
        subprocess.run(self._as_user(command), check=True, capture_output=True, cwd=self.folder)
        self.start()
        with psycopg.connect(self.url.replace("/studies", "/postgres"), password=PASSWORD, autocommit=True) as link:
            link.execute("create database studies")

    def start(self) -> None:
        """Start, and wait until it answers."""
        programs = binaries()
        assert programs is not None
        command = [str(programs / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), "-k",
                   str(self.folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._as_user(command), stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                psycopg.connect(self.url.replace("/studies", "/postgres"), password=PASSWORD).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)

    def _as_user(self, command: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return command
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]

    def stop(self) -> None:
        """Stop at once, as when a machine goes down in order: open connections are cut."""
        if self._process is not None:
            self._process.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown
            self._process.wait(SECONDS)
            self._process = None


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the time of a ``with`` block."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # where another user may come to it, unlike pytest's folders
    server = PostgresServer(folder)
    try:
        server.create()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
