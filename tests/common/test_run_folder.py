"""A run folder is made once, by one process.

Credits: none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from common import run_folder
from common.run_folder import Exists, RunFolder


def test_a_folder_that_is_there_is_refused_and_stays(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", "first: 1\n")
    with pytest.raises(Exists, match="never overwritten"):
        RunFolder.create(tmp_path / "run", "second: 1\n")
    assert (tmp_path / "run" / "settings.yml").read_text() == "first: 1\n"


def test_a_folder_that_another_process_makes_meanwhile_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = run_folder.write_atomic

    def write_late(path: Path, content: str) -> None:
        write(path, content)
        monkeypatch.setattr(run_folder, "write_atomic", write)
        RunFolder.create(tmp_path / "run", "first: 1\n")

    monkeypatch.setattr(run_folder, "write_atomic", write_late)
    with pytest.raises(Exists):
        RunFolder.create(tmp_path / "run", "second: 1\n")
    assert (tmp_path / "run" / "settings.yml").read_text() == "first: 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
