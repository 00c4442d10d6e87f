"""A file of labels that a person adds to: each change writes it anew, whole or not at all.

Its form is one of those in ``gen_models/classifiers/hand_labels.py``, and stays. Labels of other attributes and images
stay, too. It is read again before each change, so that what others write meanwhile is not lost.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.errors import UserError
from common.files import write_atomic
from gen_models.classifiers.attributes import ATTRIBUTES
from gen_models.classifiers.hand_labels import WORDS, HandLabel, check_attribute, read_labels, read_rows

NAMES = {value: word for word, value in WORDS.items()}


class LabelFile:
    """The labels of one attribute in a file, which may not be there yet.

    :param path: the file
    :param attribute: may be new
    :raises UserError: for a file that cannot be read or that contradicts itself, and for an attribute that cannot be
        asked for, or is a misspelt one of the file's
    """

    def __init__(self, path: Path, attribute: str) -> None:
        self.path = path
        self.attribute = attribute
        everything = self._read()
        self.attributes = sorted({label.attribute for label in everything})
        check_attribute(attribute, "--attribute", [*ATTRIBUTES, *self.attributes])
        self.labels = [label for label in everything if label.attribute == attribute]
        self._known = {label.image: label.value for label in self.labels}

    def _read(self) -> list[HandLabel]:
        return read_labels([f"={self.path}"]) if self.path.exists() else []

    def put(self, labels: Mapping[str, int | None]) -> None:
        """Add labels, or change or remove those that were known here.

        :param labels: by the image's name: 1 yes, 0 no, None for no label
        :raises UserError: when the file says otherwise meanwhile, or cannot be written (status 1); it then stays as
            it was
        """
        with _alone(self.path.resolve().parent):  # a link to a file stays one
            found = {label.image: label.value for label in self._read() if label.attribute == self.attribute}
            for image, value in labels.items():
                if found.get(image, value) not in (self._known.get(image), value):
                    says = NAMES[found[image]]
                    raise UserError(
                        f"{self.path} was changed meanwhile and says {says} for {self.attribute} of image {image};"
                        " answer the same, or unsure"
                    )
            words = {image: "" if value is None else NAMES[value] for image, value in labels.items()}
            rows = [cells for _, cells in read_rows(self.path)] if self.path.exists() else [["image", self.attribute]]
            write_atomic(self.path.resolve(), _text(_with(rows, self.attribute, words)))
        for image, value in labels.items():
            if value is None:
                self._known.pop(image, None)
            else:
                self._known[image] = value


def _with(rows: list[list[str]], attribute: str, words: Mapping[str, str]) -> list[list[str]]:
    """A table with these labels, an empty word for none; new images come last."""
    header, *rows = rows
    names = [name.strip().lower() for name in header]
    if names[1] == "attribute":
        rows = [cells for cells in rows if cells[0].strip() not in words or cells[1].strip().lower() != attribute]
        return [header, *rows, *([image, attribute, word] for image, word in words.items() if word)]
    if attribute not in names[1:]:
        header, rows = [*header, attribute], [[*cells, ""] for cells in rows]
        names.append(attribute)
    column = names.index(attribute, 1)
    there = set()
    for cells in rows:
        image = cells[0].strip()
        if image in words:
            cells[column] = words[image]
            there.add(image)
    kept = [cells for cells in rows if cells[0].strip() not in words or any(cell.strip() for cell in cells[1:])]
    new = []
    for image, word in words.items():
        if word and image not in there:
            new.append([image, *[""] * (len(header) - 1)])
            new[-1][column] = word
    return [header, *kept, *new]


def _text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time change files of a folder, where its file system has locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it is not there yet
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
