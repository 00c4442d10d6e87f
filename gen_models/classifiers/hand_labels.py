"""Labels of images that were given by hand, from CSV files.

The first column of a file says which image. Either each other column is an attribute, with yes, no or nothing in its
rows, or the second is called ``attribute`` and the third holds yes or no:

    cifar10_train_index,spread        index,attribute,label
    25455,yes                         25455,spread,yes

An image is called by its position in the original files (``25455``; ``test/12`` in the test part, ``unlabeled/7``), or
by its path in its folder or zip file (``train/bird/0012.jpg``). See ``ImageSet.names``.

A label by hand counts more than a rule or a classifier. Where an attribute was labelled by hand for images of a source,
only a hand's yes stays in that source: what a classifier called yes and nobody looked at becomes unknown, since a rare
label with a third of errors teaches the wrong thing; its no, which is nearly always right, stays.

Credits: Python's difflib for misspelt names.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.errors import UserError, first_line, nearest
from gen_models.classifiers.attributes import ATTRIBUTES, NO, YES
from gen_models.images.image_set import UNKNOWN, ImageSet

LABELS = "labels.csv"
COLUMNS = ("source", "image", "attribute", "label")
WORDS = {"yes": YES, "no": NO}
MISSPELT = 0.8  # difflib's similarity from which another name is taken for a slip


@dataclass(frozen=True)
class HandLabel:
    """One image's label.

    :param source: name of the image's source; empty where there is only one
    :param image: the image's name in its source
    :param value: 1 yes, 0 no
    :param where: file and line, for messages
    """

    source: str
    image: str
    attribute: str
    value: int
    where: str

    @property
    def word(self) -> str:
        """The value as it is written: yes or no."""
        return "yes" if self.value == YES else "no"


def read_labels(specs: Sequence[str]) -> list[HandLabel]:
    """The labels of several files, each once, in a fixed order.

    :param specs: ``FILE``, or ``SOURCE=FILE`` where images of several sources are joined
    :raises UserError: one line that names file, line and fault
    """
    labels: dict[tuple[str, str, str], HandLabel] = {}
    for spec in specs:
        source, equals, path = spec.partition("=")
        for label in _of_file(Path(path), source) if equals else _of_file(Path(spec), ""):
            key = (label.source, label.image, label.attribute)
            before = labels.setdefault(key, label)
            if before.value != label.value:
                raise UserError(
                    f"{label.where}: image {label.image} has {label.attribute} {label.word}, but {before.word} in"
                    f" {before.where}; keep one of them"
                )
    return [labels[key] for key in sorted(labels)]


def labels_text(labels: Sequence[HandLabel]) -> str:
    """The labels as a file that ``read_kept_labels`` reads."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([label.source, label.image, label.attribute, label.word] for label in labels)
    return text.getvalue()


def read_kept_labels(path: Path) -> list[HandLabel]:
    """The labels that a run keeps.

    :raises UserError: when the file is damaged
    """
    header, *rows = read_rows(path)
    if tuple(header[1]) != COLUMNS:
        raise UserError(f"{path} does not begin with {','.join(COLUMNS)}; restore it from a copy")
    return [_label(path, line, source, *cells) for line, (source, *cells) in rows]


def _of_file(path: Path, source: str) -> list[HandLabel]:
    """The labels of a file of either form."""
    (line, header), *rows = read_rows(path)
    names = [name.strip().lower() for name in header]
    if len(names) < 2:
        raise UserError(f"{path}, line {line}: the header '{','.join(header)}' has no attribute; write index,spread")
    if names[1] == "attribute":
        if len(names) != 3:
            raise UserError(f"{path}, line {line}: after 'attribute' comes one column with yes or no")
        return [_label(path, line, source, *cells) for line, cells in rows]
    for name in names[1:]:
        check_attribute(name, f"{path}, line {line}")
    return [
        _label(path, line, source, image, name, word)
        for line, (image, *words) in rows
        for name, word in zip(names[1:], words, strict=True)
        if word.strip()
    ]


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a file of labels that are not empty, with their numbers, each as long as the first.

    :raises UserError: when the file cannot be read, has no line, or has lines of several lengths
    """
    try:
        reader = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the labels in {path}: {first_line(error)}") from error
    if not rows:
        raise UserError(f"{path} is empty; its first line is a header such as index,spread")
    for line, cells in rows:
        if len(cells) != len(rows[0][1]):
            raise UserError(f"{path}, line {line}: {len(cells)} columns, but {len(rows[0][1])} in the header")
    return rows


def _label(path: Path, line: int, source: str, image: str, attribute: str, word: str) -> HandLabel:
    if word.strip() not in WORDS:
        raise UserError(f"{path}, line {line}: '{word.strip()}' is neither yes nor no, in lower case")
    name = check_attribute(attribute.strip().lower(), f"{path}, line {line}")
    return HandLabel(source, image.strip(), name, WORDS[word.strip()], f"{path}, line {line}")


def check_attribute(name: str, where: str, known: Sequence[str] = ATTRIBUTES) -> str:
    """The name of an attribute, which becomes a word of conditions.

    :param where: file and line, or option, for the message
    :param known: names of which another is taken for a slip; by default those that are found without a hand
    :raises UserError: for one that cannot be a word, and for a misspelt one of the known
    """
    if not re.fullmatch(r"(?!no-)[a-z][a-z0-9_-]*", name):
        raise UserError(
            f"{where}: '{name}' cannot be an attribute: use letters, digits, - and _, without no- before it"
        )
    near = difflib.get_close_matches(name, known, n=1, cutoff=MISSPELT)
    if near and name not in known:
        raise UserError(f"{where}: there is no attribute '{name}'; did you mean '{near[0]}'?")
    return name


def with_hand_labels(images: ImageSet, labels: Sequence[HandLabel], everything: Callable[[], ImageSet]) -> ImageSet:
    """The images with labels by hand in place of what a rule or a classifier says, see the beginning of this file.

    :param everything: gives all images of the same sources, among them those of other classes and of the other part,
        which may be labelled but are not used here
    :raises UserError: when a label is of an image or a source that is not there
    """
    places = _places(images)
    attributes = dict(images.attributes)
    for name in dict.fromkeys(label.attribute for label in labels):
        values = attributes.get(name, np.full(len(images), UNKNOWN, np.int8)).copy()
        given = [label for label in labels if label.attribute == name]
        by_hand = np.isin(images.sources, [_source(label, images) for label in given])
        values[by_hand & (values == YES)] = UNKNOWN
        for label in given:
            place = places.get((_source(label, images), label.image))
            if place is not None:
                values[place] = label.value
        attributes[name] = values
    absent = [label for label in labels if (_source(label, images), label.image) not in places]
    if absent:
        others = everything()
        known = _places(others)
        for label in absent:
            source = others.source_names[_source(label, others)]
            if (_source(label, others), label.image) not in known:
                names = others.known_names[others.sources == _source(label, others)]
                example = f", which has {names[0]} to {names[-1]}" if len(names) else ""
                raise UserError(f"{label.where}: there is no image '{label.image}' in {source}{example}")
    return replace(images, attributes=attributes)


def _places(images: ImageSet) -> dict[tuple[int, str], int]:
    """The place of each image by its source and name."""
    keys = zip(images.sources.tolist(), images.known_names.tolist(), strict=True)
    return {key: place for place, key in enumerate(keys)}


def _source(label: HandLabel, images: ImageSet) -> int:
    """The number of a label's source."""
    names = images.source_names
    if not label.source and len(names) == 1:
        return 0
    if label.source not in names:
        which = f"no source '{label.source}'" if label.source else "several sources"
        raise UserError(
            f"{label.where}: there are {which}; say whose images are labelled, as in --labels {names[0]}=FILE"
            f" (sources: {', '.join(names)}){nearest(label.source, names)}"
        )
    return names.index(label.source)
