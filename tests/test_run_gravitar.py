"""The command line as a user meets it: every command in a process of its own, on the real game.

The first training is started as users do, the other commands are forks of one process that has imported the libraries.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.traces import read_episodes
from tests.forked_runs import ROOT, run

SMOKE = ["train", "--preset", "smoke", "--timesteps", "6000"]


def gravitar(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    return run("run_gravitar.py", *arguments, folder=folder)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained run, ``runs/gravitar/first``."""
    folder = tmp_path_factory.mktemp("workplace")
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_gravitar.py"), *SMOKE, "--video-every", "1000", "--name", "first"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "runs/gravitar/first" in done.stdout
    return folder


def test_a_run_leaves_everything_it_promises(workplace: Path) -> None:
    folder = workplace / "runs" / "gravitar" / "first"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "settings.yml", "gravitar-log.txt", "monitor.csv", "traces", "videos", "checkpoints", "tensorboard",
        "learning-curve.png", ".lock",
    }  # fmt: skip
    scores = [float(line.split(",")[0]) for line in (folder / "monitor.csv").read_text().splitlines()[2:]]
    first = (folder / "gravitar-log.txt").read_text().splitlines()[0]
    assert first == f"marking, episode: 0, score: {scores[0]:.1f}, mean_score: {scores[0]:.2f}, std_score: 0.00"
    assert [traced.score for traced in read_episodes(folder / "traces" / "episodes.jsonl")] == scores
    best = max(scores)
    assert (folder / "videos" / f"gravitar-video-episode-{scores.index(best)}-score-{best:.0f}.mp4").stat().st_size > 0
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))


def test_the_same_settings_give_the_same_run(workplace: Path) -> None:
    # Videos change nothing in it.
    again = gravitar(*SMOKE, "--video-every", "0", "--name", "second", folder=workplace)
    assert again.returncode == 0, again.stderr
    first, second = (workplace / "runs" / "gravitar" / name for name in ("first", "second"))
    assert (first / "gravitar-log.txt").read_bytes() == (second / "gravitar-log.txt").read_bytes()
    assert (first / "traces/episodes.jsonl").read_bytes() == (second / "traces/episodes.jsonl").read_bytes()
    weights = sorted((first / "checkpoints").glob("step-*/policy.safetensors"))[-1]
    assert weights.read_bytes() == (second / weights.relative_to(first)).read_bytes()


def test_a_run_is_never_overwritten(workplace: Path) -> None:
    before = (workplace / "runs/gravitar/first/gravitar-log.txt").read_bytes()
    done = gravitar(*SMOKE, "--name", "first", folder=workplace)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "never overwritten" in done.stderr
    assert (workplace / "runs/gravitar/first/gravitar-log.txt").read_bytes() == before


def test_evaluate_plays_whole_games_and_says_the_rules(workplace: Path) -> None:
    how = ["--games", "5", "--sticky", "0", "--policy", "greedy"]
    done = gravitar("evaluate", "runs/gravitar/first", *how, folder=workplace)
    assert done.returncode == 0, done.stderr
    assert "greedy" in done.stdout and "no sticky actions" in done.stdout
    assert "each game begins with up to 30 no-ops, or all would be the same" in done.stdout
    (path,) = (workplace / "runs/gravitar/first/evaluations").glob("*.json")
    result = json.loads(path.read_text())
    assert result["n"] == 5 and len(result["scores"]) == 5
    assert result["mean"] == pytest.approx(np.mean(result["scores"]))
    assert result["noop_max"] == 30  # tests/rl/test_evaluate.py: they make the games of a trained agent differ
    assert result["best"] == max(result["scores"]) and result["policy"] == "greedy" and result["sticky"] == 0


def test_replay_makes_the_best_games_video_and_verifies_all(workplace: Path) -> None:
    folder = workplace / "runs/gravitar/first"
    outtake = gravitar("replay", str(folder), "--episode", "1", "--outtake", folder=workplace)
    assert outtake.returncode == 0, outtake.stderr
    assert len(list((folder / "videos").glob("gravitar-outtake-episode-1-score-*.mp4"))) == 1
    verified = gravitar("replay", str(folder), "--verify", folder=workplace)
    assert verified.returncode == 0, verified.stderr


def test_verify_finds_a_changed_score(workplace: Path, tmp_path: Path) -> None:
    folder = workplace / "runs/gravitar/first"
    changed = tmp_path / "changed"
    subprocess.run(["cp", "-r", str(folder), str(changed)], check=True)
    lines = (changed / "monitor.csv").read_text().splitlines()
    score, rest = lines[4].split(",", 1)
    lines[4] = f"{float(score) + 50},{rest}"
    (changed / "monitor.csv").write_text("\n".join(lines) + "\n")
    done = gravitar("replay", str(changed), "--verify", folder=workplace)
    assert done.returncode == 1
    assert re.search(r"episode 2\b", done.stdout + done.stderr)


def test_inspect_compares_runs_and_bare_logs(workplace: Path) -> None:
    folder = workplace / "runs/gravitar/first"
    done = gravitar("inspect", str(folder), str(folder / "gravitar-log.txt"), "--output", "both.png", folder=workplace)
    assert done.returncode == 0, done.stderr
    assert (workplace / "both.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--env", "ALE/Gravitr-v5"], ["unknown environment", "ALE/Gravitar-v5"]),
        (["train", "--algo", "ppp"], ["unknown algorithm", "ppo"]),
        (["train", "--preset", "demoo"], ["unknown preset", "'demo'"]),
        (["train", "--protocol", "natur"], ["unknown protocol", "'nature'"]),
        (["train", "--set", "learning_rat=1"], ["learning_rat", "'learning_rate'"]),
        (["train", "--set", "learning_rate=lin_fast"], ["lin_fast"]),
        (["train", "--n-envs", "0"], ["--n-envs", "at least 1"]),
        (["train", "--timesteps", "-5"], ["--timesteps", "at least 1"]),
        (["train", "--timesteps", "5", "--episodes", "5"], ["not both"]),
        (["train", "--env", "CartPole-v1", "--obs", "ram"], ["CartPole-v1", "ram"]),
        (["train", "--env", "Gravitar-ram-v0", "--obs", "pixels"], ["Gravitar-ram-v0", "pixels"]),
        (["train", "--env", "Pendulum-v1", "--algo", "dqn", "--config", "pendulum.yml"], ["discrete"]),
        (["train", "--config", "list.yml"], ["list.yml", "mapping"]),
        (["train", "--config", "absent.yml"], ["absent.yml"]),
        (["train", "--device", "cuda:77"], ["cuda:77", "cpu"]),
        (["train", "--runs", "/proc/none"], ["/proc/none"]),
        (["train", "--name", "../../etc"], ["--name"]),
        (["train", "--timestep", "5"], ["timestep"]),
        (["trian"], ["trian"]),
        (["evaluate", "nowhere"], ["nowhere"]),
        (["replay", "nowhere", "--best"], ["nowhere"]),
        (["inspect", "binary.txt"], ["binary.txt"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    (tmp_path / "list.yml").write_text("- a\n- b\n")
    (tmp_path / "pendulum.yml").write_text("Pendulum-v1: {policy: MlpPolicy, n_timesteps: 1000}\n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 4)
    before = sorted(tmp_path.iterdir())
    done = gravitar(*arguments, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    for word in words:
        assert word in done.stderr
    assert sorted(tmp_path.iterdir()) == before
