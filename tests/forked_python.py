"""A stand-in for ``python`` in the tests: the program runs as a fork of the server of ``tests/forked_runs.py``.

    forked_python.py SOCKET [-u] -m MODULE ARGUMENTS...
    forked_python.py SOCKET [-u] PROGRAM ARGUMENTS...

Input, output, folder and variables are those of this process, signals are passed on, and it ends with the same status.
Where it is killed, the server kills the fork. It imports little, because it is what every such program waits for.

Credits: Python's multiprocessing (forkserver), for the idea.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

NUMBER = struct.Struct("q")  # the length of a request; then its answers, the fork's process and its exit status
PASSED_ON = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


def ask_for(
    address: str, arguments: Sequence[str], folder: str, variables: Mapping[str, str], files: Sequence[int]
) -> tuple[socket.socket, int]:
    """Have a program run in a fork.

    :param address: the server's socket
    :param arguments: those of ``python``
    :param folder: where it runs
    :param variables: all of its environment
    :param files: descriptors of its input, output and errors
    :return: the connection, which ``answer`` reads the exit status from; closing it ends the fork. And the fork's
        process.
    """
    request = json.dumps([arguments, folder, dict(variables)]).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [NUMBER.pack(len(request))], files)
    connection.sendall(request)
    return connection, answer(connection)


def answer(connection: socket.socket) -> int:
    """The next number that the server sends."""
    data = connection.recv(NUMBER.size, socket.MSG_WAITALL)
    if not data:
        raise ConnectionError("the server of forked programs has ended")
    return int(NUMBER.unpack(data)[0])


def _main(address: str, *arguments: str) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    connection, process = ask_for(address, arguments, os.getcwd(), os.environ, (0, 1, 2))

    def pass_on(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = answer(connection)
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler to take away
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if __name__ == "__main__":
    _main(*sys.argv[1:])
