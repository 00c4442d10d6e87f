"""``export``: plain Stable-Baselines3, in another process, takes the same actions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from rl.commands.export import export
from rl.evaluate import open_agent
from rl.options import ExportSettings, TrainSettings
from rl.train import train

# Run where this project cannot be imported.
PLAIN = """
import sys
import numpy as np
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO

for algorithm in (PPO, QRDQN, DQN):
    folder = algorithm.__name__.lower()
    observations = np.load(f"{folder}/observations.npy")
    model = algorithm.load(f"{folder}/exported/model.zip")
    actions = np.concatenate([model.predict(one[None], deterministic=True)[0] for one in observations])
    np.save(f"{folder}/actions.npy", actions)
assert not {"rl", "common", "callbacks"} & {name.partition(".")[0] for name in sys.modules}
"""

RUNS = {"ppo": "ram", "qrdqn": "ram", "dqn": "pixels"}
SMALL = {
    "ppo": (), "qrdqn": ("policy_kwargs=dict(n_quantiles=4, net_arch=[16])", "buffer_size=200", "learning_starts=100"),
    "dqn": ("buffer_size=200", "learning_starts=220"),
}  # fmt: skip


def exported(algo: str, obs: str, folder: Path) -> NDArray[np.int64]:
    """Train and export an agent; its actions at the observations that lie beside it."""
    train(
        TrainSettings(
            preset="smoke", algo=algo, obs=obs, timesteps=256, n_envs=2, set=SMALL[algo], precision="float32",
            video_every=0, runs=folder, name="a",
        )
    )  # fmt: skip
    run = folder / "gravitar/a"
    with open_agent(run, None, 1, n_envs=1) as (_, _, model, env):
        rng = np.random.default_rng(0)
        observations = rng.integers(0, 256, (20, *(env.observation_space.shape or ())), np.uint8)
        expected = np.concatenate([model.predict(one[None], deterministic=True)[0] for one in observations])
    export(ExportSettings(run, folder / "exported"))
    np.save(folder / "observations.npy", np.unpackbits(observations, axis=1) if obs == "ram" else observations)
    card = (folder / "exported/README.md").read_text()
    assert "| seed, environments | 742, 2 |" in card
    with pytest.raises(UserError, match="exists and is never overwritten"):
        export(ExportSettings(run, folder / "exported"))
    return expected


def test_plain_libraries_take_the_same_actions_and_the_cards_example_plays_a_game(tmp_path: Path) -> None:
    export(ExportSettings(Path(__file__).parents[3] / "results/gravitar/ppo-ram", tmp_path / "card"))
    card = (tmp_path / "card/README.md").read_text()
    assert "| 100 fresh ones, greedy | " in card
    example = card.partition("```python\n")[2].partition("```")[0]
    expected = {algo: exported(algo, obs, tmp_path / algo) for algo, obs in RUNS.items()}
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = f"import os\nos.chdir('card')\n{example}\nos.chdir('..')\n{PLAIN}"  # one process: imports take seconds
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) >= 0
    for algo, actions in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / algo / "actions.npy"), actions, algo)
        # Noise looks all the same to a young network that sees pixels.
        assert RUNS[algo] == "pixels" or len(set(actions.tolist())) > 1


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        export(ExportSettings(tmp_path / "none", tmp_path / "exported"))
    assert not (tmp_path / "exported").exists()
