"""Streams of logs: what is written comes back, and no bytes do harm.

Credits: Hypothesis (D. R. MacIver et al. 2019), which makes up the logs.
"""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callbacks.marking_log import MARKING_LINE, PROGRESS_LINE
from common.errors import UserError
from common.scores.log_lines import EpisodeLine, MarkingLine
from common.scores.log_records import LogRecords, Record, Skipped
from common.scores.log_text import LONGEST_LINE
from common.scores.logs import ScoreLog, parse_log

AGENT_LINE = "episode: {}, reward: {}"  # the 2021 edition's starter code
quick = settings(max_examples=150, deadline=None, derandomize=True)

# Scores are multiples of 50 in Gravitar, and Python's floats in BipedalWalker.
points = st.integers(0, 200).map(lambda count: 50.0 * count)
rewards = st.floats(-1e6, 1e6, allow_nan=False)
line_ends = st.sampled_from(["\n", "\r\n", "\r"])
marks = st.sampled_from([b"", b"\xef\xbb\xbf"])
noise = st.sampled_from(
    [
        "UserWarning: overwriting existing videos",
        "Traceback (most recent call last):",
        '  File "x.py", line 3',
        "  ",
        "\t7",
    ]
)


def records(data: bytes) -> list[Record | Skipped]:
    return list(LogRecords(io.BytesIO(data), "log.txt"))


def parse(data: bytes) -> ScoreLog:
    return parse_log(io.BytesIO(data), Path("log.txt"))


def marking_log(scores: list[float], every: int) -> list[str]:
    lines, window = [], []
    for episode, score in enumerate(scores):
        window.append(score)
        if episode % every == 0:
            lines.append(MARKING_LINE.format(episode, score, np.mean(window), np.std(window)))
            window = []
        lines.append(PROGRESS_LINE.format(episode, score, 0.5))
    return lines


@quick
@given(st.lists(points, min_size=1, max_size=60), st.integers(1, 20), line_ends, marks, st.booleans())
@example([100.0], 10, "\r\n", b"\xef\xbb\xbf", False)
def test_a_marking_log_comes_back(scores: list[float], every: int, end: str, mark: bytes, final: bool) -> None:
    log = parse(mark + (end.join(marking_log(scores, every)) + (end if final else "")).encode())
    assert log.kind == "marking-2020"
    assert log.episodes.tolist() == list(range(len(scores)))
    assert log.scores.tolist() == scores
    # The windows are those of the writer: one episode, then `every` each.
    ends = list(range(0, len(scores), every))
    assert [window.episode for window in log.windows] == ends
    for window, first in zip(log.windows, [0, *(end + 1 for end in ends)], strict=False):
        covered = scores[first : window.episode + 1]
        assert window.mean == pytest.approx(np.mean(covered), abs=0.00501)
        assert window.std == pytest.approx(np.std(covered), abs=0.00501)


@quick
@given(st.lists(rewards, min_size=1, max_size=60), st.integers(0, 1), line_ends, marks, st.booleans())
def test_an_agent_log_comes_back(values: list[float], first: int, end: str, mark: bytes, final: bool) -> None:
    lines = [AGENT_LINE.format(number, value) for number, value in enumerate(values, first)]
    log = parse(mark + (end.join(lines) + (end if final else "")).encode())
    assert (log.kind, log.windows) == ("agent-2021", ())
    assert log.episodes.tolist() == list(range(first, first + len(values)))
    assert log.scores.tolist() == values  # exactly: Python writes floats so that they come back
    assert "no newline at the end: the last line may be cut" not in log.warnings  # the last line is whole


@quick
@given(st.lists(st.one_of(noise, rewards), max_size=50), line_ends, marks, st.booleans())
def test_every_line_is_a_record_or_skipped_with_its_place(
    mixture: list[str | float], end: str, mark: bytes, final: bool
) -> None:
    lines = [part if isinstance(part, str) else AGENT_LINE.format(k, part) for k, part in enumerate(mixture)]
    data = mark + (end.join(lines) + (end if final else "")).encode()
    wanted = [(k, part) for k, part in enumerate(mixture) if not isinstance(part, str) or part.strip()]
    if not wanted:
        with pytest.raises(UserError, match="is empty"):
            records(data)
        return
    found = records(data)
    assert len(found) == len(wanted)
    for record, (index, part) in zip(found, wanted, strict=True):
        assert data[record.line.start : record.line.end].decode() == lines[index] == record.line.text
        assert record.line.number == (1 if end == "\r" else index + 1)
        if isinstance(part, str):
            assert isinstance(record, Skipped) and record.reason == "no score"
        else:
            assert isinstance(record, Record) and isinstance(record.content, EpisodeLine)
            assert (record.content.episode, record.content.score) == (index, part)
    assert all(record.line.ended for record in found[:-1])
    assert found[-1].line.ended == (final or wanted[-1][0] < len(mixture) - 1)


@quick
@given(st.lists(rewards, min_size=3, max_size=40), st.data())
def test_restarts_and_gaps(values: list[float], data: st.DataObject) -> None:
    lines = [AGENT_LINE.format(number, value) for number, value in enumerate(values, 1)]
    again = data.draw(st.integers(1, len(values) - 1))  # a restart from this episode, with all that follows
    log = parse("\n".join([*lines, *lines[again - 1 :]]).encode())
    assert log.scores.tolist() == values
    assert any(each.startswith(f"restart at line {len(values) + 1}:") for each in log.warnings)
    missing = data.draw(st.integers(2, len(values) - 1))
    log = parse("\n".join(lines[: missing - 1] + lines[missing:]).encode())
    assert log.episodes.tolist() == [number for number in range(1, len(values) + 1) if number != missing]


@quick
@given(st.lists(points, min_size=2, max_size=30), st.integers(1, 200))
def test_a_cut_last_line_takes_nothing_else_with_it(scores: list[float], cut: int) -> None:
    lines = [PROGRESS_LINE.format(number, score, 0.5) for number, score in enumerate(scores)]
    data = "\n".join(lines).encode()
    kept = data[: len(data) - min(cut, len(lines[-1]))]
    found = [record for record in records(kept) if isinstance(record, Record)]
    assert [record.content.score for record in found][: len(scores) - 1] == scores[:-1]
    # What the cut line still gives is marked as the last one without a line end.
    assert all(not record.line.ended for record in found[len(scores) - 1 :])


@quick
@given(
    st.one_of(
        st.binary(max_size=400),
        st.text(max_size=200).map(str.encode),
        st.text(max_size=100).map(lambda text: b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass")),
        st.lists(
            st.sampled_from([b"marking, ", b"episode: ", b"score: ", b"1", b"nan", b"\n", b"\r", b"\xff", b"-", b","])
        ).map(b"".join),
    )
)
def test_no_bytes_raise_anything_but_the_documented_error(data: bytes) -> None:
    try:
        found = records(data)
    except UserError as error:
        assert "log.txt" in str(error)
        return
    assert all(0 <= record.line.start < record.line.end <= len(data) for record in found)
    try:
        log = parse(data)
    except UserError:
        assert not any(isinstance(record, Record) for record in found)
    else:
        assert log.episodes.size


def test_utf16_offsets_are_those_of_the_file() -> None:
    text = "episode: 1, reward: 2.5\r\nwarning \U0001f600\r\nepisode: 2, reward: 3.5"
    data = b"\xff\xfe" + text.encode("utf-16-le")
    found = records(data)
    assert [data[one.line.start : one.line.end].decode("utf-16-le") for one in found] == text.split("\r\n")
    assert [one.line.number for one in found] == [1, 2, 3]


def test_lines_across_chunks() -> None:
    lines = [AGENT_LINE.format(number, number / 7) for number in range(1, 20_001)]
    data = "\r\n".join(lines).encode()  # 800 kB
    found = records(data)
    assert [one.line.text for one in found] == lines
    assert data[found[-1].line.start :].decode() == lines[-1]


class Endless(io.RawIOBase):
    """A file of a gigabyte that exists nowhere."""

    def __init__(self, content: bytes, size: int = 10**9) -> None:
        self.content, self.left, self.given = content, size, 0

    def read(self, size: int = -1) -> bytes:
        part = (self.content * (size // len(self.content) + 1))[: min(size, self.left)]
        self.left -= len(part)
        self.given += len(part)
        return part


def test_a_long_line_and_a_long_file_need_little_memory() -> None:
    stream = Endless(b"x" * 1000, 100_000_000)  # one line
    tracemalloc.start()
    found = list(LogRecords(stream, "log.txt"))  # type: ignore[arg-type]
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert (len(found), len(found[0].line.text), found[0].line.end) == (1, LONGEST_LINE, 100_000_000)


def test_reading_ends_where_it_is_told() -> None:
    stream = Endless(b"episode: 1, score: 50.0\n")
    log = parse_log(stream, Path("log.txt"), most_bytes=2400)  # type: ignore[arg-type]
    assert log.scores.tolist() == [50.0]
    assert stream.given < 100_000
    assert "the file is longer than what is read of it" in log.warnings
    lines = b"".join(b"episode: %d, score: 50.0\n" % number for number in range(1000))
    log = parse_log(io.BytesIO(lines), Path("log.txt"), most_records=10)
    assert log.episodes.tolist() == list(range(10))
    assert "the file is longer than what is read of it" in log.warnings


def test_reasons() -> None:
    lines = [
        "hello",
        "episode: 3, score: None",
        "marking, episode: 3",
        "episode: 3, score: nan",
        "episode: 3, score: 5",
    ]
    found = records("\n".join(lines).encode())
    reasons = ["no score", "unreadable score", "unreadable marking line", "score not finite"]
    assert [one.reason for one in found if isinstance(one, Skipped)] == reasons
    marking = records(MARKING_LINE.format(100, 50.0, 1.5, 2.25).encode())[0]
    assert isinstance(marking, Record)
    assert marking.content == MarkingLine(100, 50.0, 1.5, 2.25, exact=True, prefixed=False)
