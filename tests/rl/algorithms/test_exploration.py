"""Random actions of DQN and QR-DQN: one draw for all environments, as in Stable-Baselines3, or one for each.

Credits: Stable-Baselines3 and sb3-contrib as the reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from rl.algorithms.replay_dqn import ReplayDQN, ReplayQRDQN
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.options import ResumeSettings, TrainSettings
from rl.settings import resolve
from rl.train import resume, train_new

STEPS, ENVIRONMENTS = 2_000, 8


class Still(DummyVecEnv):
    """Eight environments that are only there for their spaces."""

    def __init__(self) -> None:
        self.num_envs = ENVIRONMENTS
        self.observation_space = spaces.Box(-1, 1, (4,), np.float32)
        self.action_space = spaces.Discrete(9)
        self.render_mode = None
        self.envs = []

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Nothing is random here."""
        return [seed] * ENVIRONMENTS


def taken(algorithm: type[ReplayDQN] | type[ReplayQRDQN], independent: bool, deterministic: bool = False) -> np.ndarray:
    """Where the action is another than the greedy one, bool (steps, environments); epsilon is 0.45."""
    model: Any = algorithm(
        "MlpPolicy", Still(), buffer_size=8, policy_kwargs={"net_arch": []}, replay_buffer_class=FrameReplayBuffer,
        seed=3, device="cpu",
    )  # fmt: skip
    model.independent, model.exploration_rate = independent, 0.45
    observations = np.random.default_rng(0).uniform(-1, 1, (ENVIRONMENTS, 4)).astype(np.float32)
    greedy, _ = model.predict(observations, deterministic=True)
    actions = np.stack([model.predict(observations, deterministic=deterministic)[0] for _ in range(STEPS)])
    assert actions.dtype == np.int64 and model.action_space.contains(actions[0, 0])
    return np.asarray(actions != greedy)


@pytest.mark.parametrize("algorithm", [ReplayDQN, ReplayQRDQN])
@pytest.mark.parametrize("independent", [False, True])
def test_the_same_share_of_actions_is_random_together_or_apart(
    algorithm: type[ReplayDQN] | type[ReplayQRDQN], independent: bool
) -> None:
    random = taken(algorithm, independent)
    # A random action is the greedy one in 1 of 9: 0.45 x 8 / 9 = 0.4, standard deviation of 2,000 draws 0.011.
    assert random.mean() == pytest.approx(0.4, abs=0.045)
    # Together, each environment's is so given that another's is: 8 / 9; apart it is 0.4, whatever the other does.
    both = (random[:, 0] & random[:, 5]).mean() / random[:, 0].mean()
    assert both == pytest.approx(0.4 if independent else 8 / 9, abs=0.06)
    if independent:
        assert 0 < random.sum(axis=1).std() < 1.6  # binomial: sqrt(8 x 0.4 x 0.6) = 1.39; together it is 3.6


def test_greedy_actions_stay_greedy() -> None:
    assert not taken(ReplayDQN, True, deterministic=True).any()


def flags(runs: Path, **changes: Any) -> TrainSettings:
    fields: dict[str, Any] = {
        "preset": "smoke", "algo": "dqn", "exploration": "independent", "timesteps": 300, "n_envs": 2, "runs": runs,
        "video_every": 0, "set": ("learning_starts=100", "buffer_size=250", "exploration_fraction=1.0"),
    }  # fmt: skip
    return TrainSettings(**{**fields, **changes})


def test_a_training_with_draws_for_each_resumes_exactly(tmp_path: Path) -> None:
    train_new(resolve(flags(tmp_path)), tmp_path / "whole")
    train_new(resolve(flags(tmp_path)), tmp_path / "parts", pause_at=200)
    resume(ResumeSettings(tmp_path / "parts"))
    last = "checkpoints/step-000000300"
    for name in ("policy.safetensors", "optimizer.pt", "random.json", "memory.npz"):
        assert (tmp_path / "whole" / last / name).read_bytes() == (tmp_path / "parts" / last / name).read_bytes(), name
    train_new(resolve(flags(tmp_path, exploration=None)), tmp_path / "joint")
    weights = [(tmp_path / run / last / "policy.safetensors").read_bytes() for run in ("whole", "joint")]
    assert weights[0] != weights[1]
