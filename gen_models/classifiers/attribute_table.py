"""A table of the attributes of images, with pictures to check them by eye.

``attributes.csv`` has a row for each image: its digest, source and class, and yes, no or nothing for each attribute.
Rows are found by the digest, in any order of the images and for any choice of classes. Beside the table, for each
attribute and class, ``attribute-NAME-CLASS.png`` shows random images: yes on the left, no on the right.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError, first_line
from common.files import write_atomic
from gen_models.classifiers.attributes import ATTRIBUTES, NO, YES, Progress, with_attributes
from gen_models.images.grids import beside, grid, save_png
from gen_models.images.image_set import UNKNOWN, ImageSet

TABLE = "attributes.csv"
FIRST_COLUMNS = ("digest", "source", "class")
WORDS = {YES: "yes", NO: "no", UNKNOWN: ""}
NUMBERS = {word: number for number, word in WORDS.items()}

SHEET_COLUMNS = 8
SHEET_TILES = 64
SHEET_WIDTH = 96  # pixels of a tile, about


def digests(images: NDArray[np.uint8]) -> list[str]:
    """A digest of each image: the first 20 hexadecimal digits of its SHA-256."""
    return [hashlib.sha256(image.tobytes()).hexdigest()[:20] for image in np.ascontiguousarray(images)]


def ensure_attributes(
    images: ImageSet,
    everything: Callable[[], ImageSet],
    folder: Path,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> ImageSet:
    """The images with the attributes from the table in a folder, which is made if missing or without one of them.

    :param everything: gives the images of all classes of the same sources, including airplanes
    :raises UserError: when the table is damaged, of other images, or cannot be written
    """
    if not _has_all(folder / TABLE):
        save_attributes(with_attributes(everything(), seed, device=device, progress=progress), folder)
    return load_attributes(images, folder)


def _has_all(table: Path) -> bool:
    """Whether a table is there and has a column for each of today's attributes; one that cannot be read is there."""
    try:
        with table.open(errors="replace") as lines:
            header = lines.readline().strip().split(",")
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return header[: len(FIRST_COLUMNS)] != list(FIRST_COLUMNS) or set(ATTRIBUTES) <= set(header)


def save_attributes(images: ImageSet, folder: Path) -> None:
    """Write the pictures, then the table.

    :raises UserError: when the folder cannot be written (status 1)
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*FIRST_COLUMNS, *images.attributes])
    for index, digest in enumerate(digests(images.images)):
        kind = images.classes[index]
        name = "" if kind == UNKNOWN else images.class_names[kind]
        values = [WORDS[int(column[index])] for column in images.attributes.values()]
        table.writerow([digest, images.source_names[images.sources[index]], name, *values])
    for attribute in images.attributes:
        for name in images.class_names:
            sheet = attribute_sheet(images, attribute, name)
            if sheet is not None:
                # A class of somebody's file may be called anything, ../ as well.
                save_png(sheet, folder / f"attribute-{attribute}-{re.sub(r'[^A-Za-z0-9 _-]', '-', name)}.png")
    write_atomic(folder / TABLE, text.getvalue())


def load_attributes(images: ImageSet, folder: Path) -> ImageSet:
    """The images with the attributes from the table in a folder.

    :raises UserError: when there is no table, it is damaged, or an image is not in it
    """
    path = folder / TABLE
    try:
        header, *rows = list(csv.reader(io.StringIO(path.read_text())))
        names = header[len(FIRST_COLUMNS) :]
        known = {row[0]: [NUMBERS[word] for word in row[len(FIRST_COLUMNS) :]] for row in rows}
        if tuple(header[: len(FIRST_COLUMNS)]) != FIRST_COLUMNS or any(
            len(values) != len(names) for values in known.values()
        ):
            raise ValueError("its columns are not those of such a table")
    except (OSError, ValueError, IndexError, KeyError, csv.Error) as error:
        raise UserError(f"cannot read {path} ({first_line(error)}); delete it and it is made again") from error
    wanted = digests(images.images)
    missing = sum(digest not in known for digest in wanted)
    if missing:
        raise UserError(
            f"{path} was made from other images, or images of another size: {missing} of {len(wanted)} are not in it;"
            " delete it and it is made again"
        )
    values = np.array([known[digest] for digest in wanted], np.int8).reshape(len(wanted), len(names))
    return replace(images, attributes={name: values[:, column].copy() for column, name in enumerate(names)})


def attribute_sheet(images: ImageSet, attribute: str, kind: str) -> Image.Image | None:
    """Random images of a class, those with the attribute beside those without; None where none is known."""
    halves = []
    for word, number in (("yes", YES), ("no", NO)):
        where = np.flatnonzero(images.of_class(kind) & (images.attributes[attribute] == number))
        shown = np.sort(np.random.default_rng(0).permutation(where)[:SHEET_TILES])
        caption = f"{kind}, {attribute}: {word} ({len(shown)} of {len(where):,}, at random)"
        halves.append(grid(images.images[shown], SHEET_COLUMNS, max(1, SHEET_WIDTH // images.size), caption))
    known = images.of_class(kind) & (images.attributes[attribute] != UNKNOWN)
    return beside(halves) if known.any() else None
