"""Conversion between arrays and the bytes of an ``.npz`` file, without pickle. Equal arrays give equal bytes.

Credits: NumPy's ``.npy`` and ``.npz`` formats.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.archives import check_inflated

DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError, EOFError, OSError, MemoryError,
    NotImplementedError, RuntimeError, SyntaxError, TypeError, OverflowError, LookupError,
)  # fmt: skip


def pack_arrays(arrays: Mapping[str, NDArray[Any]], compress: bool) -> bytes:
    """The bytes of an ``.npz`` with some arrays.

    :param compress: compress at zlib's fastest level; ``numpy.savez_compressed`` uses a slower one
    :raises ValueError: for an array of Python objects
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def unpack_arrays(content: bytes, foreign: bool = False) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of an ``.npz``.

    :param foreign: it comes from elsewhere: also refuse what inflates out of all proportion
    :raises ValueError: when it is not an ``.npz``, is damaged or has Python objects
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if foreign:
                check_inflated(archive, len(content))
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in archive.infolist()}
    except DAMAGE as error:
        raise ValueError(f"not an intact .npz: {error}") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """An array whose header is checked against the member's size, since memory is taken by the header."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in headers:
            raise ValueError(f"{member.filename} is of an unknown version, {version}")
        shape, _, dtype = headers[version](file)
        if min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} has a shape of {shape}")
        size = file.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and size != member.file_size:
        raise ValueError(f"{member.filename} has {member.file_size:,} bytes, but its header says {size:,}")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def join_texts(name: str, texts: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Texts of any lengths as two arrays.

    :param name: of the first array, uint8, all texts one after the other; ``NAME_lengths``, int32 (N,), is the second
    """
    lengths = np.array([len(text) for text in texts], np.int32)
    return {name: np.frombuffer(b"".join(texts), np.uint8), f"{name}_lengths": lengths}


def split_texts(name: str, arrays: Mapping[str, NDArray[Any]]) -> list[bytes]:
    """The texts of which ``join_texts`` made two of the arrays.

    :raises ValueError: when the two do not fit each other
    """
    content, lengths = arrays[name].tobytes(), arrays[f"{name}_lengths"]
    ends = np.cumsum(lengths, dtype=np.int64)
    if lengths.sum(dtype=np.int64) != len(content):
        raise ValueError(f"{name} are not as long as their lengths say")
    return [content[begin:end] for begin, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
