"""The archive of an explorer: for each cell the best state that was found in it, and how it was reached.

A state takes about 1 kB: the numbers of the emulator's random generators, most of ALE's 14 kB, are the same for many
states and kept once.

Credits: A. Ecoffet et al. 2021 (arXiv 2004.12919), Go-Explore: the archive, and the choice of cells by what they
promise and how often they were visited.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.npz import join_texts, split_texts
from rl.exploration.games import Cell, Moment

CANDIDATES = 24  # cells drawn at random, the most promising of which is chosen
VISIT_COST = 10.0  # points by which each visit lessens a cell's promise
FORGOTTEN = 0.1  # share of the cells that is dropped when the archive is full

_WORDS = re.compile(rb"(?:\d+ ){624}")


class State(NamedTuple):
    """A state of the emulator in parts.

    :param body: ALE's bytes without the generators' words, compressed
    :param words: the words of each generator
    """

    body: bytes
    words: tuple[bytes, ...]


class StateParts:
    """Takes states apart and puts them together.

    ALE writes the words as text behind the text's length, so only the example has to be searched for them.

    :param example: a state of the emulator
    """

    def __init__(self, example: bytes) -> None:
        spans = [match.span() for match in _WORDS.finditer(example)]
        ends = [0, *(end for _, end in spans)]
        self._gaps = [begin - end for (begin, _), end in zip(spans, ends, strict=False)]

    def split(self, state: bytes) -> State:
        """The parts of a state with as many generators as the example."""
        rest, words, position = [], [], 0
        for gap in self._gaps:
            begin = position + gap
            length = int.from_bytes(state[begin - 4 : begin], "little")
            end = state.rindex(b" ", begin, begin + length) + 1
            rest.append(state[position:begin])
            words.append(state[begin:end])
            position = end
        body = b"".join([*rest, state[position:]])
        return State(zlib.compress(body, 1), tuple(words))

    def join(self, state: State) -> bytes:
        """The bytes of a state."""
        body, parts, position = zlib.decompress(state.body), [], 0
        for gap, words in zip(self._gaps, state.words, strict=True):
            parts += [body[position : position + gap], words]
            position += gap
        return b"".join([*parts, body[position:]])


class Lineage:
    """Actions that lead from one state to another; together with its ancestors', from the start of the game.

    :param parent: leads to the first of the two states; None at the start of the game
    :param actions: uint8 indices, as bytes
    """

    __slots__ = ("actions", "parent")

    def __init__(self, parent: Lineage | None, actions: bytes) -> None:
        self.parent = parent
        self.actions = actions

    def all_actions(self) -> bytes:
        """All actions since the start of the game."""
        parts: list[bytes] = []
        line: Lineage | None = self
        while line is not None:
            parts.append(line.actions)
            line = line.parent
        return b"".join(reversed(parts))


@dataclass(slots=True)
class Entry:
    """The best state of a cell.

    :param moment: what the game's RAM says of it
    :param state: the emulator's
    :param last_action: the action before it
    :param line: the actions that led to it
    :param visits: how often the cell was chosen
    """

    moment: Moment
    state: State
    last_action: int
    line: Lineage
    visits: int = 0

    @property
    def promise(self) -> float:
        """What the choice of a cell goes by, in points."""
        return self.moment.promise - VISIT_COST * self.visits


class Archive:
    """Cells and their best states.

    :param max_cells: the largest number of cells; when it is reached, the least promising tenth is forgotten
    """

    def __init__(self, max_cells: int) -> None:
        self.max_cells = max_cells
        self.entries: list[Entry] = []
        self._index: dict[Cell, int] = {}
        self._words: dict[bytes, bytes] = {}
        self._best: Entry | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def offer(self, entry: Entry) -> bool:
        """Keep a state if its cell is new, or if it has more lives and fuel than the cell's state.

        :return: whether it is kept
        """
        cell = entry.moment.cell
        position = self._index.get(cell)
        known = None if position is None else self.entries[position]
        if known is not None and entry.moment.reserve <= known.moment.reserve:
            return False
        entry.state = State(entry.state.body, tuple(self._words.setdefault(text, text) for text in entry.state.words))
        if known is None or position is None:
            if len(self.entries) >= self.max_cells:
                self._forget()
            self._index[cell] = len(self.entries)
            self.entries.append(entry)
        else:
            entry.visits = known.visits
            self.entries[position] = entry
        if self._best is None or _rank(entry) > _rank(self._best):
            self._best = entry
        return True

    def choose(self, generator: np.random.Generator) -> Entry:
        """The cell to explore from: the most promising of some drawn at random. Counts as a visit."""
        drawn = generator.integers(len(self.entries), size=CANDIDATES)
        chosen: Entry = max((self.entries[number] for number in drawn.tolist()), key=lambda entry: entry.promise)
        chosen.visits += 1
        return chosen

    def best(self) -> Entry:
        """The state with the highest score, of these the one with the most lives and fuel."""
        assert self._best is not None  # it holds the start of the game from the beginning
        return self._best

    def _forget(self) -> None:
        keep = self.max_cells - max(1, round(FORGOTTEN * self.max_cells))
        order = sorted(range(len(self.entries)), key=lambda number: self.entries[number].promise, reverse=True)
        kept = {*order[:keep]}
        self.entries = [entry for number, entry in enumerate(self.entries) if number in kept or entry is self._best]
        self._index = {entry.moment.cell: number for number, entry in enumerate(self.entries)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, of which ``from_arrays`` makes it again."""
        lines = _with_ancestors([entry.line for entry in self.entries])
        numbers = {id(line): number for number, line in enumerate(lines)}
        words = list(dict.fromkeys(text for entry in self.entries for text in entry.state.words))
        word_numbers = {text: number for number, text in enumerate(words)}
        parents = [-1 if line.parent is None else numbers[id(line.parent)] for line in lines]
        return {
            "max_cells": np.array(self.max_cells),
            "stages": np.array([entry.moment.stage for entry in self.entries], np.int32),
            "positions": np.array([entry.moment.position for entry in self.entries], np.int32),
            "moments": np.array([entry.moment[2:] for entry in self.entries], np.int32),
            "visits": np.array([entry.visits for entry in self.entries], np.int32),
            "last_actions": np.array([entry.last_action for entry in self.entries], np.uint8),
            "entry_lines": np.array([numbers[id(entry.line)] for entry in self.entries], np.int32),
            "entry_words": np.array(
                [[word_numbers[text] for text in entry.state.words] for entry in self.entries], np.int32
            ),
            "parents": np.array(parents, np.int32),
            **join_texts("bodies", [entry.state.body for entry in self.entries]),
            **join_texts("words", words),
            **join_texts("actions", [line.actions for line in lines]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Archive:
        """The archive that ``arrays`` was called on.

        :raises ValueError: when the arrays do not fit each other
        :raises KeyError: when one is missing
        """
        archive = cls(int(arrays["max_cells"]))
        words = split_texts("words", arrays)
        lines: list[Lineage] = []
        for parent, actions in zip(arrays["parents"].tolist(), split_texts("actions", arrays), strict=True):
            if not -1 <= parent < len(lines):
                raise ValueError("a lineage comes before the one that it continues")
            lines.append(Lineage(lines[parent] if parent >= 0 else None, actions))
        names = ("stages", "positions", "moments", "visits", "last_actions", "entry_lines")
        columns = (arrays[name].tolist() for name in names)
        rows = zip(*columns, arrays["entry_words"].tolist(), split_texts("bodies", arrays), strict=True)
        for stage, position, moment, visits, last_action, line, numbers, body in rows:
            state = State(body, tuple(words[number] for number in numbers))
            seen = Moment(tuple(stage), tuple(position), *moment)
            archive.offer(Entry(seen, state, last_action, lines[line], visits))
        return archive


def _with_ancestors(lines: Sequence[Lineage]) -> list[Lineage]:
    """The lines and all that they continue, each once and after the one that it continues."""
    found: dict[int, Lineage] = {}
    for line in lines:
        missing = []
        step: Lineage | None = line
        while step is not None and id(step) not in found:
            missing.append(step)
            step = step.parent
        found |= {id(one): one for one in reversed(missing)}
    return list(found.values())


def _rank(entry: Entry) -> tuple[int, int]:
    return entry.moment.score, entry.moment.reserve
