"""Values changed in YAML, everything else as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from common.errors import UserError
from tune.yaml_edit import as_yaml, set_values

ROOT = Path(__file__).resolve().parents[2]

TEXT = """# head
first: &first
  a: 1  # one
  b: "x # y"   # text
  c: dict(net=[1,
         2])  # long

  # about d
  d: !!float 1e-4

# about second
second:
  <<: *first
  b: 2
"""


def test_values_change_and_comments_stay() -> None:
    alone = TEXT.replace("  <<: *first\n", "")
    text = set_values(alone, "first", {"a": 1e-5, "b": "lin_3e-4", "c": "dict(net=[3, 4])", "e": 0.5}, "here")
    assert (
        text
        == """# head
first: &first
  a: !!float 1e-05  # one
  b: lin_3e-4   # text
  c: "dict(net=[3, 4])"  # long

  # about d
  d: !!float 1e-4
  e: 0.5

# about second
second:
  b: 2
"""
    )


def test_what_comes_from_an_anchor_is_put_into_the_block_itself() -> None:
    text = set_values(TEXT, "second", {"a": 7, "b": 3}, "here")
    assert text == TEXT.replace("  b: 2\n", "  b: 3\n  a: 7\n")
    assert yaml.safe_load(text)["first"] == yaml.safe_load(TEXT)["first"]


def test_a_file_without_a_last_newline() -> None:
    assert set_values("a:\n  b: 1", "a", {"c": 2}, "here") == "a:\n  b: 1\n  c: 2\n"


def test_a_change_that_would_reach_another_block_is_refused() -> None:
    with pytest.raises(UserError, match="by hand"):
        set_values(TEXT, "first", {"d": 2.0}, "here")  # second has d by the anchor
    with pytest.raises(UserError, match="by hand"):
        set_values("a: {b: 1}\n", "a", {"b": 2}, "here")


@pytest.mark.parametrize("value", [1, 0.1, 1e-5, 1e22, True, "lin_1e-5", "1e-5", "a: b", 'say "x"', "dict(a=[1, 2])"])
def test_values_are_read_back_as_they_are(value: object) -> None:
    again = yaml.safe_load(f"a: {as_yaml(value)}")["a"]
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize(("algo", "block"), [("ppo", "Gravitar-ram-v0"), ("qrdqn", "ALE/Gravitar-v5")])
def test_every_line_of_our_configurations_stays_but_the_new_ones(algo: str, block: str) -> None:
    before = (ROOT / "rl_zoo_configs" / f"{algo}.yml").read_text()
    values = {"gamma": 0.99125, "learning_rate": 1.5e-5}
    after = set_values(before, block, values, "here")
    assert [line for line in after.splitlines() if line not in before.splitlines()] == [
        "  gamma: 0.99125",
        "  learning_rate: 1.5e-05",
    ]
    assert yaml.safe_load(after)[block] == {**yaml.safe_load(before)[block], **values}
    with pytest.raises(UserError, match="by hand"):
        set_values(before, "atari-ram", values, "here")  # Gravitar-ram-v0 has them by the anchor
