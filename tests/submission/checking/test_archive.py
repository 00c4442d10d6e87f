"""Hostile archives: nothing is written outside, nothing is opened that should not be, and all of it ends soon.

Credits: D. Fifield 2019 (zips whose members overlap).
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from submission.checking import archive
from submission.checking.archive import Member, directory_size, open_submission
from submission.checking.check import check_submission
from submission.checking.findings import Findings
from tests.submission.made_submissions import gravitar_files, write_zip

TEXT = b"episode: 1, score: 50.0\n" * 10


def opened(path: Path) -> tuple[list[str], list[str]]:
    """The members that may be read, and the findings."""
    findings = Findings()
    with open_submission(path, findings) as contents:
        return [member.path for member in contents.members], [str(one) for one in findings]


def zipped(tmp_path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return path


def refused(path: Path, reason: str) -> None:
    """The zip's only bad member is refused; it is not unpacked even by ``check``."""
    names, findings = opened(path)
    assert names == ["good.txt"]
    assert len(findings) == 1 and findings[0].startswith("fault") and reason in findings[0], findings


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.txt", "outside of its folder"),
        ("a/../../evil.txt", "outside of its folder"),
        ("..\\evil.txt", "outside of its folder"),
        ("/etc/evil.txt", "absolute path"),
        ("C:\\evil.txt", "absolute path"),
        ("a\\evil.txt", "backslash"),
    ],
)
def test_paths_that_lead_elsewhere(tmp_path: Path, name: str, reason: str) -> None:
    refused(zipped(tmp_path, ("good.txt", TEXT), (name, TEXT)), reason)


def test_a_null_in_a_name(tmp_path: Path) -> None:
    path = zipped(tmp_path, ("good.txt", TEXT), ("evilXtxt", TEXT))
    path.write_bytes(path.read_bytes().replace(b"evilXtxt", b"evil\0txt"))
    refused(path, "null in its name")


@pytest.mark.parametrize(
    ("kind", "reason"), [(stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "pipe"), (stat.S_IFCHR, "not a regular file")]
)
def test_links_and_devices_in_a_zip(tmp_path: Path, kind: int, reason: str) -> None:
    info = zipfile.ZipInfo("gravitar-log.txt")
    info.external_attr = (kind | 0o777) << 16
    refused(zipped(tmp_path, ("good.txt", TEXT), (info, b"/etc/passwd")), reason)


def test_links_and_pipes_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "good.txt").write_bytes(TEXT)
    (folder / "log.txt").symlink_to("/etc/passwd")
    (folder / "inner" / "out").symlink_to("/")
    os.mkfifo(folder / "pipe.txt")
    names, findings = opened(folder)
    assert names == ["good.txt"]
    assert sorted(findings) == [
        "fault: inner/out: a symbolic link, which is not followed",
        "fault: log.txt: a symbolic link, which is not followed",
        "fault: pipe.txt: a pipe, which is not followed",
    ]


def test_a_link_put_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "log.txt"
    file.write_bytes(TEXT)
    with open_submission(tmp_path / "folder", Findings()) as contents:
        file.unlink()
        file.symlink_to("/etc/passwd")
        with pytest.raises(UserError, match="cannot be read"):
            contents.unpack(contents.members[0], tmp_path / "copy")


def test_a_bomb_by_ratio(tmp_path: Path) -> None:
    refused(zipped(tmp_path, ("good.txt", TEXT), ("bomb.txt", bytes(20_000_000))), "as a bomb")


def test_a_bomb_by_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 3000)
    path = zipped(tmp_path, *((f"{number}.txt", os.urandom(1000)) for number in range(4)))
    names, findings = opened(path)
    assert names == []
    assert "no file is read" in findings[0]
    with zipfile.ZipFile(path) as made:
        made.extractall(tmp_path / "folder")
    names, findings = opened(tmp_path / "folder")
    assert len(names) == 3 and "not all read" in findings[0]


def test_a_bomb_by_count(tmp_path: Path) -> None:
    path = zipped(tmp_path, *((f"{number}.txt", b"") for number in range(archive.MOST_MEMBERS + 1)))
    with pytest.raises(UserError, match=r"lists 1,001 files"):
        opened(path)
    assert [one.level for one in check_submission(path).findings] == ["fault"]


def test_a_large_directory_is_not_read(tmp_path: Path) -> None:
    # One file of a long name and comments: the directory alone has more than a megabyte.
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(20):
            info = zipfile.ZipInfo(f"{number}.txt")
            info.comment = b"x" * 60_000
            made.writestr(info, b"")
    with pytest.raises(UserError, match=r"lists 20 files in 1,\d+,\d+ bytes"):
        opened(path)


def test_the_directory_of_zip64_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(65_536):
            made.writestr(f"{number}", b"")
    with path.open("rb") as file:
        count, size = directory_size(file)
    assert count == 65_536
    assert size > 65_536 * 46
    with pytest.raises(UserError, match="not opened"):
        opened(path)


def overlapping(tmp_path: Path) -> Path:
    """Two members that share one file's bytes, as in Fifield's bomb."""
    path = zipped(tmp_path, ("one.txt", TEXT), ("two.txt", TEXT))
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 4)
    # The second entry points at the first file; only its name differs, which Python compares: take the same name there.
    struct.pack_into("<L", data, second + 42, 0)
    path.write_bytes(bytes(data).replace(b"two.txt", b"one.txt"))
    return path


def test_overlapping_members(tmp_path: Path) -> None:
    names, findings = opened(overlapping(tmp_path))
    assert names == []
    assert any("members overlap" in one for one in findings)


def test_a_member_that_reaches_into_the_directory(tmp_path: Path) -> None:
    path = zipped(tmp_path, ("one.txt", os.urandom(100)))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2")
    struct.pack_into("<LL", data, entry + 20, 10_000, 10_000)
    path.write_bytes(data)
    names, findings = opened(path)
    assert names == [] and "members overlap" in findings[0]


def test_honest_zips_do_not_overlap(tmp_path: Path) -> None:
    # With data descriptors, as macOS writes them, and something before the zip.
    written = io.BytesIO()

    class Pipe(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            return written.write(bytes(data))  # type: ignore[call-overload]

    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("one.txt", TEXT)
        made.writestr("two.txt", TEXT * 100)
    (tmp_path / "pipe.zip").write_bytes(b"before" * 10 + written.getvalue())
    assert opened(tmp_path / "pipe.zip") == (["one.txt", "two.txt"], [])


def test_nested_zips_are_not_opened(tmp_path: Path) -> None:
    inner = zipped(tmp_path, ("deep.txt", TEXT)).read_bytes()
    names, findings = opened(zipped(tmp_path, ("good.txt", TEXT), ("inner.zip", inner)))
    assert names == ["good.txt", "inner.zip"]
    assert findings == ["warning: inner.zip: is an archive within the submission; it is not opened"]


def test_encrypted_members(tmp_path: Path) -> None:
    path = zipped(tmp_path, ("good.txt", TEXT), ("secret.txt", TEXT))
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[entry + 8] |= 1
    path.write_bytes(data)
    refused(path, "encrypted")


def test_other_compressions(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("log.txt")
    info.compress_type = zipfile.ZIP_LZMA
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("good.txt", TEXT)
        made.writestr(info, TEXT, zipfile.ZIP_LZMA)
    refused(path, "method 14")


def test_the_same_name_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path, ("log.txt", TEXT), ("log.txt", b"other"))
    assert opened(path)[1] == ["fault: log.txt: stands in the zip 2 times; which one counts depends on the program"]


def test_names_in_other_encodings(tmp_path: Path) -> None:
    path = zipped(tmp_path, ("good.txt", TEXT), ("paperXX.pdf", TEXT))
    path.write_bytes(path.read_bytes().replace(b"paperXX", "paper中"[:5].encode() + "作".encode("gbk")))
    names, findings = opened(path)
    assert len(names) == 2
    assert len(findings) == 1 and "encoding that the zip does not name" in findings[0]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def shuffled(data: bytes) -> bytes:
    at = data.index(b"PK\1\2")
    return data[:at] + b"PK\1\3" + data[at + 4 :]


def other_offset(data: bytes) -> bytes:
    at = data.rindex(b"PK\5\6")
    return data[: at + 16] + struct.pack("<L", 0xFFFFFFF0) + data[at + 20 :]


def lying_count(data: bytes) -> bytes:
    at = data.rindex(b"PK\5\6")
    return data[: at + 12] + struct.pack("<L", 10) + data[at + 16 :]


@pytest.mark.parametrize(
    "damage", [cut, shuffled, other_offset, lying_count, lambda data: b"PK", lambda data: b"PK\5\6" + bytes(18)]
)
def test_broken_directories(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_zip(tmp_path / "submission.zip", {"good.txt": TEXT, "more.txt": TEXT})
    path.write_bytes(damage(path.read_bytes()))
    report = check_submission(path)  # a report, whatever it says
    assert report.findings.of("fault"), report.findings


def test_every_single_byte_changed_is_survived(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "whole.zip", {"gravitar-log.txt": TEXT}).read_bytes()
    path = tmp_path / "submission.zip"
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        findings = Findings()
        try:
            with open_submission(path, findings) as contents:
                for number, member in enumerate(contents.members):
                    contents.unpack(member, tmp_path / f"copy-{place}-{number}")
        except UserError:
            continue


def test_a_member_whose_sum_is_wrong(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "submission.zip", {"log.txt": TEXT})
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 16, 1)
    path.write_bytes(data)
    with (
        open_submission(path, Findings()) as contents,
        pytest.raises(UserError, match=r"log\.txt cannot be unpacked: Bad CRC"),
    ):
        contents.unpack(contents.members[0], tmp_path / "copy")


def test_a_file_that_grows_is_not_copied_beyond_its_size(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "log.txt").write_bytes(TEXT)
    with open_submission(tmp_path / "folder", Findings()) as contents:
        with pytest.raises(UserError, match="is larger than"):
            contents.unpack(Member("log.txt", 5), tmp_path / "copy")
        with pytest.raises(UserError, match="it is cut"):
            contents.unpack(Member("log.txt", 5000), tmp_path / "other")


def test_what_macos_and_windows_leave_is_a_note(tmp_path: Path) -> None:
    files = gravitar_files()
    twins = {f"__MACOSX/._{name}": b"\0\5\x16\7" for name in files}
    names, findings = opened(write_zip(tmp_path / "submission.zip", {**files, **twins, ".DS_Store": b"x"}))
    assert names == list(files)
    assert [one.split(":")[0] for one in findings] == ["note"]


def test_checking_leaves_nothing_and_writes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    path = zipped(tmp_path, ("gravitar-log.txt", TEXT), ("../gravitar-code.py", b"raise SystemExit"))
    before = sorted(tmp_path.rglob("*"))
    check_submission(path)
    assert sorted(tmp_path.rglob("*")) == before
