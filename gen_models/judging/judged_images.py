"""Images to evaluate: a folder of pictures, one picture of many tiles, or a samples file of this program."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import read_bounded
from gen_models.diffusion.samples import Samples
from gen_models.images.enlargement import reduced
from gen_models.images.folders import load_folder
from gen_models.images.image_set import resized, rgb_on_white
from gen_models.images.pictures import BAD_PICTURE, MOST_BYTES, SUFFIXES, opened_picture, reason
from gen_models.images.tiles import cut_tiles

SAMPLES_FILE = "samples.npz"


@dataclass(frozen=True)
class JudgedImages:
    """Images to evaluate.

    :param name: as shown in tables
    :param images: uint8 (N, S, S, 3), of the training images' size
    :param notes: about cutting and resizing
    :param cuts: the picture that the images were cut out of, with lines around them, uint8 (H, W, 3); None without one
    """

    name: str
    images: NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    cuts: NDArray[np.uint8] | None = None


def read_images(
    path: Path, size: int, rows: int | None = None, columns: int | None = None, skip_bad: bool = False
) -> JudgedImages:
    """Read images and resize them to the training images' size.

    :param path: a folder of pictures; a picture that is cut into tiles; a ``samples.npz`` or a folder with one
    :param size: side in pixels of the result
    :param rows: of tiles; None to detect them
    :param columns: of tiles; None to detect them
    :param skip_bad: skip corrupt pictures of a folder, with a warning
    :raises UserError: when there are no images, or a picture cannot be read or cut
    """
    if not path.exists():
        raise UserError(f"there is no {path}")
    if (path / SAMPLES_FILE).is_file():
        path = path / SAMPLES_FILE
    name = path.parent.name if path.name == SAMPLES_FILE else path.stem
    if path.is_dir():
        return _folder(path, size, skip_bad)
    if path.suffix.lower() == ".npz":
        return _of_size(name, Samples.load(path).images, size)
    try:
        with opened_picture(read_bounded(path, MOST_BYTES)) as opened:
            picture = np.asarray(rgb_on_white(opened))
    except BAD_PICTURE as error:
        raise UserError(f"cannot read {path} as a picture ({reason(error)})") from error
    cut = cut_tiles(picture, rows, columns, size, str(path))
    count, side = cut.tiles.shape[:2]
    note = f"{count} tiles of {side} pixels were cut out ({100 * cut.confidence:.0f} % of their sides are edges)"
    return replace(_of_size(name, reduced(cut.tiles, size), size, note), cuts=cut.shown)


def _folder(path: Path, size: int, skip_bad: bool) -> JudgedImages:
    images = load_folder(path, size, split="all", skip_bad=skip_bad, unlabeled=True).images
    sizes = set()
    for file in path.rglob("*"):
        hidden = any(part.startswith((".", "__MACOSX")) for part in file.relative_to(path).parts)
        if file.is_file() and file.suffix.lower() in SUFFIXES and not hidden:
            with contextlib.suppress(*BAD_PICTURE), opened_picture(read_bounded(file, MOST_BYTES)) as opened:
                sizes.add(opened.size)
    return JudgedImages(path.name, images, _note(sorted(sizes - {(size, size)}), size))


def _of_size(name: str, images: NDArray[np.uint8], size: int, *notes: str) -> JudgedImages:
    height, width = images.shape[1:3]
    resizing = _note([(width, height)] if (width, height) != (size, size) else [], size)
    return JudgedImages(name, resized(images, size), (*notes, *resizing))


def _note(others: Sequence[tuple[int, int]], size: int) -> tuple[str, ...]:
    if not others:
        return ()
    words = ", ".join(f"{width} x {height}" for width, height in others[:3]) + (", ..." if len(others) > 3 else "")
    return (f"resized from {words} to {size} x {size} pixels, the training images' size",)
