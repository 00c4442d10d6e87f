"""The page in a real browser: sampling, close view, download, stop, and errors for bad input.

Credits: Playwright, which drives Debian's Chromium.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator
from playwright.sync_api import Page as Window

from gen_models.commands.sample import sample
from gen_models.diffusion.samples import Samples
from gen_models.options import SampleSettings
from gen_models.page.scores import training_images
from gen_models.request import SampleRequest
from gen_models.training.settings import RunSettings
from tests.forked_runs import run
from tests.free_port import free_port
from tests.web_pages import chromium, opened, served

SECONDS = 60.0


class Proxy:
    """A web proxy that notes who comes to it; whoever looks for something outside would come."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def asked(self) -> bool:
        """Whether anybody came."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few seconds."""
    folder = tmp_path_factory.mktemp("page")
    short = ("--images", "64", "--device", "cpu")
    done = run("run_pegasus.py", "train", "--preset", "smoke", "--name", "small", *short, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "pegasus" / "small"


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    with proxy.listener:
        yield proxy


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page puts what is downloaded."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def server(trained: Path, proxy: Proxy, files: Path) -> Iterator[str]:
    """The address of the page, whose process ends with a signal and leaves nothing."""
    with served_run(trained, proxy, files) as (process, address):
        yield address
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (143, "stopped\n")
        assert list(files.iterdir()) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a screen."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def window(browser: Browser, server: str) -> Iterator[Window]:
    """A window with the page."""
    with drawable(browser, server) as window:
        yield window


@pytest.fixture(scope="module")
def shared_window(browser: Browser, server: str) -> Iterator[Window]:
    """A window that several tests use one after the other."""
    with drawable(browser, server) as window:
        yield window


@contextlib.contextmanager
def served_run(run: Path, proxy: Proxy, files: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The page of a run in a process of its own, and its address.

    :param proxy: where the process would look for anything outside
    :param files: its folder for temporary files
    """
    names = ("http_proxy", "https_proxy", "all_proxy")
    environment = {name: value for name, value in os.environ.items() if name.lower() not in (*names, "no_proxy")}
    environment |= dict.fromkeys((*names, *(name.upper() for name in names)), proxy.address)
    environment["TMPDIR"] = str(files)
    with served("serve", str(run), "--device", "cpu", environment=environment) as page:
        yield page


@contextlib.contextmanager
def drawable(browser: Browser, address: str, width: int = 1200) -> Iterator[Window]:
    """A window in which the page is ready to draw."""
    with opened(browser, address, width, 900, SECONDS) as window:
        button(window, "Draw").wait_for()
        yield window


def button(window: Window, name: str) -> Locator:
    return window.get_by_role("button", name=name, exact=True)


def ask(window: Window, weights: str = "horse=2,bird=1", **numbers: float | str) -> None:
    """Fill in the request, and press Draw."""
    window.locator("#weights textarea, #weights input").fill(weights)
    for name, number in numbers.items():
        window.locator(f"#{name} input").fill(str(number))
    button(window, "Draw").click()


def status(window: Window, pattern: str) -> str:
    """The status, as soon as it is such."""
    line = window.locator("#status", has_text=re.compile(pattern))
    line.wait_for()
    return line.inner_text()


def pixels(picture: Locator) -> NDArray[np.uint8]:
    """What an image element shows, pixel for pixel."""
    source = picture.get_attribute("src")
    assert source is not None and source.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def downloaded(window: Window, name: str) -> tuple[str, bytes]:
    """Name and content of the file that a button gives."""
    with window.expect_download() as download:
        window.locator(f"#{name}").click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_the_page_samples_as_the_command_does_and_shows_neighbours(window: Window, trained: Path) -> None:
    request = SampleRequest("horse=2,bird=1", steps=4, seed=7)
    sample(SampleSettings(trained, request, n=18, name="same", device="cpu"))
    file = trained / "samples" / "same" / "samples.npz"
    expected = Samples.load(file).images
    ask(window, steps=4, count=18, seed=7)
    text = status(window, "18 images in")
    assert text.endswith("s. and: horse=2,bird=1, 4 steps of dpm, seed 7; small step-000000064")
    tiles = window.locator("#tiles button.tile img")
    shown = np.stack([pixels(tiles.nth(number)) for number in range(tiles.count())])
    np.testing.assert_array_equal(shown, expected)
    assert downloaded(window, "all-files") == ("samples.npz", file.read_bytes())

    button(window, "image 17").click()
    window.locator("#closeup .neighbours").first.wait_for()
    assert window.locator("#tiles .chosen").get_attribute("data-number") == "17"
    np.testing.assert_array_equal(pixels(window.locator("#closeup .large img")), expected[17])
    training = training_images(RunSettings.from_yaml(trained / "settings.yml").data).images
    errors = ((training / 255 - drawn / 255) ** 2 for drawn in (expected[17], expected[17, :, ::-1]))
    squares = np.min([error.mean(axis=(1, 2, 3)) for error in errors], axis=0)
    order = np.argsort(squares, kind="stable")[:6]
    near = window.locator("#closeup .neighbours").first.locator("figure")
    for place, index in enumerate(order):
        np.testing.assert_array_equal(pixels(near.nth(place).locator("img")), training[index])
        assert near.nth(place).inner_text().startswith(f"{np.sqrt(squares[index]):.3f} ")
    name, content = downloaded(window, "one-file")
    assert name == "image-0017.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), expected[17])


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"weights": "hrose=2"}, "unknown condition 'hrose' (known: horse, bird, "),
        (
            {"weights": "horse"},
            "weights horse: 'horse' is not a condition with its weight; write it as in horse=3,bird",
        ),
        (
            {"weights": "horse=much"},
            "weights horse=much: the weight 'much' is not a number; write it as in horse=3,bird",
        ),
        (
            {"weights": "<img src=x onerror=alert(1)>"},
            "weights <img src=x onerror=alert(1)>: the weight 'x onerror=alert(1)>' is not a number; write it",
        ),
        ({"count": 0}, "images 0: from 1 to 256"),
        ({"count": ""}, "images is not a whole number"),
        ({"steps": 2000}, "steps 2000: from 1 to 1000"),
        ({"steps": 2.5}, "steps 2.5 is not a whole number"),
        ({"seed": -1}, "seed -1 must not be negative"),
    ],
)
def test_bad_input_is_one_line_on_the_page(shared_window: Window, asked: dict[str, Any], line: str) -> None:
    window = shared_window
    ask(window, **asked)
    error = window.get_by_role("alert")
    error.wait_for()
    assert error.inner_text().startswith(line) and "\n" not in error.inner_text()
    assert button(window, "Draw").is_enabled() and not button(window, "Stop").is_enabled()
    ask(window, weights="horse=1", steps=1, count=1, seed=0)
    error.wait_for(state="hidden")
    status(window, "1 images in")


def test_conditions_are_chosen_from_lists_too(window: Window) -> None:
    window.locator("#weights textarea, #weights input").fill("")
    for word in ("horse", "spread"):
        window.get_by_label("Condition", exact=True).click()
        window.get_by_role("option", name=word, exact=True).click()
    window.get_by_label("Weight", exact=True).fill("2.5")
    button(window, "Add").click()
    window.get_by_label("switch", exact=True).check()
    window.get_by_label("number input for Switch at noise level").wait_for()
    button(window, "Draw").click()
    alert = window.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().startswith("method switch takes two conditions, the early one and the late one, not 1;")
    assert window.locator("#weights textarea, #weights input").input_value() == "horse+spread=2.5"
    button(window, "mix: horse=2,spread=2").click()
    button(window, "Draw").click()
    assert "mix: horse=2,spread=2" in status(window, "images in")


def test_a_batch_shows_its_progress_and_stops(window: Window) -> None:
    ask(window, steps=990, count=40)
    window.wait_for_function("document.querySelector('#status progress')?.value > 20")
    assert re.match(r"0 of 40 images, \d+%, about \d+ s left", window.locator("#status").inner_text())
    assert window.locator("#tiles div.tile").count() == 40
    assert window.locator("#tiles div.tile img").count() == 16  # of the first batch, as they look now
    button(window, "Stop").click()
    text = status(window, r"Stopped(; no image is finished| with (16|32) of 40 images)")
    finished = re.search(r"with (\d+) of", text)
    assert window.locator("#tiles button.tile").count() == (int(finished[1]) if finished else 0)
    assert button(window, "Draw").is_enabled() and not button(window, "Stop").is_enabled()


def test_one_batch_at_a_time(browser: Browser, server: str, window: Window) -> None:
    ask(window, steps=990, count=40)
    status(window, "0 of 40 images")
    with drawable(browser, server) as other:
        ask(other, steps=1, count=2)
        status(other, "Waiting for another window's drawing")
        status(window, "0 of 40 images")
        button(window, "Stop").click()
        status(other, "2 images in")


def test_a_closed_window_samples_no_longer(browser: Browser, server: str, window: Window) -> None:
    with drawable(browser, server) as other:
        ask(other, steps=990, count=250)
        status(other, "0 of 250 images")
    ask(window, steps=1, count=1)
    status(window, "1 images in")


def test_a_narrow_window_is_not_wider_than_itself(browser: Browser, server: str) -> None:
    with drawable(browser, server, width=360) as window:
        ask(window, steps=1, count=9)
        status(window, "9 images in")
        button(window, "image 3").click()
        window.locator("#closeup .neighbours").first.wait_for()
        assert window.evaluate("document.scrollingElement.scrollWidth") <= 360


def test_nobody_looked_outside(window: Window, proxy: Proxy) -> None:
    ask(window, steps=1, count=1)
    status(window, "1 images in")
    assert not proxy.asked()


def test_a_port_in_use(trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run("run_pegasus.py", "serve", str(trained), "--port", str(port), folder=trained.parent)
    assert done.returncode == 1
    found = re.fullmatch(rf"error: 127\.0\.0\.1 port {port} is in use; try --port (\d+)\n", done.stderr)
    assert found, done.stderr
    socket.create_server(("127.0.0.1", int(found[1]))).close()


def test_a_run_without_a_checkpoint(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "young", ignore=shutil.ignore_patterns("checkpoints"))
    done = run("run_pegasus.py", "serve", "young", "--port", str(free_port()), folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: young has no checkpoint yet; train it first\n")
