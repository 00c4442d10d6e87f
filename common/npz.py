"""Conversion between arrays and the bytes of an ``.npz`` file, without pickle. Equal arrays give equal bytes.

Credits: NumPy's ``.npy`` and ``.npz`` formats.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def unpack_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of an ``.npz``.

    :raises ValueError: when it is not an ``.npz``, is damaged or has Python objects
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            arrays = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not an intact .npz: {error}") from error


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
