"""Tests of common/npz.py against NumPy's own reader and writer."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from common.npz import pack_arrays, unpack_arrays

ARRAYS = {
    "frames": np.zeros((3, 500, 8), np.uint8)[:, 10:410],
    "number": np.array(7),
    "empty": np.zeros((0, 4), np.float32),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("compress", [True, False])
def test_numpy_reads_what_is_written(compress: bool) -> None:
    content = pack_arrays(ARRAYS, compress)
    assert (len(content) < 2_000) == compress  # 9,600 of them are zeros
    with np.load(io.BytesIO(content), allow_pickle=False) as read:
        assert list(read) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)
    assert content == pack_arrays(ARRAYS, compress)


def test_what_numpy_writes_is_read() -> None:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **ARRAYS)
    arrays = unpack_arrays(file.getvalue())
    assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())


def test_every_flipped_bit_of_the_content_is_noticed() -> None:
    array = np.random.default_rng(0).integers(256, size=400, dtype=np.uint8)
    content = pack_arrays({"a": array}, compress=True)
    for place in range(0, len(content), 7):
        flipped = content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]
        try:
            arrays = unpack_arrays(flipped)
        except ValueError:
            continue
        # Some bytes of a zip file, such as its dates, carry nothing.
        assert list(arrays) != ["a"] or np.array_equal(arrays["a"], array)


def test_objects_are_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        pack_arrays({"a": np.array([{}], object)}, compress=False)
    file = io.BytesIO()
    np.savez(file, a=np.array([{}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack_arrays(file.getvalue())
    with pytest.raises(ValueError, match=r"not an intact \.npz"):
        unpack_arrays(b"nonsense")


def with_header(header: bytes, data: bytes = b"") -> bytes:
    """An ``.npz`` with one array of such a header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("(1000000000000,)", "header says 1,000,000,000"),  # which took all memory
        ("(8,)", "bytes, but its header says"),
        ("(-3,)", "shape"),
        ("(2, -2)", "shape"),
        ("(99999999999999999999999,)", "header says"),
        ("(True,)", "bytes, but"),
        ("'x'", "npz|shape"),
        ("((((((" * 40, "npz|header"),
    ],
)
def test_headers_are_checked_before_memory_is_taken(shape: str, words: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with pytest.raises(ValueError, match=words):
        unpack_arrays(with_header(header, b"1234"))
