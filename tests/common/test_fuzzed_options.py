"""Nonsense on command lines: whatever the options of a training or of a request say, a line says what is wrong.

Credits: Hypothesis for the nonsense.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from gen_models.options import TrainSettings as DenoiserOptions
from gen_models.request import SampleRequest
from gen_models.training.settings import resolve as resolve_denoiser
from rl.options import TrainSettings as AgentOptions
from rl.settings import resolve as resolve_agent

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ASSIGNMENTS = st.tuples(
    st.sampled_from(["n_steps", "batch_size", "learning_rate", "policy", "policy_kwargs", "gamma", "n_envs", "x"]),
    st.one_of(WORDS, st.integers().map(str), st.floats().map(str), st.sampled_from(["{a: [", "[" * 5_000, "null"])),
).map("=".join)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.one_of(st.integers(), st.sampled_from([0, -1, 10**12, 10**30])),
    float: st.floats(),
    str: WORDS,
    Path: WORDS.map(Path),
    NoneType: st.none(),
}
KINDS: dict[str, tuple[type[Any], Callable[[Any], object]]] = {
    "agent": (AgentOptions, lambda options: resolve_agent(options).to_yaml()),
    "denoiser": (DenoiserOptions, lambda options: resolve_denoiser(options).to_yaml()),
    "request": (SampleRequest, lambda request: request.check()),
}


def values_of(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field, of its own type: others do not pass the command line's parser."""
    arguments = typing.get_args(hint)
    if name == "set":
        return st.lists(ASSIGNMENTS, max_size=3).map(tuple)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(hint) is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(values_of(name, arguments[0]), max_size=3).map(tuple)
        return st.tuples(*(values_of(name, one) for one in arguments))
    return VALUES[hint] if hint in VALUES else st.one_of(*(values_of(name, one) for one in arguments))


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_gets_one_line(
    name: str, data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, use = KINDS[name]
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind) if not dataclasses.is_dataclass(hints[field.name])]
    said = data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3, unique=True))
    options = kind(**{field: data.draw(values_of(field, hints[field])) for field in said})
    monkeypatch.chdir(tmp_path)
    try:
        use(options)
    except UserError as error:
        assert "\n" not in str(error) and error.status == 2
    assert not list(tmp_path.iterdir())
