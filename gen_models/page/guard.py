"""What a page's server answers: requests to its own names, and of those that change something only the page's own.

A page elsewhere can make a browser ask for this one under a name of that page's ("DNS rebinding"), and would then read
the answers. The name stays in the header ``Host``, by which such requests are refused. Addresses in numbers are not
names that somebody else could give to this machine.

Credits: D. Jackson et al. 2009 (doi 10.1145/1462148.1462150), protection against DNS rebinding; the interface is
ASGI's.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any

MOST_BYTES = 1_000_000  # of a request; the page sends a few hundred
# Paths of Gradio's to which the page sends anything.
SENDS = re.compile(r"/gradio_api/(run/\w+|queue/join|cancel|reset/?)")


class Guard:
    """Refuses requests before an application sees them.

    :param application: an ASGI application
    :param names: of this machine, besides ``localhost``, its own name, and addresses
    :param sends: paths to which the application's page sends anything
    """

    def __init__(self, application: Any, names: Iterable[str] = (), sends: re.Pattern[str] = SENDS) -> None:
        self.application = application
        self.sends = sends
        self.names = {name.lower() for name in ("localhost", socket.gethostname(), socket.getfqdn(), *names)}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or hand the request on."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refused = self.refusal(
            scope.get("method", "GET"),
            scope["path"],
            headers.get(b"host", b"").decode("latin-1"),
            headers.get(b"content-length", b"").decode("latin-1"),
        )
        if refused is None:
            await self.application(scope, receive, send)
        elif scope["type"] == "http":
            status, text = refused
            content = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": status, "headers": content})
            await send({"type": "http.response.body", "body": f"{text}\n".encode()})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def refusal(self, method: str, path: str, host: str, length: str) -> tuple[int, str] | None:
        """HTTP status and reason, or None for a request to answer.

        :param host: the header ``Host``
        :param length: the header ``Content-Length``, empty where there is none
        """
        if not self.is_own(host):
            return 421, "this is another machine's name; start the page with --host NAME to use it"
        if method in ("GET", "HEAD"):
            return None
        if not self.sends.fullmatch(path):
            return 403, "the page takes no files, and nothing but its own requests"
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return 413, f"a request has at most {MOST_BYTES} bytes, and says how many"
        return None

    def is_own(self, host: str) -> bool:
        """Whether a header ``Host`` names this machine, by an address or by one of its names."""
        found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+)(:\d+)?", host)
        if found is None:
            return False
        name = found[1].strip("[]").lower().removesuffix(".")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True
