"""Checkpoints are whole or absent: damage, full disks, processes that are killed.

Credits: hashlib's SHA-256 and the operating system's own limits, with which the outcome is compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from common.checkpoints import (
    SHARED,
    check_budget,
    damage,
    discard_after,
    list_checkpoints,
    prune,
    write_checkpoint,
)
from common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FILES = {"policy.safetensors": bytes(range(256)) * 8, "state.json": b"{}"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_there_with_its_digests(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "new" / "checkpoints", "step-000000100", FILES)
    assert path == tmp_path / "new" / "checkpoints" / "step-000000100"
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.name != "manifest.json"} == FILES
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert names(path.parent) == ["step-000000100"]
    assert damage(path) is None


@pytest.mark.parametrize("position", [0, 1_000, 2_047])
@pytest.mark.parametrize("bit", [0, 7])
def test_any_flipped_bit_is_noticed(tmp_path: Path, position: int, bit: int) -> None:
    path = write_checkpoint(tmp_path, "step-1", FILES)
    content = bytearray(FILES["policy.safetensors"])
    content[position] ^= 1 << bit
    (path / "policy.safetensors").write_bytes(content)
    assert damage(path) == "policy.safetensors is not what was written"


def test_what_is_cut_lost_or_added_to_is_noticed(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, "step-1", FILES)
    weights = path / "policy.safetensors"
    for content in (FILES["policy.safetensors"][:-1], FILES["policy.safetensors"] + b"\0", b""):
        weights.write_bytes(content)
        assert damage(path) == "policy.safetensors is not what was written"
    weights.unlink()
    assert "policy.safetensors" in (damage(path) or "")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"state.json": 3}', b'"words"'])
def test_a_damaged_manifest_is_noticed(tmp_path: Path, content: bytes | None) -> None:
    path = write_checkpoint(tmp_path, "step-1", FILES)
    if content is None:
        (path / "manifest.json").unlink()
    else:
        (path / "manifest.json").write_bytes(content)
    assert damage(path) is not None


def test_a_folder_that_is_none_is_damaged(tmp_path: Path) -> None:
    assert damage(tmp_path / "step-1") is not None


def test_one_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "best", {**FILES, "more": b"1"})
    path = write_checkpoint(tmp_path, "best", {"state.json": b"2"})
    assert names(path) == ["manifest.json", "state.json"]
    assert (path / "state.json").read_bytes() == b"2" and damage(path) is None
    prune(tmp_path, 3)
    assert names(tmp_path) == ["best"]


def test_they_are_listed_by_name_and_nothing_else_is(tmp_path: Path) -> None:
    assert list_checkpoints(tmp_path) == []
    for name in ("step-000000300", "step-000000020", "best-000000020", "step-000001000"):
        write_checkpoint(tmp_path, name, FILES)
    (tmp_path / "step-000000400").write_text("a file, no checkpoint")
    leftover = tmp_path / ".step-000000500-0123abcd"  # what a process leaves that is killed while it writes
    leftover.mkdir()
    (leftover / "policy.safetensors").write_bytes(b"half")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000020", "step-000000300", "step-000001000"]
    assert [path.name for path in list_checkpoints(tmp_path, "best-")] == ["best-000000020"]


def test_pruning_keeps_the_last_ones_and_removes_what_was_left_over(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, f"step-{step:09d}", FILES)
    write_checkpoint(tmp_path, "best-000000010", FILES)
    (tmp_path / ".step-000000050-0123abcd").mkdir()
    (tmp_path / ".step-000000050-0123abcd" / "state.json").write_text("half")
    prune(tmp_path, 2)
    assert names(tmp_path) == ["best-000000010", "step-000000030", "step-000000040"]
    prune(tmp_path, 5)
    assert names(tmp_path) == ["best-000000010", "step-000000030", "step-000000040"]
    prune(tmp_path, 1)
    assert names(tmp_path) == ["best-000000010", "step-000000040"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """The limit on a file's size does what a full disk does: a part is written, then the system refuses."""
    path = write_checkpoint(tmp_path, "step-1", FILES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        for name in ("step-1", "step-2"):
            with pytest.raises(UserError, match=f"cannot write the checkpoint .*{name}: File too large") as error:
                write_checkpoint(tmp_path, name, {"policy.safetensors": b"x" * 10_000})
            assert error.value.status == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["step-1"]
    assert damage(path) is None and (path / "policy.safetensors").read_bytes() == FILES["policy.safetensors"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*step-1: Not a directory"):
        write_checkpoint(tmp_path / "file", "step-1", FILES)


SCRIPT = """
import itertools, sys
from pathlib import Path
from common.checkpoints import prune, write_checkpoint

folder = Path(sys.argv[1])
for step in itertools.count():
    write_checkpoint(folder, f"step-{step:09d}", {"weights": bytes([step % 256]) * 300_000, "state": b"%d" % step})
    write_checkpoint(folder, "best", {"weights": bytes([step % 256]) * 300_000})
    prune(folder, 3)
    print(step, flush=True)
"""


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_a_process_that_is_killed_leaves_only_whole_ones(tmp_path: Path, steps: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    written = [int(process.stdout.readline()) for _ in range(steps)][-1]
    process.kill()
    process.wait()
    process.stdout.close()
    found = list_checkpoints(tmp_path)
    # While one is written or pruned there may be one less or more than three.
    assert found and int(found[-1].name.removeprefix("step-")) >= written
    assert [damage(path) for path in found] == [None] * len(found)
    for path in found:
        step = int(path.name.removeprefix("step-"))
        assert (path / "state").read_bytes() == b"%d" % step
    assert not (tmp_path / "best").exists() or damage(tmp_path / "best") is None
    # The next process clears what was left.
    prune(tmp_path, 3)
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_damaged_shared_part_does_not_outlive_the_checkpoints_that_have_it(tmp_path: Path) -> None:
    # Both later checkpoints share a part, which is then damaged. A run that goes on from the first writes it again.
    parts = {"part-1": lambda: b"one"}
    first = write_checkpoint(tmp_path, "step-000000001", {"a": b"1"})
    for steps in (2, 3):
        write_checkpoint(tmp_path, f"step-{steps:09d}", {"a": b"2"}, parts)
    (tmp_path / SHARED / "part-1").write_bytes(b"oNe")
    assert damage(tmp_path / "step-000000002") and damage(tmp_path / "step-000000003")
    discard_after(first)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-000000001"]
    assert not (tmp_path / SHARED / "part-1").exists()
    again = write_checkpoint(tmp_path, "step-000000002", {"a": b"2"}, parts)
    assert damage(again) is None
    assert (tmp_path / SHARED / "part-1").read_bytes() == b"one"


def test_a_shared_part_is_made_once_and_goes_with_its_last_checkpoint(tmp_path: Path) -> None:
    made = []

    def part() -> bytes:
        made.append(1)
        return b"large"

    for steps in (1, 2):
        write_checkpoint(tmp_path, f"step-{steps:09d}", {}, {"part-1": part})
    write_checkpoint(tmp_path, "step-000000003", {}, {"part-2": part})
    assert len(made) == 2
    prune(tmp_path, 1)
    assert [path.name for path in (tmp_path / SHARED).iterdir()] == ["part-2"]


def test_a_budget_that_is_already_passed(tmp_path: Path) -> None:
    folder = tmp_path / "run/checkpoints"
    check_budget(folder, "--timesteps", 5, 9)  # nothing is made yet
    write_checkpoint(folder, "step-000000500", {})
    write_checkpoint(folder, "step-000012544", {})
    for budget in (None, 12_500, 12_544, 20_000):
        check_budget(folder, "--timesteps", budget, 12_500)
    with pytest.raises(UserError, match=r"--timesteps 5: .*run has made 12544 already; give more, or leave it out"):
        check_budget(folder, "--timesteps", 5, 12_500)
