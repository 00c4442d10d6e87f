"""A log that grows, is cut back, and is never overwritten."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from common.append_log import AppendLog
from common.errors import UserError


def test_lines_are_on_the_disk_at_once(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "new" / "log.csv", first_lines="a,b\n")
    log.write("1,2\n")
    assert log.path.read_text() == "a,b\n1,2\n"
    assert log.synced_length() == 8
    log.close()


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\ntwo\nthr")
    log = AppendLog(path, length=4, first_lines="not again\n")
    log.write("three\n")
    log.close()
    assert path.read_text() == "one\nthree\n"


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("precious")
    with pytest.raises(UserError, match="never overwritten"):
        AppendLog(tmp_path / "log")
    assert (tmp_path / "log").read_text() == "precious"


@pytest.mark.parametrize(("content", "message"), [("ab", "lost its end: 2 bytes, 3 were written"), (None, "No such")])
def test_a_log_that_lost_its_end_is_not_gone_on_with(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "log").write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        AppendLog(tmp_path / "log", length=3)
    assert raised.value.status == 1


def test_a_write_that_fails_is_said(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "log", first_lines="0123\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(UserError, match="File too large; make room and resume") as raised:
            log.write("56789\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.status == 1
