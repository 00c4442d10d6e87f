"""Traces: the seed and the actions of every finished episode, with which it can be replayed exactly.

A trace file is text with one JSON object per line. The first line describes the environment; every further line is an
episode. Lines are only appended, so a truncated file has lost at most a part of its last line. The actions are
compressed with zlib and encoded in base 85: Gravitar takes about 0.6 bytes per action.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

FORMAT = "episode-trace-1"
MOST_BYTES = 100_000_000  # of an episode's actions


@dataclass(frozen=True)
class Trace:
    """Everything that determines an episode of a given environment.

    :param seed: seed of the episode's reset
    :param start: action indices before the agent's first action, one frame each, uint8 (S,)
    :param actions: the agent's actions, uint8 or int64 (L,) for discrete ones, float32 (L, A) for continuous ones
    """

    seed: int
    start: NDArray[Any]
    actions: NDArray[Any]


@dataclass(frozen=True)
class TraceHeader:
    """The environment of a trace file's episodes.

    :param env_id: id for ``gymnasium.make``
    :param env_kwargs: its keyword arguments, ready for JSON
    :param game: settings of the emulator for Atari games (``rl.envs.atari_game.GameSettings`` as a dictionary), else
        None
    :param versions: versions of the packages on which a replay depends, such as ``{"ale-py": "0.12.1"}``
    :param note: how the episodes came about, if not by an agent's play; it is the title of their videos
    """

    env_id: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    game: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def line(self) -> str:
        """The first line of a trace file."""
        content = {
            "format": FORMAT,
            "env_id": self.env_id,
            "env_kwargs": self.env_kwargs,
            "game": self.game,
            "versions": self.versions,
            **({"note": self.note} if self.note else {}),
        }
        return json.dumps(content) + "\n"


@dataclass(frozen=True)
class TracedEpisode:
    """One line of a trace file: an episode's number, score in points, length in agent steps, and its trace."""

    episode: int
    score: float
    length: int
    trace: Trace

    def line(self) -> str:
        """The episode as a line of a trace file."""
        actions = np.ascontiguousarray(self.trace.actions)
        content = {
            "episode": self.episode,
            "score": self.score,
            "length": self.length,
            "seed": self.trace.seed,
            "start": self.trace.start.tolist(),
            "dtype": str(actions.dtype),
            "shape": list(actions.shape),
            "crc": zlib.crc32(actions.tobytes()),
            "actions": base64.b85encode(zlib.compress(actions.tobytes(), 9)).decode(),
        }
        return json.dumps(content) + "\n"


def read_header(path: Path) -> TraceHeader:
    """The first line of a trace file.

    :raises UserError: when the file cannot be read or is not a trace file
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise UserError(f"cannot read the trace {path}: {error.strerror}") from error
    content = _parse(first)
    if content is None or content.get("format") != FORMAT:
        raise UserError(f'{path} is not a trace file (its first line must say "format": "{FORMAT}")')
    try:
        return TraceHeader(
            env_id=str(content["env_id"]),
            env_kwargs=dict(content["env_kwargs"]),
            game=None if content["game"] is None else dict(content["game"]),
            versions={str(name): str(version) for name, version in content["versions"].items()},
            note=str(content.get("note", "")),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(f"{path}, line 1: the header lacks or garbles {error}") from error


def read_episodes(path: Path) -> Iterator[TracedEpisode]:
    """All episodes of a trace file, in the order in which they finished.

    :raises UserError: at a truncated or damaged line; the message has its number
    """
    read_header(path)
    with path.open("rb") as file:
        file.readline()
        for number, line in enumerate(file, start=2):
            yield _episode(line, f"{path}, line {number}")


def find_episode(path: Path, episode: int) -> TracedEpisode:
    """One episode by its number.

    :raises UserError: when the file has no such episode; the message has the range of its episodes
    """
    last = -1
    for traced in read_episodes(path):
        if traced.episode == episode:
            return traced
        last = max(last, traced.episode)
    has = f"it has 0 to {last}" if last >= 0 else "no episode has finished yet"
    raise UserError(f"{path} has no episode {episode}: {has}")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _inflated(packed: bytes, size: int) -> bytes:
    """Unpack data of a known size, and no more of it.

    :raises ValueError: when it has another size, or the size is out of all proportion
    """
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"{size} bytes of actions")
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(packed, size + 1)
    if len(data) != size or not unpacker.eof:
        raise ValueError("length of the actions")
    return data


def _episode(line: bytes, where: str) -> TracedEpisode:
    content = _parse(line)
    if content is None or not line.endswith(b"\n"):
        raise UserError(f"{where}: the trace is truncated or damaged")
    try:
        dtype = np.dtype(content["dtype"])
        if dtype.kind not in "uif":
            raise ValueError(f"actions of type {dtype}")
        data = _inflated(base64.b85decode(content["actions"]), dtype.itemsize * math.prod(content["shape"]))
        if zlib.crc32(data) != content["crc"]:
            raise ValueError("checksum of the actions")
        actions = np.frombuffer(data, dtype).reshape(content["shape"])
        trace = Trace(int(content["seed"]), np.array(content["start"], np.uint8), actions)
        return TracedEpisode(int(content["episode"]), float(content["score"]), int(content["length"]), trace)
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, zlib.error) as error:
        raise UserError(f"{where}: the trace is damaged ({error})") from error
