"""Loads images: CIFAR-10, STL-10, folders, zip files, ``.npz`` files and sprites.

``cifar10`` and ``stl10`` are read from the original binary files, downloaded if missing. Nothing is unpickled, which
rules out CIFAR-10's python version, and no file is changed.

FFHQ and LSUN are folders of pictures, as their authors' tools write them; all pictures below a folder are of one class.

Credits: A. Krizhevsky 2009, *Learning Multiple Layers of Features from Tiny Images* (CIFAR-10). A. Coates, H. Lee,
A. Y. Ng 2011, *An Analysis of Single-Layer Networks in Unsupervised Feature Learning* (STL-10). Karras et al. 2019
(arXiv 1812.04948, FFHQ). Yu et al. 2015 (arXiv 1506.03365, LSUN). torchvision for the downloads and STL-10's address
and checksum.
"""

from __future__ import annotations

import socket
import sys
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torchvision.datasets import STL10
from torchvision.datasets.utils import download_and_extract_archive

from common.errors import UserError, first_line, nearest
from common.files import read_bounded
from common.npz import unpack_arrays
from gen_models.images.folders import load_folder, load_one_class, source_name
from gen_models.images.image_set import UNKNOWN, ImageSet, find_class, join, resized
from gen_models.images.sprites import SPRITES, sprite_images
from gen_models.options import DOWNLOADS

Split = Literal["train", "test", "all"]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STL10_CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
SPECS = ("cifar10", "stl10", "folder:PATH", "ffhq:PATH", "lsun:PATH", "npz:PATH", "sprites")
WITH_PATH = ("folder", "ffhq", "lsun", "npz")
MOST_NPZ = 2**33  # bytes of an .npz file
MOST_SPRITES = 1_000_000  # 3 GB at 32 x 32
NETWORK_TIMEOUT = 30.0  # seconds without an answer; the library itself would wait for minutes


def load_images(
    specs: Sequence[str],
    size: int,
    classes: Sequence[str] | None = None,
    split: Split = "train",
    downloads: Path = DOWNLOADS,
    skip_bad: bool = False,
    unlabeled: bool = False,
) -> ImageSet:
    """Load images of one or several sources.

    :param specs: ``cifar10``, ``stl10``, ``folder:PATH`` (class folders, also in a zip file, also below ``train`` and
        ``test``), ``ffhq:PATH`` or ``lsun:PATH`` (pictures of one class), ``npz:PATH``, ``sprites`` or
        ``sprites:COUNT``
    :param size: side of the images in pixels
    :param classes: the classes wanted, ignoring case; None for all
    :param split: ``all`` is train and test together, as for STL-10's 500 + 800 a class
    :param downloads: folder of the original files
    :param skip_bad: skip corrupt pictures, with a warning, instead of raising
    :param unlabeled: also load images without a class: STL-10's 100,000, pictures outside class folders
    :raises UserError: one line that names the source, file or class at fault
    """
    if not specs:
        raise UserError(f"no images named; use {', '.join(SPECS)}")
    wanted = None if classes is None else tuple(name.lower() for name in classes)
    sets = [_load(spec, size, wanted, split, downloads, skip_bad, unlabeled) for spec in specs]
    known = tuple(dict.fromkeys(name for one in sets for name in one.class_names))
    for name in wanted or ():
        find_class(name, known)
    for index, (spec, one) in enumerate(zip(specs, sets, strict=True)):
        here = one.class_names if wanted is None else tuple(name for name in wanted if name in one.class_names)
        sets[index] = one.only(here)
        if len(sets[index]) == 0:
            kinds = f" of {', '.join(wanted)}" if wanted else ""
            raise UserError(f"{spec} has no {'' if split == 'all' else split + ' '}images{kinds}")
    everything = join(sets)
    if wanted is not None:
        everything = everything.only(wanted)
        for name in wanted:
            if not everything.of_class(name).any():
                raise UserError(f"{', '.join(specs)}: there are no {split} images of the class '{name}'")
    return everything


def _load(
    spec: str,
    size: int,
    wanted: tuple[str, ...] | None,
    split: Split,
    downloads: Path,
    skip_bad: bool,
    unlabeled: bool,
) -> ImageSet:
    """One source."""
    check_spec(spec)
    kind, _, rest = spec.partition(":")
    if kind == "folder":
        return load_folder(Path(rest), size, wanted, split, skip_bad, unlabeled)
    if kind in ("ffhq", "lsun"):
        return load_one_class(Path(rest), "face" if kind == "ffhq" else source_name(Path(rest)), size, split, skip_bad)
    if kind == "npz":
        return load_npz(Path(rest), size, wanted, split, unlabeled)
    if kind == "sprites":
        sprites = sprite_images(int(rest) if rest else SPRITES, split)
        return replace(sprites, images=resized(sprites.images, size))
    if spec == "cifar10":
        return load_cifar10(downloads, size, wanted, split)
    return load_stl10(downloads, size, wanted, split, unlabeled)


def check_spec(spec: str) -> None:
    """Check the form of a source's name; nothing is read.

    :raises UserError: for one of no known form
    """
    kind, _, rest = spec.partition(":")
    if kind in WITH_PATH and not rest:
        raise UserError(f"'{spec}' lacks a path: {kind}:PATH")
    if kind == "sprites" and rest and not (rest.isdecimal() and len(rest) < 10 and 1 <= int(rest) <= MOST_SPRITES):
        raise UserError(f"'{spec}' is not sprites:COUNT with a count from 1 to {MOST_SPRITES:,}, such as sprites:18000")
    if kind not in (*WITH_PATH, "sprites") and spec not in ("cifar10", "stl10"):
        names = ("cifar10", "stl10", "sprites")
        raise UserError(f"unknown images '{spec}'; use {', '.join(SPECS)}{nearest(kind, names)}")


def load_cifar10(downloads: Path, size: int, wanted: Sequence[str] | None = None, split: Split = "train") -> ImageSet:
    """CIFAR-10 from its binary version: records of one label and 3,072 bytes, the planes R, G, B row by row.

    :raises UserError: when the files are missing and cannot be downloaded, or are damaged
    """
    folder = downloads / "cifar-10-batches-bin"
    train = [f"data_batch_{number}.bin" for number in range(1, 6)]
    names = [*(train if split != "test" else []), *(["test_batch.bin"] if split != "train" else [])]
    _fetch(folder, names, CIFAR10_URL, CIFAR10_MD5)
    files = [_records(folder / name, 1 + 3072) for name in names]
    records = np.concatenate(files)
    tested = len(files[-1]) if split != "train" else 0
    numbered = np.concatenate([numbered_names("train", len(records) - tested), numbered_names("test", tested)])
    classes = records[:, 0].astype(np.int64)
    if classes.size and classes.max() >= len(CIFAR10_CLASSES):
        raise UserError(f"{folder} holds labels beyond 9: not CIFAR-10's binary version; download it again", status=1)
    chosen = _of(classes, CIFAR10_CLASSES, wanted)
    images = records[chosen, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    pixels = resized(np.ascontiguousarray(images), size)
    return _one_source("cifar10", pixels, classes[chosen], CIFAR10_CLASSES, numbered[chosen])


def load_stl10(
    downloads: Path, size: int, wanted: Sequence[str] | None = None, split: Split = "train", unlabeled: bool = False
) -> ImageSet:
    """STL-10 from its binary files: 3 x 96 x 96 bytes an image, each plane column by column; labels from 1.

    :raises UserError: when the files are missing and cannot be downloaded, or are damaged
    """
    folder = downloads / STL10.base_folder
    parts = ["train", "test"] if split == "all" else [split]
    with_unlabeled = unlabeled and split != "test"
    names = [f"{part}_{letter}.bin" for part in parts for letter in "Xy"]
    _fetch(folder, [*names, *(["unlabeled_X.bin"] if with_unlabeled else [])], STL10.url, STL10.tgz_md5)
    images, classes, numbered = [], [], []
    for part in parts:
        planes = _records(folder / f"{part}_X.bin", 3 * 96 * 96)
        labels = _records(folder / f"{part}_y.bin", 1)[:, 0].astype(np.int64) - 1
        if len(labels) != len(planes) or labels.min(initial=0) < 0 or labels.max(initial=0) >= len(STL10_CLASSES):
            raise UserError(f"{folder}/{part}_y.bin does not fit {part}_X.bin: download STL-10 again", status=1)
        chosen = _of(labels, STL10_CLASSES, wanted)
        images.append(_stl10_images(planes[chosen], size))
        classes.append(labels[chosen])
        numbered.append(numbered_names(part, len(labels))[chosen])
    if with_unlabeled:
        planes = _records(folder / "unlabeled_X.bin", 3 * 96 * 96)
        # In pieces: all of them at full size are 2.7 GB.
        images += [_stl10_images(planes[start : start + 5000], size) for start in range(0, len(planes), 5000)]
        classes.append(np.full(len(planes), UNKNOWN, np.int64))
        numbered.append(numbered_names("unlabeled", len(planes)))
    return _one_source(
        "stl10", np.concatenate(images), np.concatenate(classes), STL10_CLASSES, np.concatenate(numbered)
    )


def _stl10_images(planes: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return resized(np.ascontiguousarray(planes.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)), size)


def _records(path: Path, length: int) -> NDArray[np.uint8]:
    """The records of a binary file, uint8 (N, length), memory-mapped."""
    size = path.stat().st_size
    if size % length or size == 0:
        raise UserError(f"{path} is damaged: {size:,} bytes are not records of {length:,}; delete it and try again", 1)
    return np.memmap(path, np.uint8, "r").reshape(-1, length)


def _of(classes: NDArray[np.int64], names: Sequence[str], wanted: Sequence[str] | None) -> NDArray[np.int64]:
    """Indices of the images of the wanted classes; those of other classes need not be read."""
    numbers = [index for index, name in enumerate(names) if wanted is None or name in wanted]
    return np.flatnonzero(np.isin(classes, numbers)).astype(np.int64)


def numbered_names(part: str, positions: int | NDArray[np.integer]) -> NDArray[np.str_]:
    """Names of images without file names, str (N,): ``POSITION`` in the training part, ``PART/POSITION`` in another.

    :param part: train, test or unlabeled
    :param positions: in the original files of the part, or their number
    """
    numbers = (np.arange(positions) if isinstance(positions, int) else positions).astype(np.str_)
    return numbers if part == "train" else np.char.add(f"{part}/", numbers)


def _one_source(
    source: str,
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    class_names: Sequence[str],
    names: NDArray[np.str_],
) -> ImageSet:
    return ImageSet(images, classes, tuple(class_names), np.zeros(len(images), np.int64), (source,), names=names)


def _fetch(folder: Path, names: Sequence[str], url: str, md5: str | None) -> None:
    """Download and unpack an archive beside ``folder`` unless all files exist."""
    if all((folder / name).is_file() for name in names):
        return
    archive = url.rpartition("/")[2]
    print(f"{', '.join(names)} are not in {folder}: downloading {url}", file=sys.stderr)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        download_and_extract_archive(url, folder.parent, md5=md5)
    except (OSError, RuntimeError, RecursionError, EOFError, zlib.error, tarfile.TarError) as error:
        raise UserError(
            f"cannot download {url} ({first_line(error)}); put {', '.join(names)} into {folder},"
            f" or {archive} into {folder.parent}",
            status=1,
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder.parent / archive} lacks {', '.join(missing)}; delete it and try again", status=1)


def load_npz(
    path: Path, size: int, wanted: Sequence[str] | None = None, split: Split = "train", unlabeled: bool = False
) -> ImageSet:
    """Images of an ``.npz``: ``images`` uint8 (N, H, W, 3) or (N, H, W); ``labels`` (N,), CIFAR-10's numbers or those
    of ``class_names`` (K,); ``split`` (N,), 0 train and 1 test, without which all are for training; perhaps ``index``
    (N,), positions in the original files, by which labels are given.

    :raises UserError: when the file is missing or of another format
    """
    try:
        arrays = unpack_arrays(read_bounded(path, MOST_NPZ), foreign=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    images = arrays.get("images", np.zeros(0))
    of_pictures = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    if images.dtype != np.uint8 or not of_pictures or min(images.shape[1:]) < 1:
        raise UserError(f"{path} needs 'images' as uint8 (N, H, W, 3) or (N, H, W), not {images.dtype} {images.shape}")
    if "labels" not in arrays and not unlabeled:
        raise UserError(f"{path} has no 'labels'; without them its images are only for training without classes")
    labels = arrays.get("labels", np.full(len(images), UNKNOWN))
    splits = arrays.get("split", np.zeros(len(images), np.uint8))
    positions = arrays.get("index", np.arange(len(images)))
    for name, values in (("labels", labels), ("split", splits), ("index", positions)):
        if values.shape != (len(images),) or values.dtype.kind not in "iu":
            raise UserError(f"{path} needs '{name}' as {len(images)} integers, not {values.dtype} {values.shape}")
    class_names = arrays.get("class_names", np.array(CIFAR10_CLASSES))
    if class_names.ndim != 1 or class_names.dtype.kind != "U":
        raise UserError(f"{path} needs 'class_names' as texts (K,), not {class_names.dtype} {class_names.shape}")
    names = tuple(str(name).lower() for name in class_names)
    if len(set(names)) < len(names):
        raise UserError(f"{path} has a class name twice: {', '.join(names)}")
    classes = labels.astype(np.int64)
    if classes.size and not -1 <= classes.min() <= classes.max() < len(names):
        raise UserError(f"{path} has labels from {classes.min()} to {classes.max()}, but {len(names)} class names")
    chosen = np.zeros(len(images), np.bool_)
    chosen[_of(classes, names, wanted)] = True
    chosen |= (classes == UNKNOWN) & unlabeled
    chosen &= (splits == {"train": 0, "test": 1}.get(split, 0)) | (split == "all")
    present = set(classes.tolist())
    numbered = np.where(splits == 1, numbered_names("test", positions), numbered_names("train", positions))
    found = _one_source(source_name(path), resized(images[chosen], size), classes[chosen], names, numbered[chosen])
    return found.only([name for index, name in enumerate(names) if index in present])
