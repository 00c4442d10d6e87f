"""``evaluate``: greedy games without sticky actions are not all the same one; other environments have none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rl.evaluate import evaluate, with_interval
from rl.options import EvaluateSettings
from tests.source_tree import ROOT


def test_no_ops_make_greedy_games_differ(tmp_path: Path) -> None:
    agent = ROOT / "results/gravitar/ppo-ram"
    evaluate(EvaluateSettings(agent, games=4, n_envs=4, sticky=0, policy="greedy", json=tmp_path / "result.json"))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["noop_max"] == 30
    assert len(set(zip(result["scores"], result["lengths"], strict=True))) > 1


def test_a_walker_has_no_sticky_actions_and_walks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the agent that comes with the project; of its 20 kept episodes the least has 309."""
    agent = ROOT / "results/walker/crossq"
    evaluate(EvaluateSettings(agent, games=2, n_envs=2, json=tmp_path / "result.json"))
    result = json.loads((tmp_path / "result.json").read_text())
    assert not {"sticky", "frame_skip"} & result.keys() and "sticky actions" not in capsys.readouterr().out
    assert min(result["scores"]) > 280  # processors round differently, so that steps and scores differ


def test_an_interval_without_width_is_left_out() -> None:
    assert with_interval(0.0, (0.0, 0.0)) == "0"  # two games of no points say nothing about a third
    assert with_interval(250.0, (200.0, 312.5)) == "250 [200, 312]"
