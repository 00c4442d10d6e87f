"""Our files in rl_zoo3's command line, and the files that rl_zoo3 ships in our loader.

rl_zoo3 changes gymnasium and NumPy when it is imported, so it only ever runs in a process of its own.

Credits: rl-baselines3-zoo (Raffin 2020) is the peer.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from rl.zoo.config import load_config, parse_block
from tests.forked_runs import ROOT, forked_python

SPEC = importlib.util.find_spec("rl_zoo3")  # finds the package without importing it

pytestmark = pytest.mark.skipif(SPEC is None, reason="rl_zoo3 is not installed (development dependency)")


def shipped(algo: str) -> dict[str, Any]:
    assert SPEC is not None and SPEC.submodule_search_locations is not None
    return load_config(Path(SPEC.submodule_search_locations[0]) / "hyperparams" / f"{algo}.yml")


@pytest.mark.parametrize("algo", ["ppo", "qrdqn", "dqn"])
def test_every_shipped_block_loads(algo: str) -> None:
    config = shipped(algo)
    assert "atari" in config and len(config) >= 5
    for key, block in config.items():
        values = parse_block(block, algo, f"{algo}.yml, block '{key}'")
        assert values.n_timesteps == int(block["n_timesteps"])
        # What is plain in the file arrives as it is.
        plain = {
            name: value for name, value in block.items() if name in values.algorithm and not isinstance(value, str)
        }
        assert {name: values.algorithm[name] for name in plain} == plain


def test_shipped_ppo_values() -> None:
    config = shipped("ppo")

    atari = parse_block(config["atari"], "ppo", "atari")
    assert (atari.n_envs, atari.frame_stack) == (8, 4)
    assert atari.env_wrapper == (("stable_baselines3.common.atari_wrappers.AtariWrapper", {}),)
    assert atari.algorithm["learning_rate"](0.5) == pytest.approx(1.25e-4)

    # <<: *pybullet-defaults, then its own values.
    ant = parse_block(config["AntBulletEnv-v0"], "ppo", "ant")
    assert (ant.n_envs, ant.algorithm["clip_range"]) == (16, 0.4)
    assert ant.normalize == {"gamma": 0.99}
    assert ant.algorithm["policy_kwargs"] == {
        "log_std_init": -1.0,
        "ortho_init": False,
        "activation_fn": nn.ReLU,
        "net_arch": {"pi": [256, 256], "vf": [256, 256]},
    }

    racing = parse_block(config["CarRacing-v3"], "ppo", "racing")
    assert racing.normalize == {"norm_obs": False, "norm_reward": True, "gamma": 0.99}
    assert racing.env_wrapper[:2] == (
        ("rl_zoo3.wrappers.FrameSkip", {"skip": 2}),
        ("rl_zoo3.wrappers.YAMLCompatResizeObservation", {"shape": [64, 64]}),
    )


@pytest.mark.parametrize(
    ("algo", "env_id", "overrides", "shape", "expected"),
    [
        (
            "ppo",
            "ALE/Gravitar-v5",
            "n_envs:2 n_steps:16 batch_size:16 n_epochs:1",
            [4, 84, 84],
            {"gamma": 0.99, "ent_coef": 0.01, "policy_kwargs": {}},
        ),
        (
            "ppo",
            "Gravitar-ram-v0",
            "n_envs:2 n_steps:16 batch_size:16 n_epochs:1",
            [1024],
            {"gamma": 0.995, "policy_kwargs": {"net_arch": [512, 512]}},
        ),
        (
            "qrdqn",
            "Gravitar-ram-v0",
            "n_envs:2 buffer_size:64 learning_starts:8 batch_size:4",
            [1024],
            {"gamma": 0.99, "n_steps": 3, "n_quantiles": 50, "optimizer_kwargs": {"eps": 1e-5}},
        ),
        (
            "dqn",
            "GravitarNoFrameskip-v0",
            "n_envs:2 buffer_size:64 learning_starts:8 batch_size:4",
            [4, 84, 84],
            {"gamma": 0.99, "optimize_memory_usage": True, "gradient_steps": 2},
        ),
    ],
)
def test_our_files_in_the_command_line_of_rl_zoo3(
    tmp_path: Path, algo: str, env_id: str, overrides: str, shape: list[int], expected: dict[str, Any]
) -> None:
    path = ROOT / "rl_zoo_configs" / f"{algo}.yml"
    command = [
        forked_python(),
        "-m",
        "rl_zoo3.train",
        "--algo",
        algo,
        "--env",
        env_id,
        "--conf-file",
        str(path),
    ]
    command += [
        "-n",
        "32",
        "--log-folder",
        str(tmp_path),
        "--eval-freq",
        "-1",
        "--seed",
        "1",
        "--device",
        "cpu",
    ]
    command += ["--num-threads", "1", "--gym-packages", "rl.registration", "-params", *overrides.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    name = env_id.replace("/", "-")
    folder = tmp_path / algo / f"{name}_1"
    with zipfile.ZipFile(folder / f"{name}.zip") as saved:
        data = json.loads(saved.read("data"))
    assert data["observation_space"]["_shape"] == shape
    assert data["num_timesteps"] == 32
    assert data["_n_updates"] > 0
    for key, value in expected.items():
        assert {**data, **data["policy_kwargs"]}[key] == value, key
