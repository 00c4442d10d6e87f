"""The guard before the page, and the requests that it answers, over HTTP."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gen_models.page.guard import Guard
from gen_models.page.page import MOST_FILES, Page, application
from gen_models.page.scores import Scorer
from gen_models.training.run_sampler import load_run_sampler
from tests.untrained_run import untrained_run

FIELDS = {"live": None, "weights": "horse=1", "method": "and", "contrast_from": "", "switch_at": 0.8,
          "sampler": "dpm", "steps": 1, "count": 1, "seed": 0}  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """The page of an untrained run."""
    sampler = load_run_sampler(untrained_run(tmp_path / "first").path, None, True, 2, "cpu")
    page = Page(sampler, Scorer(None), tmp_path / "files")
    yield page
    page.close()


@pytest.fixture
def client(page: Page) -> TestClient:
    return TestClient(application(page, ["Pegasus.example"]), base_url="http://localhost:7860")


def begin(page: Page, client: TestClient, fields: dict[str, Any] | None = None, session: str = "a") -> str:
    """Send the page's own request to draw; the text of the status that it answers with."""
    number = next(number for number, event in page.blocks.fns.items() if event.fn == page._begin)
    content = {"fn_index": number, "data": list({**FIELDS, **(fields or {})}.values()), "session_hash": session}
    text = json.dumps(content)  # with NaN and Infinity, as JavaScript cannot say them but others can
    answer = client.post("/gradio_api/run/predict", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    status = answer.json()["data"][1]
    return str(status["value"] if isinstance(status, dict) and "value" in status else status)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost:7860", True), ("localhost", True), ("127.0.0.1:7860", True), ("[::1]:7860", True),
        ("192.168.1.7:80", True), ("pegasus.EXAMPLE:7860", True), ("pegasus.example.", True),
        ("evil.example:7860", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
        ("", False), ("a b", False), ("[::1", False), ("::1", False), ("user@localhost", False),
    ],
)  # fmt: skip
def test_only_its_own_names_are_answered(host: str, own: bool) -> None:
    assert Guard(None, ["Pegasus.example"]).is_own(host) == own


def test_requests_under_another_name_are_refused(client: TestClient) -> None:
    assert client.get("/").status_code == 200
    refused = client.get("/", headers={"Host": "evil.example:7860"})
    assert (refused.status_code, refused.text.count("\n")) == (421, 1)
    assert "--host NAME" in refused.text


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/upload", "/gradio_api/vibe-code/", "/gradio_api/../upload"])
def test_files_are_refused(client: TestClient, path: str) -> None:
    assert client.post(path, files={"files": ("a.txt", b"content")}).status_code == 403


def test_long_requests_are_refused(client: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/gradio_api/run/predict", content=b" " * 1_000_001, headers=headers)
    assert answer.status_code == 413
    answer = client.post("/gradio_api/run/predict", content=iter([b"{}"]), headers=headers)
    assert answer.status_code == 413  # of unknown length


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["switch_at", "steps", "count", "seed"])
def test_fields_that_are_no_numbers_get_a_line(page: Page, client: TestClient, field: str, value: float | None) -> None:
    words = {"switch_at": "switch at", "count": "images"}.get(field, field)
    status = begin(page, client, {field: value})
    assert f"{words} " in status and ("is not a number" in status or "is not a whole number" in status)


def test_empty_texts_and_choices_get_a_line(page: Page, client: TestClient) -> None:
    assert "Beginning" in begin(page, client, {"weights": None})  # the unconditional model
    for field in ("method", "sampler"):
        assert "choose a method and a sampler" in begin(page, client, {field: None}, session="b")


def test_many_conditions_are_refused(page: Page, client: TestClient) -> None:
    assert "300 conditions: at most 16" in begin(page, client, {"weights": ",".join(["horse=0.01"] * 300)})


def test_a_batch_that_nobody_watches_keeps_no_window_waiting(page: Page, client: TestClient) -> None:
    for number in range(3):
        assert "Beginning" in begin(page, client, session=str(number))
        assert "Beginning" in begin(page, client, session=str(number))


def test_sessions_and_files_are_bounded(page: Page, client: TestClient) -> None:
    for number in range(100):
        begin(page, client, session=str(number))
    assert len(page.blocks.state_holder.session_data) <= 64
    paths = [page._new_file("samples.npz") for _ in range(3)]
    for path in paths:
        path.parent.mkdir(parents=True)
    for _ in range(MOST_FILES - 1):
        page._new_file("samples.npz")
    assert [path.parent.exists() for path in paths] == [False, False, True]
