"""The page for labels: its requests over HTTP, the keyboard in a real browser, and bad input.

Credits: Playwright, which drives Debian's Chromium.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page as Window

from gen_models.classifiers.hand_labels import read_labels
from gen_models.images.image_set import ImageSet
from gen_models.labelling.label_file import LabelFile
from gen_models.labelling.page import application
from gen_models.labelling.session import TILES, LabellingSession
from tests.forked_runs import run
from tests.web_pages import chromium, opened, served

SECONDS = 120.0
COUNT = 60  # images
WHITE = (np.arange(COUNT) % 4 == 0)[:, None, None, None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with 60 images of a bird's class, of which one in four is white, and 5 of another; index 100 and on."""
    rng = np.random.default_rng(0)
    images = np.where(WHITE, 250, rng.integers(0, 120, (COUNT, 32, 32, 3))).astype(np.uint8)
    images = np.concatenate([images, np.zeros((5, 32, 32, 3), np.uint8)])
    labels = np.array([2] * COUNT + [7] * 5)
    np.savez(tmp_path / "some.npz", images=images, labels=labels, index=np.arange(100, 105 + COUNT))
    return tmp_path


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    images = ImageSet(
        np.zeros((COUNT, 8, 8, 3), np.uint8), np.zeros(COUNT, np.int64), ("bird",), np.zeros(COUNT, np.int64), ("a",)
    )
    labels = np.full(COUNT, -1, np.int8)
    file = LabelFile(tmp_path / "labels.csv", "white")
    session = LabellingSession(images, np.zeros((COUNT, 1), np.float32), labels, file)
    return TestClient(application(session, ["labels.example"]), base_url="http://localhost:7861")


def test_a_screen_is_confirmed_once(client: TestClient, tmp_path: Path) -> None:
    first = client.get("/screen").json()
    assert (first["attribute"], first["number"], len(first["tiles"])) == ("white", 0, TILES)
    said = {"number": 0, "answers": ["yes"] + ["no"] * (TILES - 1)}
    second = client.post("/confirm", json=said)
    assert (second.status_code, second.json()["number"]) == (200, 1)
    assert (tmp_path / "labels.csv").read_text().splitlines()[1] == f"{first['tiles'][0]['name']},yes"
    again = client.post("/confirm", json=said)  # as from another window
    assert again.status_code == 409 and "another window; reload" in again.json()["error"]
    assert client.post("/back", json={}).json()["tiles"][0]["answer"] == "yes"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"number": "0", "answers": []}', b'{"number": 0, "answers": 1}',
                b'{"number": 0, "answers": [1]}', b"\xff", b"[" * 100_000]
)  # fmt: skip
def test_what_is_no_answer_is_refused(content: bytes, client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/confirm", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert not (tmp_path / "labels.csv").exists()


def test_other_pages_and_other_names_are_refused(client: TestClient, tmp_path: Path) -> None:
    said = '{"number": 0, "answers": [' + ",".join(['"no"'] * TILES) + "]}"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):  # what needs no leave
        answer = client.post("/confirm", content=said, headers={"Content-Type": kind})
        assert answer.status_code == 415
    assert client.get("/screen", headers={"Host": "evil.example:7861"}).status_code == 421
    assert client.get("/screen", headers={"Host": "labels.example:7861"}).status_code == 200
    assert client.post("/other", json={}).status_code == 403
    assert client.options("/confirm", headers={"Origin": "http://evil.example"}).status_code >= 400
    assert client.post("/confirm", content=b" " * 1_000_001).status_code == 413
    assert not (tmp_path / "labels.csv").exists()


@contextlib.contextmanager
def labelling(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Window]]:
    """The page in a process of its own, and a window with it."""
    with (
        served("label", "--data", "npz:some.npz", *arguments, folder=folder) as (process, address),
        chromium() as browser,
        opened(browser, address, 1280, 800, SECONDS) as window,
    ):
        yield process, window


KEYS = [f"Digit{digit}" for digit in "123456"] + [f"Key{letter}" for letter in "QWERTYASDFGHZXCVBN"]


def shows(window: Window, screen: int) -> list[str]:
    """Wait for a screen, counted from 1; the names of its images."""
    window.locator("#screen", has_text=f"screen {screen}").wait_for()
    tiles = window.locator(".tile")
    return [str(tiles.nth(number).get_attribute("title")) for number in range(tiles.count())]


def marked(window: Window) -> list[str | None]:
    """What is answered for each image: true, false, mixed."""
    tiles = window.locator(".tile")
    return [tiles.nth(number).get_attribute("aria-checked") for number in range(tiles.count())]


def values(path: Path) -> dict[str, int]:
    return {label.image: label.value for label in read_labels([str(path)]) if label.attribute == "white"}


def test_labels_by_keys_over_screens_and_after_a_kill(folder: Path) -> None:
    """Two screens, one of them corrected; the process is killed, and another one goes on."""
    path = folder / "labels.csv"
    path.write_text("index,side\n100,yes\n160,no\n")
    white = {str(100 + index): int(index % 4 == 0) for index in range(COUNT)}
    arguments = ("--classes", "bird", "--attribute", "white", "--labels", "labels.csv")
    with labelling(folder, *arguments) as (process, window):
        first = shows(window, 1)
        assert len(set(first)) == TILES and set(first) <= set(white)
        for key, name in zip(KEYS, first, strict=True):
            if white[name]:
                window.keyboard.press(key)
        window.keyboard.press("Shift+KeyN")
        assert marked(window) == [*("true" if white[name] else "false" for name in first[:-1]), "mixed"]
        window.keyboard.press("Enter")
        second = shows(window, 2)
        assert values(path) == {name: white[name] for name in first[:-1]}
        window.keyboard.press("KeyI")
        assert marked(window) == ["true"] * TILES
        window.keyboard.press("Space")
        assert len(shows(window, 3)) == COUNT - 2 * TILES
        window.keyboard.press("Backspace")  # that was hasty
        assert shows(window, 2) == second and marked(window) == ["true"] * TILES
        window.keyboard.press("KeyI")
        for tile, name in zip(window.locator(".tile").all(), second, strict=True):
            if white[name]:
                tile.click()
        window.keyboard.press("Enter")
        third = shows(window, 3)
        expected = {name: white[name] for name in (*first[:-1], *second)}
        assert values(path) == expected and not set(third) & set(expected)
        assert window.locator("#figures tr", has_text="yes").first.inner_text().split() == [
            "yes", str(sum(expected.values())),
        ]  # fmt: skip
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert values(path) == expected
    assert path.read_text().startswith("index,side,white\n100,yes,") and "\n160,no,\n" in path.read_text()
    with labelling(folder, *arguments) as (process, window):
        rest = shows(window, 1)
        new = [name for name in rest if name not in expected]
        assert set(new) == set(white) - set(expected) and len(rest) == len(new) + 2  # two are shown again
        assert "true" not in marked(window)
        window.keyboard.press("Enter")
        window.locator("#screen", has_text="All images have been seen.").wait_for()
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=SECONDS)
        assert (process.returncode, errors) == (143, "stopped\n")
        assert output.startswith(f"yes {sum(expected.values())}, no ") and "same again 1 of 2" in output
    assert values(path) == expected | dict.fromkeys(new, 0)


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--attribute", "no-white"], 2, "--attribute: 'no-white' cannot be an attribute: use letters"),
        (["--attribute", "spraed"], 2, "--attribute: there is no attribute 'spraed'; did you mean 'spread'?"),
        (["--attribute", "horse"], 2, "a condition's name stands for two things: horse; rename one of them"),
        (["--attribute", "a", "--labels", "bad.csv"], 2, "bad.csv, line 3: image 100 has a no, but yes in bad.csv, l"),
        (["--attribute", "a", "--labels", "other.csv"], 2, "other.csv, line 2: there is no image '7' in some, which h"),
        (["--attribute", "a", "--labels", "."], 2, "cannot read the labels in .: "),
        (["--attribute", "a", "--classes", "brid"], 2, "no images of the class 'brid' (there are: bird, horse); did"),
        (["--attribute", "a", "--split", "test"], 2, "npz:some.npz has no test images"),
        (["--attribute", "a", "--seed", "-1"], 2, "--seed must be 0 or more, not -1"),
        (["--attribute", "a", "--data", "npz:none.npz"], 2, "cannot read none.npz: No such file or directory"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(folder: Path, arguments: list[str], status: int, line: str) -> None:
    (folder / "bad.csv").write_text("index,a\n100,yes\n100,no\n")
    (folder / "other.csv").write_text("index,a\n7,no\n")
    before = sorted(folder.iterdir())
    data = [] if "--data" in arguments else ["--data", "npz:some.npz"]
    done = run("run_pegasus.py", "label", *data, *arguments, "--port", "18761", folder=folder)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1)
    assert done.stderr.startswith(f"error: {line}"), done.stderr
    assert sorted(folder.iterdir()) == before


def test_a_port_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: Any = listener.getsockname()[1]
        done = run("run_pegasus.py", "label", "--attribute", "white", "--port", str(port), folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: 127.0.0.1 port {port} is in use; try --port ")
