"""The files of a submission that nobody trusts: a zip, a folder or a single log.

A zip's directory is read only where its size is bounded, and no member is read of a zip whose members overlap. Nothing
is written but single members to paths that the caller chooses, up to a bound; links and special files are never opened.

Credits: D. Fifield 2019, *A better zip bomb* (overlapping members; Python's own check came with 3.11.8, CVE-2024-0450);
APPNOTE.TXT of PKWARE for the format; Python's zipfile.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Protocol

from common.errors import UserError, first_line
from submission.checking.findings import Findings

MOST_MEMBERS = 1000
MOST_DIRECTORY = 1_000_000  # bytes of a zip's central directory; a member needs 46 and its name
MOST_BYTES = 2_000_000_000  # of all members, unpacked
MOST_RATIO = 200  # unpacked to packed, of members that count
SMALL = 1_000_000  # bytes; below, the ratio does not count
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_NESTED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
_NOISE = (".ds_store", "thumbs.db", "desktop.ini")
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError, RuntimeError, ValueError,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file of a submission.

    :param path: with slashes, from the submission's top
    :param size: bytes, as the submission says
    """

    path: str
    size: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """Lower case, with the dot."""
        return PurePosixPath(self.path).suffix.lower()


class Contents(Protocol):
    """The readable files of a submission."""

    members: list[Member]

    def unpack(self, member: Member, path: Path) -> None:
        """Copy a member to a new file.

        :raises UserError: when it is damaged or larger than it says
        """


@contextlib.contextmanager
def open_submission(path: Path, findings: Findings) -> Iterator[Contents]:
    """The files of a zip, of a folder, or a single file. What is wrong with them becomes findings.

    :raises UserError: when there is nothing at the path, or it cannot be opened at all
    """
    if path.is_dir():
        yield _Folder(path, findings)
        return
    try:
        with path.open("rb") as file:
            zipped = path.suffix.lower() == ".zip" or file.read(2) == b"PK"
            if not zipped:
                yield _SingleFile(path)
                return
            file.seek(0)
            with _open_zip(file, path) as archive:
                yield _Zip(archive, file, findings)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; give a submission's zip or folder, or a log") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


class _SingleFile:
    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path} is not a regular file; give a submission's zip or folder, or a log")
        self._path = path
        self.members = [Member(path.name, path.stat().st_size)]

    def unpack(self, member: Member, path: Path) -> None:
        """Link to it: the caller only reads."""
        path.symlink_to(self._path.resolve())


class _Folder:
    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self.members: list[Member] = []
        total = 0
        for folder, names, files in os.walk(path, followlinks=False):
            names.sort()
            for name in sorted([*files, *(name for name in names if (Path(folder) / name).is_symlink())]):
                file = Path(folder) / name
                inner = file.relative_to(path).as_posix()
                found = file.lstat()
                if not stat.S_ISREG(found.st_mode):
                    findings.fault(inner, f"{_kind(found.st_mode)}, which is not followed")
                    continue
                total += found.st_size
                if len(self.members) == MOST_MEMBERS or total > MOST_BYTES:
                    findings.fault(
                        path.name, f"more than {MOST_MEMBERS} files or {MOST_BYTES / 1e9:g} GB; not all read"
                    )
                    return
                self.members.append(Member(inner, found.st_size))
        self.members = _without_noise(self.members, findings)

    def unpack(self, member: Member, path: Path) -> None:
        """Copy the file, without following a link that was put in its place."""
        try:
            handle = os.open(self._path / member.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as source:
                _copy(source, path, member)
        except OSError as error:
            raise UserError(f"{member.path} cannot be read: {error.strerror}") from error


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, file: BinaryIO, findings: Findings) -> None:
        self._archive = archive
        self._infos: dict[str, zipfile.ZipInfo] = {}
        files = [info for info in archive.infolist() if not info.is_dir()]
        for name, count in Counter(info.filename for info in files).items():
            if count > 1:
                findings.fault(name, f"stands in the zip {count} times; which one counts depends on the program")
        for info in files:
            if _faultless(info, findings):
                self._infos[info.filename] = info
        total = sum(info.file_size for info in self._infos.values())
        if total > MOST_BYTES:
            findings.fault(
                "the zip", f"unpacks to {total / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:g}; no file is read"
            )
            self._infos.clear()
        if self._infos and (twins := _overlapping(archive, file)):
            findings.fault("the zip", f"members overlap ({twins}), as in a bomb; no file is read")
            self._infos.clear()
        members = [Member(name, info.file_size) for name, info in self._infos.items()]
        self.members = _without_noise(members, findings)

    def unpack(self, member: Member, path: Path) -> None:
        """Unpack it, up to the size that it says."""
        try:
            with self._archive.open(self._infos[member.path]) as source:
                _copy(source, path, member)
        except _UNREADABLE as error:
            raise UserError(f"{member.path} cannot be unpacked: {first_line(error)}") from error


def _open_zip(file: BinaryIO, path: Path) -> zipfile.ZipFile:
    try:
        count, size = directory_size(file)
        if count > MOST_MEMBERS or size > MOST_DIRECTORY:
            raise UserError(f"{path} lists {count:,} files in {size:,} bytes, more than {MOST_MEMBERS:,}: not opened")
        return zipfile.ZipFile(file)
    except _UNREADABLE as error:
        raise UserError(f"{path} cannot be opened as a zip: {first_line(error)}") from error


def directory_size(file: BinaryIO) -> tuple[int, int]:
    """Number of members and bytes of a zip's central directory, from the record at its end.

    :raises zipfile.BadZipFile: when there is no such record
    """
    length = file.seek(0, os.SEEK_END)
    start = max(0, length - 65_557)  # 22 bytes, and a comment of at most 65,535
    file.seek(start)
    tail = file.read()
    # The same record as zipfile finds: the one without a comment, or else the last.
    at = len(tail) - 22 if tail[-22:-18] == b"PK\5\6" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("it has no directory at its end; it may be cut")
    count, size = struct.unpack("<H L", tail[at + 10 : at + 12] + tail[at + 12 : at + 16])
    locator = start + at - 20
    if locator >= 0:
        file.seek(locator)
        found = file.read(20)
        if found[:4] == b"PK\6\7":
            # Some versions of zipfile read the record where the locator says, others the one right before it.
            for place in (min(struct.unpack("<Q", found[8:16])[0], length), max(0, locator - 56)):
                file.seek(place)
                record = file.read(56)
                if len(record) == 56 and record[:4] == b"PK\6\6":
                    more, larger = struct.unpack("<QQ", record[32:48])
                    count, size = max(count, more), max(size, larger)
    file.seek(0)
    return count, size


def _faultless(info: zipfile.ZipInfo, findings: Findings) -> bool:
    """Whether a member may be read; otherwise there is a finding."""
    name = info.filename
    if fault := _unsafe(info.orig_filename) or _unsafe(name):
        findings.fault(name, f"{fault}; not read")
        return False
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        findings.fault(name, f"{_kind(mode)}, which is not followed")
        return False
    if info.flag_bits & 0x41:
        findings.fault(name, "is encrypted; not read")
        return False
    if info.compress_type not in _METHODS:
        findings.fault(name, f"is compressed by method {info.compress_type}, not by deflate; not read")
        return False
    if info.file_size > SMALL and info.file_size > MOST_RATIO * max(1, info.compress_size):
        findings.fault(name, f"unpacks from {info.compress_size:,} to {info.file_size:,} bytes, as a bomb; not read")
        return False
    if not info.flag_bits & 0x800 and not name.isascii():
        findings.warning(name, "has letters outside ASCII in an encoding that the zip does not name")
    return True


def _unsafe(path: str) -> str | None:
    """Why a path must not be used, in words."""
    if "\0" in path:
        return "has a null in its name"
    parts = path.replace("\\", "/").split("/")
    if ".." in parts:
        return "would be written outside of its folder"
    if path.startswith(("/", "\\")) or (len(path) > 1 and path[1] == ":"):
        return "has an absolute path"
    return "has a backslash in its name" if "\\" in path else None


def _overlapping(archive: zipfile.ZipFile, file: BinaryIO) -> str | None:
    """The first two members whose bytes overlap, or a member beyond the files' part of the zip."""
    spans = []
    for info in archive.infolist():
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\3\4":
            return f"{info.filename} does not begin where the directory says"
        name, extra = struct.unpack("<HH", header[26:30])
        spans.append((info.header_offset, info.header_offset + 30 + name + extra + info.compress_size, info.filename))
    spans.sort()
    for (_, end, name), (start, _, other) in zip(
        spans, [*spans[1:], (archive.start_dir, 0, "the directory")], strict=True
    ):
        if end > start:
            return f"{name} and {other}"
    return None


def _without_noise(members: list[Member], findings: Findings) -> list[Member]:
    """The members without what operating systems leave; nested archives get a finding."""
    noise = [
        one for one in members if one.path.startswith("__MACOSX/") or one.name.lower() in _NOISE or one.name[:2] == "._"
    ]
    if noise:
        findings.note(noise[0].path, f"{len(noise)} files that macOS or Windows left; harmless")
    kept = [one for one in members if one not in noise]
    for one in kept:
        if one.suffix in _NESTED:
            findings.warning(one.path, "is an archive within the submission; it is not opened")
    return kept


def _copy(source: IO[bytes], path: Path, member: Member) -> None:
    left = member.size
    with path.open("xb") as target:
        while chunk := source.read(min(1 << 20, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise UserError(f"{member.path} is larger than the {member.size:,} bytes that it says")
            target.write(chunk)
    if left:
        raise UserError(f"{member.path} is shorter than the {member.size:,} bytes that it says; it is cut")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "not a regular file")
