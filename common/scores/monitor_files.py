"""Files in the format of Stable-Baselines3's Monitor: a JSON line, a header, one row per episode.

Credits: Stable-Baselines3 (A. Raffin et al. 2021) for the file format, and for merging the files of one run by the time
at which each episode finished, as in its load_results.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.scores.log_records import LARGEST
from common.scores.log_text import Tally, TextLines

_LONGEST_NUMBER = 16  # digits
HEAD = 10_000  # bytes of a file that show whether it is a Monitor file


@dataclass(frozen=True, eq=False)
class MonitorScores:
    """The content of the monitor files of one run.

    :param scores: shape (n,), points, finite, in the order in which the games finished
    :param lengths: shape (n,), int64, agent steps; None if a row does not have it
    :param environment: the environment's id, if it is in a file
    :param warnings: irregularities, one sentence each
    """

    scores: NDArray[np.float64]
    lengths: NDArray[np.int64] | None
    environment: str | None
    warnings: tuple[str, ...]


def is_monitor(head: bytes) -> bool:
    """Whether a file is a Monitor file.

    :param head: its first ``HEAD`` bytes
    """
    lines = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    first = lines.lstrip().splitlines()[:2]
    return any(line.startswith("#{") or _is_header(line.split(",")) for line in first)


def parse_monitors(texts: Sequence[TextLines]) -> MonitorScores:
    """The scores in one or several monitor files of one run; rows that cannot be read give warnings.

    Column ``r`` is the score; ``t``, seconds since the file's ``t_start``, orders the games of several files.

    :raises UserError: when a file cannot be read, is empty or is binary (status 2)
    """
    unreadable = Tally("rows that could not be read")
    not_finite = Tally("rows with a score that is not a finite number")
    finished: list[tuple[float, float, int | None]] = []
    environment: str | None = None
    backwards = 0
    for text in texts:
        start = before = 0.0
        columns = ["r", "l", "t"]
        for each in text:
            number, line = each.number, each.text
            if line.startswith("#"):
                named, start = _first_line(line)
                environment = environment or named
                continue
            try:
                row = next(csv.reader([line]))
                if _is_header(row):
                    columns = [name.strip() for name in row]
                    continue
                values = dict(zip(columns, row, strict=True))
                score, time = float(values["r"]), float(values.get("t", before))
            except (csv.Error, KeyError, ValueError):
                unreadable.add(number, line)
                continue
            if not (abs(score) <= LARGEST and math.isfinite(time)):
                not_finite.add(number, line)
                continue
            backwards += time < before
            before = time
            finished.append((start + time, score, _length(values)))
    warnings = unreadable.warnings() + not_finite.warnings()
    if backwards:
        warnings.append(f"restart: the time goes back {backwards} times; all rows are kept in their order")
    if len(texts) > 1:
        finished.sort(key=lambda game: game[0])
        warnings.append(f"{len(texts)} monitor files merged by the time at which each game finished")
    scores = np.array([score for _, score, _ in finished], dtype=np.float64)
    known = [length for _, _, length in finished if length is not None]
    lengths = np.array(known, dtype=np.int64) if len(known) == len(finished) else None
    return MonitorScores(scores, lengths, environment, tuple(warnings))


def _length(values: Mapping[str, str]) -> int | None:
    """The length in a row, agent steps; None where it has none."""
    text = values.get("l", "").strip()
    return int(text) if text.isdecimal() and len(text) < _LONGEST_NUMBER else None


def _is_header(fields: Sequence[str]) -> bool:
    names = {name.strip() for name in fields}
    return "r" in names and bool({"l", "t"} & names)


def _first_line(line: str) -> tuple[str | None, float]:
    """The environment's id and the start time (seconds) in the JSON line; None and 0 if they are missing."""
    try:
        header = json.loads(line[1:])
        environment, start = header.get("env_id"), float(header.get("t_start", 0.0))
    except (AttributeError, RecursionError, TypeError, ValueError):
        return None, 0.0
    # Monitor writes str(None) for a vector environment.
    return (None if environment in (None, "None") else str(environment)), start if math.isfinite(start) else 0.0
