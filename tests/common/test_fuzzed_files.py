"""Every reader of a file gets nonsense: texts of all kinds, and real files with bytes changed, cut or repeated.

Nothing but documented errors comes out: a line for the user, or a warning.

Credits: Hypothesis for the nonsense.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callbacks.marking_log import MARKING_LINE
from common.checkpoints import damage, latest_checkpoint, write_checkpoint
from common.errors import UserError
from common.npz import pack_arrays, unpack_arrays
from common.records import plain
from common.run_folder import read_settings
from common.scores.logs import read_log
from common.traces import Trace, TracedEpisode, TraceHeader, read_episodes
from gen_models.classifiers.hand_labels import read_labels
from gen_models.diffusion.samples import Origin, Samples
from gen_models.images.loaders import load_npz
from gen_models.options import TrainSettings as DenoiserOptions
from gen_models.request import SampleRequest
from gen_models.training.settings import RunSettings as DenoiserRun
from gen_models.training.settings import resolve as resolve_denoiser
from rl.options import TrainSettings as AgentOptions
from rl.settings import RunSettings as AgentRun
from rl.settings import resolve as resolve_agent
from rl.zoo.config import load_config, parse_block

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DEEP = 20_000


def npz() -> bytes:
    arrays = {
        "images": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.array([0, 1, 0, 1]),
        "class_names": np.array(["horse", "bird"]),
    }  # fmt: skip
    return pack_arrays(arrays, compress=True)


def samples() -> bytes:
    arrays = {
        "images": np.zeros((2, 8, 8, 3), np.uint8), "indices": np.array([0, 1]),
        "request": np.array(json.dumps(plain(SampleRequest("horse=1")))),
        "origin": np.array(json.dumps(plain(Origin("a", "step-1", True, "0", 2, "cpu")))),
    }  # fmt: skip
    return pack_arrays(arrays, compress=False)


def traces() -> bytes:
    trace = Trace(7, np.zeros(0, np.uint8), np.arange(50, dtype=np.uint8))
    return (TraceHeader("ALE/Gravitar-v5").line() + TracedEpisode(0, 50.0, 50, trace).line()).encode()


def marking_log() -> bytes:
    lines = [MARKING_LINE.format(k, 100.0, 150.0, 20.0) for k in range(0, 500, 100)]
    return "\n".join([*lines, "episode: 5, score: 50.0", "episode: 10, score: 0.0, epsilon: 0.5"]).encode()


MONITOR = b'#{"t_start": 0, "env_id": "ALE/Gravitar-v5"}\nr,l,t\n50.0,10,1.0\n100.0,20,2.5\n'
CONFIG = b"atari: &a\n  policy: MlpPolicy\n  n_timesteps: !!float 1e6\n  learning_rate: lin_2.5e-4\nx:\n  <<: *a\n"
READERS: dict[str, tuple[bytes, str, Callable[[Path], object]]] = {
    "settings of an agent": (
        resolve_agent(AgentOptions(preset="smoke")).to_yaml().encode(), "settings.yml", AgentRun.from_yaml
    ),
    "settings of a denoiser": (
        resolve_denoiser(DenoiserOptions(preset="smoke")).to_yaml().encode(), "settings.yml", DenoiserRun.from_yaml
    ),
    "hyperparameters": (
        CONFIG, "ppo.yml",
        lambda path: [parse_block(block, "ppo", key) for key, block in load_config(path).items()],
    ),
    "trace": (traces(), "episodes.jsonl", lambda path: list(read_episodes(path))),
    "monitor": (MONITOR, "monitor.csv", read_log),
    "log": (marking_log(), "gravitar-log.txt", read_log),
    "samples": (samples(), "samples.npz", Samples.load),
    "images": (npz(), "images.npz", lambda path: load_npz(path, 8)),
    "labels by hand": (b"image,attribute,label\n3,spread,yes\n4,white,no\n", "labels.csv",
                       lambda path: read_labels((str(path),))),
}  # fmt: skip


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[bytes, Callable[[bytes], None]]:
    """A whole file, and a function that reads another content in its place."""
    content, name, function = READERS[request.param]
    path = tmp_path / name

    def read(changed: bytes) -> None:
        path.write_bytes(changed)
        try:
            function(path)
        except UserError as error:
            assert "\n" not in str(error) and error.status in (1, 2)

    return content, read


@given(data=st.data())
@MANY
def test_changed_bytes(reader: tuple[bytes, Callable[[bytes], None]], data: st.DataObject) -> None:
    content, read = reader
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1)) if changed else 0
        length = data.draw(st.integers(0, 8))
        changed[place : place + length] = data.draw(st.binary(max_size=8))
    read(bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed))


@given(text=st.one_of(st.text(max_size=200).map(str.encode), st.binary(max_size=200)))
@MANY
def test_nonsense(reader: tuple[bytes, Callable[[bytes], None]], text: bytes) -> None:
    reader[1](text)


@pytest.mark.parametrize(
    "text",
    [b"[" * DEEP, b"{a: " * DEEP, b'{"a":' * DEEP, b"- " * DEEP, b"[]", b"5", b"null", b"- a\n- b", b"1e999", b"\0"],
    ids=lambda text: text[:5].decode("latin-1"),
)
def test_deep_and_odd_texts(reader: tuple[bytes, Callable[[bytes], None]], text: bytes) -> None:
    reader[1](text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", ["settings of an agent", "settings of a denoiser"])
@given(data=st.data())
@MANY
def test_values_of_other_types_in_settings(name: str, tmp_path: Path, data: st.DataObject) -> None:
    """A list, a number or nothing where a name, a count or a part of the settings stands."""
    content, _, read = READERS[name]
    found = yaml.safe_load(content)
    place = found
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not (isinstance(place[key], dict) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(VALUES)
    path = tmp_path / "settings.yml"
    path.write_text(yaml.safe_dump(found))
    try:
        read(path)
    except UserError as error:
        assert "\n" not in str(error)


@given(data=st.data())
@MANY
def test_manifests(tmp_path: Path, data: st.DataObject) -> None:
    """A damaged manifest gives a reason, never an error, and the checkpoint before is taken."""
    folder = tmp_path / "checkpoints"
    if not folder.exists():
        folder.mkdir()
        for name in ("step-1", "step-2"):
            write_checkpoint(folder, name, {"state.json": b"{}"})
    manifest = folder / "step-2" / "manifest.json"
    deep = st.sampled_from([b"[" * DEEP, b'{"a":' * DEEP, b'{"/dev/zero": "0"}', b'{"state.json": 5}', b"[1]"])
    manifest.write_bytes(data.draw(st.binary(max_size=60) | deep | VALUES.map(lambda v: json.dumps(v).encode())))
    if damage(folder / "step-2") is not None:
        found = latest_checkpoint(folder)
        assert found is not None and found.name == "step-1"


@given(content=st.binary(max_size=300))
@MANY
def test_arrays(content: bytes) -> None:
    for changed in (content, npz()[:50] + content, io.BytesIO(npz()).getvalue()[: len(content)]):
        try:
            unpack_arrays(changed, foreign=True)
        except ValueError:
            pass


def test_settings_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "settings.yml").mkdir()
    with pytest.raises(UserError, match=r"cannot read settings\.yml"):
        read_settings(tmp_path / "settings.yml")
    with pytest.raises(UserError, match="gone is not a run folder"):
        read_settings(tmp_path / "gone" / "settings.yml")
    with pytest.raises(UserError, match="it is not a regular file"):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "settings.yml").symlink_to("/dev/zero")
        read_settings(tmp_path / "b" / "settings.yml")
