"""The commands as a user meets them: what cannot be gets one line and leaves nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tune.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gravitar", "--algo", "ppp"], ["unknown algorithm 'ppp'", "did you mean 'ppo'"]),
        (["gravitar", "--sampler", "tep"], ["unknown sampler 'tep'", "did you mean 'tpe'"]),
        (["gravitar", "--pruner", "medain"], ["unknown pruner 'medain'", "did you mean 'median'"]),
        (["gravitar", "--pruner", "wilcoxon"], ["--seeds 5"]),
        (["gravitar", "--search", "learning_rat"], ["did you mean 'learning_rate'"]),
        (["gravitar", "--range", "gae_lambda=0.99:0.9"], ["gae_lambda=0.99:0.9", "lower one first"]),
        (["gravitar", "--steps", "1000"], ["rollouts of up to 16,384", "--steps 65536"]),
        (["gravitar", "--trials", "0"], ["--trials must be at least 1"]),
        (["gravitar", "--last", "1.5"], ["--last"]),
        (["gravitar", "--hours", "-1"], ["--hours"]),
        (["gravitar", "--name", "../x"], ["--name"]),
        (["gravitar", "--env", "ALE/Gravitr-v5"], ["ALE/Gravitar-v5"]),
        (["gravitar", "--trails", "3"], ["trails"]),
        (["pegasus", "nowhere"], ["nowhere is not a run folder"]),
        (["report", "nowhere"], ["nowhere is not a study's folder"]),
        (["confirm", "nowhere"], ["nowhere is not a study's folder"]),
        (["export", "nowhere"], ["nowhere is not a study's folder"]),
        (["reprot"], ["reprot"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune", *arguments])
    assert main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    for word in words:
        assert word in error
    assert not list(tmp_path.iterdir())


def test_every_command_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for command, word in {"gravitar": "--pruner", "pegasus": "--conditions", "worker": "--storage",
                          "report": "--top", "confirm": "--seeds", "export": "--force"}.items():  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["tune", command, "--help"])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0 and word in capsys.readouterr().out


def test_a_study_whose_workers_slurm_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    (programs / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune", "gravitar", "--trials", "1", "--launcher", "slurm", "--name", "first"])
    assert main() == 1
    assert capsys.readouterr().err == "error: SLURM refuses the job first: Invalid account\n"
    assert not (tmp_path / "runs" / "tune" / "first").exists()
