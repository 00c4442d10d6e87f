"""``run_pegasus.py serve``: a page in the browser that samples batches from a run.

Credits: Gradio and the libraries that serve it, FastAPI and uvicorn.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from common.errors import Interrupted, UserError
from common.extras import check_installed
from common.run_folder import RunFolder
from gen_models.classifiers.classifier import SETTINGS_FILE, Classifier
from gen_models.images.image_set import ImageSet
from gen_models.judging.judge import CLASSIFIER, FOLDER
from gen_models.options import ServeSettings, check_batch_size
from gen_models.page.scores import Scorer, training_images
from gen_models.training.run_sampler import load_run_sampler
from gen_models.training.settings import RunSettings

TRIED = 100  # ports after one that is in use


def serve(user: ServeSettings) -> None:
    """Serve the page until a signal arrives.

    :raises UserError: for a run without a checkpoint, an address that does not exist, a port in use (status 1)
    :raises Interrupted: after Ctrl-C or SIGTERM
    """
    check_batch_size(user.batch_size)
    check_installed("gradio")  # imported below, after the run has been loaded
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with listening(user.host, user.port) as listener, tempfile.TemporaryDirectory(prefix="pegasus-page-") as files:
        sampler = load_run_sampler(user.run, user.checkpoint, user.averaged, user.batch_size, user.device)
        scorer = Scorer(_training_images(user.run), _classifier(user.run, sampler.origin.device))
        os.environ |= {"GRADIO_TEMP_DIR": files, "GRADIO_ANALYTICS_ENABLED": "False"}
        # Imported here, because it takes seconds and reads the variables set above.
        import uvicorn

        from gen_models.page.page import Page, application

        page = Page(sampler, scorer, Path(files))
        configuration = uvicorn.Config(application(page, [user.host]), log_level="warning", timeout_graceful_shutdown=1)
        shown = f"[{user.host}]" if ":" in user.host else user.host
        print(f"http://{shown}:{user.port} shows the page; Ctrl-C ends it", flush=True)
        try:
            uvicorn.Server(configuration).run(sockets=[listener])
        finally:
            page.close()


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


def _training_images(run: Path) -> ImageSet | None:
    """The run's training images; None, with a warning, when they are missing: the page then shows no neighbours."""
    try:
        return training_images(RunSettings.from_yaml(RunFolder(run).settings).data)
    except UserError as error:
        print(f"warning: no nearest training images: {error}", file=sys.stderr)
        return None


def _classifier(run: Path, device: str) -> Classifier | None:
    """The latest classifier that ``judge`` trained on the run's data; None where there is none."""
    found = (run / FOLDER / CLASSIFIER).glob(f"*/{SETTINGS_FILE}")
    latest = max(found, key=lambda file: file.stat().st_mtime, default=None)
    if latest is None:
        return None
    try:
        return Classifier.load(latest.parent, device)
    except UserError as error:
        print(f"warning: no own features: {error}", file=sys.stderr)
        return None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped", number)
