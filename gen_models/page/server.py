"""What pages are served with: an address, a server, and its end by a signal.

Credits: uvicorn.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

from common.errors import Interrupted, UserError

TRIED = 100  # ports after one that is in use


def stop_by_signals() -> None:
    """Let Ctrl-C and SIGTERM raise ``Interrupted``."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped", number)


def run_server(application: Any, listener: socket.socket, host: str, port: int) -> None:
    """Say the address, and serve an ASGI application until a signal arrives.

    :raises Interrupted: after the signal
    """
    import uvicorn  # here, since the other functions need it not, and it may not be installed

    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{port} shows the page; Ctrl-C ends it", flush=True)
    configuration = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(configuration).run(sockets=[listener])


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, taken before anything is loaded so that a port in use is an error at once.

    :raises UserError: for a port in use, with a free one (status 1), and for an address that does not exist
    """
    if not 1 <= port <= 65535:
        raise UserError(f"--port {port}: from 1 to 65535")
    try:
        listener = _bound(host, port)
    except OSError as error:
        free = _free_port(host, port) if error.errno == errno.EADDRINUSE else None
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened at ({error.strerror})"
        hint = f"try --port {free}" if free else "choose another --host or --port"
        raise UserError(f"{host} port {port} {what}; {hint}", status=1) from error
    with listener:
        yield listener


def _bound(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)


def _free_port(host: str, after: int) -> int | None:
    """The next free port."""
    for port in range(after + 1, min(after + TRIED, 65535) + 1):
        with contextlib.suppress(OSError), _bound(host, port):
            return port
    return None
