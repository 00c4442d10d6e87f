"""Folders are there when they are full, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from common.files import hidden_name, new_folder, renamed_when_full, unwritable


def test_a_folder_has_its_name_only_when_it_is_full(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "full"
    with renamed_when_full(folder) as temporary:
        (temporary / "file").write_text("content")
        assert not folder.exists() and temporary.parent == folder.parent and temporary.name.startswith(".full-")
    assert (folder / "file").read_text() == "content"
    assert [path.name for path in folder.parent.iterdir()] == ["full"]


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), renamed_when_full(tmp_path / "x") as temporary:
        (temporary / "file").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_and_not_empty_stays(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "first").touch()
    with pytest.raises(OSError), renamed_when_full(tmp_path / "x") as temporary:
        (temporary / "second").touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["x", "x/first"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot write .*file/x: Not a directory") as error,
        new_folder(tmp_path / "file" / "x"),
    ):
        pass
    assert error.value.status == 1


def test_hidden_names_are_new_each_time() -> None:
    names = {hidden_name(Path("a/b")).name for _ in range(50)}
    assert len(names) == 50 and all(name.startswith(".b-") for name in names)


def test_a_folder_above_that_was_made_for_it_goes_with_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), renamed_when_full(tmp_path / "figures" / "paper"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "figures").mkdir()
    with pytest.raises(RuntimeError), renamed_when_full(tmp_path / "figures" / "paper"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]


def test_where_nothing_can_be_made_is_found_by_trying(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert unwritable(tmp_path / "a" / "b") is None and not (tmp_path / "a").exists()
    assert unwritable(tmp_path / "file" / "b") == f"{tmp_path / 'file'} is a file"
    why = unwritable(Path("/proc/none"))  # also for an administrator, whom the rights of /proc allow it
    assert why is not None and why.startswith("/proc cannot be written (")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
