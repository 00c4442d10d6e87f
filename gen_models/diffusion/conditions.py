"""Conditions of a denoiser: classes, attributes and sources, as words and as indices of its embeddings.

Labels are int64 tensors of shape (B, C): one column for the class, one for each attribute, one for the source. In every
column 0 is the null label: no condition. Class k of the vocabulary is k + 1; an attribute's no is 1 and its yes is 2;
source k is k + 1. The null is therefore never one of the values.

Credits: Ho and Salimans 2022 (arXiv 2207.12598) for a null in place of a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import UserError, nearest

NULL = 0
NO = 1
YES = 2


@dataclass(frozen=True)
class Condition:
    """A condition on class, attributes and source.

    :param name: as the user wrote it
    :param values: one label per column, 0 for the null
    """

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class Vocabulary:
    """The words that a denoiser knows.

    :param classes: names of the classes, such as horse and bird
    :param attributes: names of the attributes, such as white and spread
    :param sources: names of the data sets that the images came from; empty where all come from one
    :param regions: what a pixel of a label map may be, as conditions on the class and attributes, such as horse and
        bird+spread; empty where the denoiser has no label maps
    :raises UserError: for a name that cannot be asked for, or that stands for two things
    """

    classes: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        negated = (f"no-{name}" for name in self.attributes)
        words = [word.lower() for word in (*self.classes, *self.attributes, *negated, *self.sources)]
        for word in words:
            if not word.strip() or word != word.strip() or not word.isprintable() or set(word) & set("+,="):
                raise UserError(f"'{word}' cannot be asked for as a condition; rename it, without the signs + , =")
        double = sorted({word for word in words if words.count(word) > 1})
        if double:
            raise UserError(f"a condition's name stands for two things: {', '.join(double)}; rename one of them")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the label columns."""
        return ("class", *self.attributes, "source")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each column, the null included."""
        return (len(self.classes) + 1, *(3 for _ in self.attributes), len(self.sources) + 1)

    @property
    def null(self) -> Condition:
        """The condition with a null in every column."""
        return Condition("unconditional", (NULL,) * len(self.columns))

    def parse(self, text: str) -> Condition:
        """Parse words joined by ``+``, as in ``horse+white``; ``no-white`` is the opposite of ``white``.

        :raises UserError: for an unknown word, or two words about the same column
        """
        values = [NULL] * len(self.columns)
        for word in (part.strip().lower() for part in text.split("+")):
            column, value = self._place(word, text)
            if values[column] not in (NULL, value):
                raise UserError(f"the condition '{text}' says two things about the {self.columns[column]}; choose one")
            values[column] = value
        return Condition(text, tuple(values))

    @property
    def words(self) -> dict[str, tuple[int, int]]:
        """Column and value of each word, in lower case."""
        places = {name.lower(): (0, index + 1) for index, name in enumerate(self.classes)}
        for column, name in enumerate(self.attributes, start=1):
            places |= {name.lower(): (column, YES), f"no-{name.lower()}": (column, NO)}
        return places | {name.lower(): (len(self.columns) - 1, index + 1) for index, name in enumerate(self.sources)}

    def _place(self, word: str, text: str) -> tuple[int, int]:
        places = self.words
        if word not in places:
            where = "" if word == text else f" in '{text}'"
            raise UserError(f"unknown condition '{word}'{where} (known: {', '.join(places)}){nearest(word, places)}")
        return places[word]

    def labels(self, classes: Tensor, attributes: Mapping[str, Tensor], sources: Tensor) -> Tensor:
        """The labels of images.

        :param classes: (N,) from 0, or -1 where the class is not known
        :param attributes: (N,) by name: 1 yes, 0 no, -1 not known
        :param sources: (N,) from 0; ignored where the vocabulary has no sources
        :return: int64 (N, C)
        """
        sources = sources if self.sources else torch.full_like(sources, -1)
        columns = [classes, *(attributes[name] for name in self.attributes), sources]
        return torch.stack([column.to(torch.int64) + 1 for column in columns], dim=1)


def drop(labels: Tensor, probabilities: Sequence[float], generator: torch.Generator, together: float = 0.0) -> Tensor:
    """Replace labels by nulls at random, independently in each column.

    :param labels: int64 (B, C)
    :param probabilities: of a null in each column, 0 to 1
    :param generator: on the CPU
    :param together: the additional probability of nulls in all columns of an image at once
    :return: int64 (B, C), a new tensor
    """
    limits = torch.tensor(probabilities, dtype=torch.float32)
    dropped = torch.rand(labels.shape, generator=generator) < limits
    dropped |= torch.rand((len(labels), 1), generator=generator) < together
    return torch.where(dropped.to(labels.device), NULL, labels)
