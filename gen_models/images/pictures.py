"""Opens pictures from anywhere: of a few formats, chosen by name, and of a bounded size.

Pillow knows some forty formats. One of them, EPS, is a program that an interpreter runs.

Credits: Pillow.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from common.errors import first_line

# By Pillow's names, with the ends of the names of their files.
FORMATS = {
    "BMP": (".bmp",), "GIF": (".gif",), "JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}  # fmt: skip
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MOST_PIXELS = 50_000_000
MOST_BYTES = 200_000_000
# Raised by Pillow and zipfile for bytes that are not an intact picture.
BAD_PICTURE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile,
    Image.DecompressionBombError, TypeError, LookupError, OverflowError, MemoryError,
)  # fmt: skip


@contextmanager
def opened_picture(content: bytes) -> Iterator[Image.Image]:
    """A picture, decoded inside the context.

    :raises UnidentifiedImageError: for another format
    :raises ValueError: for too many pixels
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata, with paths of Pillow's own
        with Image.open(io.BytesIO(content), formats=tuple(FORMATS)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                size = f"{picture.width:,} x {picture.height:,}"
                raise ValueError(f"{size} pixels, more than {MOST_PIXELS // 10**6} million")
            yield picture


def reason(error: Exception) -> str:
    """Why a picture cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return f"its content is that of no {', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]} picture"
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else first_line(error)
