"""Pictures and archives from elsewhere: what is refused, and that it is refused before it costs anything."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from common.errors import UserError
from common.files import read_bounded
from gen_models.diffusion.samples import Samples
from gen_models.images.folders import load_folder
from gen_models.images.loaders import load_npz
from gen_models.images.pictures import FORMATS, opened_picture
from gen_models.judging.judged_images import read_images

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
(%stdout) (w) file (interpreted) writestring
showpage
%%EOF
"""


def picture(size: tuple[int, int] = (16, 16), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(file, kind)
    return file.getvalue()


def huge_png(side: int) -> bytes:
    """A PNG of one colour with side x side pixels, without ever having them in memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    line = b"\0" + bytes(side)
    rows = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@contextmanager
def cheap(seconds: float = 5, most: int = 2**28) -> Iterator[None]:
    """What takes longer, or more memory, fails."""
    began = time.monotonic()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < seconds


def test_the_formats_are_those_chosen_by_name() -> None:
    for kind in FORMATS:
        with opened_picture(picture(kind=kind)) as opened:
            assert (opened.format, opened.size) == (kind, (16, 16))
    for kind in ("PPM", "TGA", "ICO", "PCX"):
        with pytest.raises(OSError, match="cannot identify"), opened_picture(picture(kind=kind)):
            pass


@pytest.mark.parametrize("read", [lambda path: load_folder(path, 8), lambda path: read_images(path / "horse/a.png", 8)])
def test_a_program_that_calls_itself_a_picture_is_not_interpreted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    (tmp_path / "horse").mkdir()
    (tmp_path / "horse/a.png").write_bytes(EPS)
    called: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **_: called.append(arguments))
    with pytest.raises(UserError, match="its content is that of no BMP, GIF, JPEG, PNG, TIFF or WEBP picture"):
        read(tmp_path)
    assert not called


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    content = huge_png(13_000)
    assert len(content) < 400_000
    (tmp_path / "horse").mkdir()
    (tmp_path / "horse/a.png").write_bytes(content)
    for read in (lambda: load_folder(tmp_path, 8), lambda: read_images(tmp_path / "horse/a.png", 8)):
        with cheap(), pytest.raises(UserError, match="13,000 x 13,000 pixels, more than 50 million"):
            read()


def test_an_archive_that_inflates_out_of_all_proportion_is_refused(tmp_path: Path) -> None:
    many = zipped(tmp_path / "many.zip", {f"horse/{number}.png": bytes(30_000_000) for number in range(12)})
    assert many.stat().st_size < 500_000
    with cheap(), pytest.raises(UserError, match=r"0\.4 MB inflate to 360 MB, more than 100 times as much"):
        load_folder(many, 8)
    one = zipped(tmp_path / "one.zip", {"horse/a.png": bytes(210_000_000), "horse/b.png": picture()})
    with (
        cheap(),
        pytest.raises(UserError, match=r"the picture horse/a.png cannot be read \(it has 210 MB, more than 200"),
    ):
        load_folder(one, 8)
    assert len(load_folder(one, 8, skip_bad=True)) == 1
    arrays = zipped(tmp_path / "arrays.npz", {"images.npy": bytes(300_000_000)})
    for read in (load_npz, lambda path, _: Samples.load(path)):
        with cheap(), pytest.raises(UserError, match="inflate to 300 MB"):
            read(arrays, 8)


@pytest.mark.parametrize("name", ["./horse/1.png", "horse//1.png", "horse/./1.png", "/horse/1.png"])
def test_odd_names_in_archives_are_read(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "a.zip", {name: picture(), "horse/x.png/": b"", "bird/2.png": picture()})
    images = load_folder(archive, 8)
    assert (len(images), images.class_names) == (2, ("bird", "horse"))


def test_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with cheap(), pytest.raises(UserError, match="is neither a folder nor a zip file"):
            load_folder(path, 8)
        for read in (lambda path: load_npz(path, 8), Samples.load, lambda path: read_images(path, 8)):
            with cheap(), pytest.raises(UserError, match="it is not a regular file"):
                read(path)
    (tmp_path / "horse").mkdir()
    (tmp_path / "horse/a.png").symlink_to("/dev/zero")
    (tmp_path / "horse/b.png").write_bytes(picture())
    with cheap():
        assert len(load_folder(tmp_path, 8)) == 1


def test_files_are_read_up_to_a_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match=re.escape("more than 0")) as raised:
        read_bounded(tmp_path / "a", 4)
    assert raised.value.strerror is not None
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path, 5)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((3, 8, 8, 1), np.uint8)}, "images"),
        ({"images": np.zeros((3, 0, 0, 3), np.uint8)}, "images"),
        ({"class_names": np.array("horse")}, "'class_names' as texts (K,)"),
        ({"class_names": np.array([1.5, 2.5])}, "'class_names' as texts (K,), not float64"),
        ({"class_names": np.array(["horse", "Horse"])}, "a class name twice"),
    ],
)
def test_arrays_of_another_form_get_a_line(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    content = {"images": np.zeros((3, 8, 8, 3), np.uint8), "labels": np.array([0, 1, 0]), **arrays}
    np.savez(tmp_path / "a.npz", allow_pickle=False, **content)
    with pytest.raises(UserError, match=re.escape(words)):
        load_npz(tmp_path / "a.npz", 8)
