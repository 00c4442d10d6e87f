"""Pictures in class folders, in a folder or in a zip file.

Topmost folders called ``train`` and ``test`` are the split; without them all pictures are for training. Pictures
outside class folders, or below one called ``unlabeled``, have no class. A single folder around everything, as zip files
often have it, is ignored.

Credits: torchvision's ImageFolder for the layout.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from common.archives import check_inflated
from common.errors import UserError, first_line
from common.files import read_bounded
from gen_models.images.image_set import UNKNOWN, ImageSet, square_rgb
from gen_models.images.pictures import BAD_PICTURE, MOST_BYTES, SUFFIXES, opened_picture, reason

UNLABELED = "unlabeled"
SPLITS = ("train", "test")
MOST_MEMORY = 2**33  # bytes of the images read from one source


@dataclass(frozen=True)
class _Picture:
    name: str
    split: str
    kind: str | None  # the class


def load_folder(
    path: Path,
    size: int,
    wanted: Sequence[str] | None = None,
    split: str = "train",
    skip_bad: bool = False,
    unlabeled: bool = False,
) -> ImageSet:
    """The pictures of a folder or zip file, in the order of their names.

    :param size: side of the images in pixels
    :param wanted: class names in lower case; None for all
    :param split: train, test or all
    :param skip_bad: skip corrupt pictures, with a warning
    :param unlabeled: also load pictures without a class
    :raises UserError: when there are none, and for a corrupt one unless ``skip_bad``
    """
    with _opened(path) as (names, read):
        pictures = _placed(names)
        if not pictures:
            raise UserError(f"{path} holds no pictures; put them into class folders, as in {path}/horse/1.png")
        classes = tuple(sorted({picture.kind for picture in pictures if picture.kind is not None}))
        if not classes and not unlabeled:
            raise UserError(f"{path} has pictures but no class folders; move them, as in {path}/horse/1.png")
        chosen = [
            picture
            for picture in pictures
            if split in ("all", picture.split)
            and (unlabeled if picture.kind is None else wanted is None or picture.kind in wanted)
        ]
        if len(chosen) * size * size * 3 > MOST_MEMORY:
            raise UserError(f"{path}: {len(chosen):,} pictures of {size} pixels take more than 8 GB; use fewer of them")
        images: dict[_Picture, NDArray[np.uint8]] = {}
        bad = []
        for picture in chosen:
            try:
                with opened_picture(read(picture.name)) as opened:
                    images[picture] = square_rgb(opened, size)
            except BAD_PICTURE as error:
                if not skip_bad:
                    raise UserError(
                        f"{path}: the picture {picture.name} cannot be read ({reason(error)});"
                        " mend or remove it, or leave it out with --skip-bad"
                    ) from error
                bad.append(picture.name)
    if bad:
        _warn(f"{path}: left out {len(bad)} of {len(chosen)} pictures that cannot be read, first {bad[0]}")
    kinds = [UNKNOWN if picture.kind is None else classes.index(picture.kind) for picture in images]
    pixels = np.stack(list(images.values())) if images else np.empty((0, size, size, 3), np.uint8)
    return ImageSet(
        pixels,
        np.array(kinds, np.int64),
        classes,
        np.zeros(len(pixels), np.int64),
        (source_name(path),),
        names=np.array([picture.name for picture in images], np.str_),
    )


def load_one_class(path: Path, name: str, size: int, split: str = "train", skip_bad: bool = False) -> ImageSet:
    """All pictures below a folder or in a zip file, as images of one class; folders within it mean nothing.

    :param name: of the class
    :param size: side of the images in pixels
    :param split: ``test`` has none, since such a folder has no test images
    :param skip_bad: skip corrupt pictures, with a warning
    :raises UserError: as ``load_folder``
    """
    images = load_folder(path, size, split="all", skip_bad=skip_bad, unlabeled=True)
    images = replace(images, classes=np.zeros(len(images), np.int64), class_names=(name,))
    return images.take(np.zeros(0, np.int64)) if split == "test" else images


@cache
def _warn(text: str) -> None:
    """Print a warning once, however often the folder is read."""
    print(f"warning: {text}", file=sys.stderr)


def source_name(path: Path) -> str:
    """The name of a file or folder as a word for conditions."""
    return re.sub(r"[^a-z0-9_-]+", "-", path.absolute().stem.lower()).strip("-") or "images"


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """The names of the pictures, sorted, and a function that reads one."""
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        yield _only_pictures(names), lambda name: read_bounded(path / name, MOST_BYTES)
        return
    if not path.exists():
        raise UserError(f"there is no {path}")
    if not path.is_file():
        raise UserError(f"{path} is neither a folder nor a zip file")
    try:
        archive = zipfile.ZipFile(path)
        check_inflated(archive, path.stat().st_size)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is neither a folder nor an intact zip file ({first_line(error)})") from error
    # Names as in ./horse//1.png are lawful; members are found by their first name.
    members = {
        str(PurePosixPath(member.filename.lstrip("/"))): member for member in archive.infolist() if not member.is_dir()
    }

    def read(name: str) -> bytes:
        if members[name].file_size > MOST_BYTES:
            raise ValueError(f"it has {members[name].file_size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f}")
        return archive.read(members[name])

    with archive:
        yield _only_pictures(list(members)), read


def _only_pictures(names: Sequence[str]) -> list[str]:
    paths = sorted(PurePosixPath(name) for name in names)
    return [
        str(path)
        for path in paths
        if path.suffix.lower() in SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in path.parts)
    ]


def _placed(names: Sequence[str]) -> list[_Picture]:
    folders = [[part.lower() for part in PurePosixPath(name).parts[:-1]] for name in names]
    top = {parts[0] if parts else "" for parts in folders}
    if len(top) == 1 and all(len(parts) > 1 for parts in folders) and not top & set(SPLITS):
        folders = [parts[1:] for parts in folders]
        top = {parts[0] for parts in folders}
    has_split = bool(top & set(SPLITS)) and top <= {*SPLITS, UNLABELED}
    pictures = []
    for name, parts in zip(names, folders, strict=True):
        split = parts.pop(0) if has_split and parts[0] in SPLITS else "train"
        pictures.append(_Picture(name, split, parts[0] if parts and parts[0] != UNLABELED else None))
    return pictures
