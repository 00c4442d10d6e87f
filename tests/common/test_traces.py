"""Trace files: what is written comes back, and whatever is damaged is named with its line."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.traces import Trace, TracedEpisode, TraceHeader, find_episode, read_episodes, read_header

HEADER = TraceHeader(
    "ALE/Gravitar-v5",
    {"frameskip": 4, "name": "Gravitär"},
    {"game": "gravitar", "frame_skip": [2, 5], "sticky": 0.25},
    {"ale-py": "0.12.1"},
)
NOTHING = np.zeros(0, np.uint8)
EPISODES = [
    TracedEpisode(0, 850.0, 5, Trace(2**32 - 1, np.array([1, 0, 0], np.uint8), np.array([0, 17, 2, 2, 255], np.uint8))),
    TracedEpisode(1, -0.1, 3, Trace(0, NOTHING, np.array([-3, 2**40, 0], np.int64))),
    TracedEpisode(2, 1e-7, 2, Trace(7, NOTHING, np.array([[0.1, -1.0], [np.pi, 0.0]], np.float32))),
    TracedEpisode(7, 0.0, 0, Trace(7, NOTHING, NOTHING)),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "episodes.jsonl"
    path.write_text(HEADER.line() + "".join(episode.line() for episode in EPISODES))
    return path


def assert_same(one: TracedEpisode, other: TracedEpisode) -> None:
    assert (one.episode, one.score, one.length, one.trace.seed) == (
        other.episode, other.score, other.length, other.trace.seed
    )  # fmt: skip
    for ours, theirs in ((one.trace.start, other.trace.start), (one.trace.actions, other.trace.actions)):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and np.array_equal(ours, theirs)


def test_what_is_written_comes_back(path: Path) -> None:
    assert read_header(path) == HEADER
    read = list(read_episodes(path))
    assert len(read) == len(EPISODES)
    for one, other in zip(read, EPISODES, strict=True):
        assert_same(one, other)
        # Once more from what was read, byte by byte.
        assert one.line() == other.line()


def test_a_line_by_hand() -> None:
    """The format, worked out with the standard library alone."""
    line = EPISODES[0].line()
    assert line.endswith("}\n") and line.count("\n") == 1
    actions = bytes([0, 17, 2, 2, 255])
    content = json.loads(line)
    packed = content.pop("actions")
    assert zlib.decompress(base64.b85decode(packed)) == actions
    assert content == {
        "episode": 0, "score": 850.0, "length": 5, "seed": 4_294_967_295, "start": [1, 0, 0],
        "dtype": "uint8", "shape": [5], "crc": zlib.crc32(actions),
    }  # fmt: skip


def test_arrays_that_are_not_contiguous() -> None:
    actions = np.arange(20, dtype=np.float32).reshape(10, 2)[::2]
    content = json.loads(TracedEpisode(0, 0.0, 5, Trace(1, NOTHING, actions)).line())
    data = zlib.decompress(base64.b85decode(content["actions"]))
    assert np.array_equal(np.frombuffer(data, np.float32).reshape(content["shape"]), actions)


def test_a_header_without_a_game(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_text(TraceHeader("CartPole-v1").line())
    assert read_header(path) == TraceHeader("CartPole-v1", {}, None, {})
    assert list(read_episodes(path)) == []


def test_an_episode_by_its_number(path: Path) -> None:
    assert_same(find_episode(path, 2), EPISODES[2])
    assert_same(find_episode(path, 7), EPISODES[3])
    with pytest.raises(UserError, match="has no episode 8: it has 0 to 7") as error:
        find_episode(path, 8)
    assert error.value.status == 2
    path.write_text(HEADER.line())
    with pytest.raises(UserError, match="has no episode 0: no episode has finished yet"):
        find_episode(path, 0)


def test_an_episode_before_the_damage_is_found(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert_same(find_episode(path, 1), EPISODES[1])


@pytest.mark.parametrize("cut", [1, 2, 40, 120])
def test_a_truncated_file_names_the_line(path: Path, cut: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    episodes = read_episodes(path)
    for expected in EPISODES[:3]:
        assert_same(next(episodes), expected)
    with pytest.raises(UserError, match=r"episodes\.jsonl, line 5: the trace is truncated or damaged") as error:
        next(episodes)
    assert error.value.status == 2 and "\n" not in str(error.value)


def changed(line: str, **changes: object) -> str:
    return json.dumps({**json.loads(line), **changes}) + "\n"


LINE = EPISODES[0].line()
OTHER = json.loads(TracedEpisode(0, 0.0, 5, Trace(1, NOTHING, np.array([0, 17, 2, 3, 255], np.uint8))).line())


@pytest.mark.parametrize(
    "line",
    [
        changed(LINE, actions=OTHER["actions"]),  # one action is another: the checksum notices
        changed(LINE, crc=1),
        changed(LINE, shape=[4]),
        changed(LINE, shape="five"),
        changed(LINE, dtype="O"),
        changed(LINE, dtype="U5"),
        changed(LINE, dtype="nonsense"),
        changed(LINE, dtype=3),
        changed(LINE, actions="~~~"),
        changed(LINE, actions=17),
        changed(LINE, actions=base64.b85encode(b"not zlib").decode()),
        changed(LINE, actions="ä"),
        changed(LINE, start=[300]),
        changed(LINE, start="fire"),
        changed(LINE, start=[[1], [2, 3]]),
        changed(LINE, seed="abc"),
        changed(LINE, seed=float("inf")),
        changed(LINE, score=None),
        changed(LINE, length=[1]),
        json.dumps({key: value for key, value in json.loads(LINE).items() if key != "seed"}) + "\n",
        "[1, 2]\n",
        "\n",
        "not json\n",
        "\x00\x01\n",
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_text(HEADER.line() + LINE + line)
    with pytest.raises(UserError, match=r"episodes\.jsonl, line 3: the trace is .*damaged") as error:
        list(read_episodes(path))
    assert error.value.status == 2 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"r,l,t\n1,2,3\n",
        b"marking, episode: 0, score: 1.0, mean_score: 1.00, std_score: 0.00\n",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"\xff\xfe{\x00",
        b"[]\n",
        b"{}\n",
        b'{"format": "episode-trace-99"}\n',
    ],
)
def test_files_that_are_no_traces(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_bytes(content)
    for read in (read_header, lambda path: list(read_episodes(path))):
        with pytest.raises(UserError, match=r"episodes\.jsonl is not a trace file") as error:
            read(path)
        assert error.value.status == 2 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes", [{"env_kwargs": 3}, {"game": "gravitar"}, {"versions": ["0.12"]}, {"env_kwargs": None}, "env_id"]
)
def test_a_garbled_header_is_named(tmp_path: Path, changes: dict[str, object] | str) -> None:
    path = tmp_path / "episodes.jsonl"
    content = json.loads(HEADER.line())
    if isinstance(changes, str):
        del content[changes]
    else:
        content.update(changes)
    path.write_text(json.dumps(content) + "\n")
    with pytest.raises(UserError, match=r"episodes\.jsonl, line 1: the header lacks or garbles"):
        read_header(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the trace .*no\.jsonl: No such file or directory"):
        read_header(tmp_path / "no.jsonl")
    with pytest.raises(UserError, match=r"cannot read the trace .*: Is a directory"):
        read_header(tmp_path)


def test_actions_that_unpack_to_more_than_they_say_are_refused(path: Path) -> None:
    line = json.loads(EPISODES[0].line())
    bomb = zlib.compress(bytes(50_000_000), 9)
    for changes, message in (
        ({"actions": base64.b85encode(bomb).decode()}, "length of the actions"),
        ({"shape": [2**40], "actions": base64.b85encode(bomb).decode()}, "bytes of actions"),
        ({"shape": [-5]}, "bytes of actions"),
        ({"actions": base64.b85encode(zlib.compress(bytes(5))[:-2]).decode()}, "length of the actions"),
    ):
        path.write_text(HEADER.line() + json.dumps({**line, **changes}) + "\n")
        tracemalloc.start()
        with pytest.raises(UserError, match=message):
            list(read_episodes(path))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()
