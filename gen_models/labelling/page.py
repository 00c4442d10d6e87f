"""The page on which a person labels: what it asks the server for, and the answers.

    GET  /         the page
    GET  /screen   the screen that is shown, with the figures beside it
    POST /confirm  {"number": 3, "answers": ["yes", "no", "unsure", ...]}: the next screen
    POST /back     the screen before

What is posted has the type ``application/json``, which no page elsewhere can send without being asked for leave first.

Credits: Starlette; the Fetch standard (WHATWG), for the requests that a page may send elsewhere without leave.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from common.errors import UserError
from gen_models.images.grids import data_url
from gen_models.labelling.session import LabellingSession
from gen_models.page.guard import Guard

PAGE = Path(__file__).resolve().parent / "label.html"
SENDS = re.compile("/(confirm|back)")


def application(session: LabellingSession, names: Iterable[str] = ()) -> Guard:
    """The page as a web application.

    :param names: of the machine, by which the page may be asked for besides its addresses and its own name
    """
    lock = threading.Lock()

    async def answer(change: Callable[[], None] = lambda: None) -> Response:
        """Change the session, if at all, and say what is shown then."""

        def work() -> Response:
            with lock:
                try:
                    change()
                except UserError as error:
                    return _refused(str(error), 409)
                return JSONResponse(shown(session))

        return await run_in_threadpool(work)

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE.read_text("utf-8"))

    async def screen(request: Request) -> Response:
        return await answer()

    async def confirm(request: Request) -> Response:
        try:
            said = json.loads(await request.body())
            number, answers = said["number"], said["answers"]
            if type(number) is not int or not all(isinstance(one, str) for one in answers):
                raise TypeError("not a number and texts")
        except (ValueError, TypeError, KeyError, RecursionError):
            return _refused("this is not a screen's number and its answers", 400)
        return await answer(lambda: session.confirm(number, answers))

    async def back(request: Request) -> Response:
        return await answer(session.back)

    def only_json(function: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def checked(request: Request) -> Response:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return _refused("the page sends JSON", 415)
            return await function(request)  # type: ignore[no-any-return]

        return checked

    routes = [
        Route("/", page),
        Route("/screen", screen),
        Route("/confirm", only_json(confirm), methods=["POST"]),
        Route("/back", only_json(back), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), names, SENDS)


def _refused(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status)


def shown(session: LabellingSession) -> dict[str, Any]:
    """What the page shows, as JSON."""
    screen = session.screen
    answers = screen.answers or ("no",) * len(screen.images)
    return {
        "attribute": session.file.attribute,
        "number": session.place,
        "file": str(session.file.path),
        "tiles": [
            {"name": session.names[index], "picture": data_url(session.images.images[index]), "answer": said}
            for index, said in zip(screen.images.tolist(), answers, strict=True)
        ],
        "figures": session.figures(),
    }
