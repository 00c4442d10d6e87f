"""A page of the project in a process of its own, and a window of a real browser that shows it.

Credits: Playwright, which drives Debian's Chromium.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.forked_runs import ROOT, forked_python
from tests.free_port import free_port

CHROMIUM = shutil.which("chromium")


@contextlib.contextmanager
def served(
    *arguments: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command of ``run_pegasus.py`` that serves a page, once it says so, and the page's address."""
    port = free_port()
    command = [forked_python(), str(ROOT / "run_pegasus.py"), *arguments, "--port", str(port)]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            line = process.stdout.readline()
            assert line == f"http://127.0.0.1:{port} shows the page; Ctrl-C ends it\n", line + process.stderr.read()
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a screen."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian's package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Browser, address: str, width: int, height: int, seconds: float) -> Iterator[Page]:
    """A window with a page, which must neither fail nor ask for anything from elsewhere.

    :param width: of the window, as ``height`` in pixels
    :param seconds: for which it is waited at most
    """
    window = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
    window.set_default_timeout(1000 * seconds)
    asked: list[str] = []
    wrong: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    window.goto(address)
    yield window
    elsewhere = {url for url in asked if not url.startswith((address, "data:", "blob:"))}
    assert (elsewhere, wrong) == (set(), [])
    window.close()
