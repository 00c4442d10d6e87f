"""The noise of noisy activations in whole trainings: PPO's ratio, threads, resumed runs, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import RolloutBuffer
from torch import nn

from common import parallel
from common.errors import UserError
from rl.agent import build_agent, load_agent
from rl.algorithms.activation_noise import ActivationNoise
from rl.algorithms.activations import NoisyActivation, activation_of
from rl.algorithms.pipelined_ppo import ScheduledPPO
from rl.commands.export import plain_model
from rl.envs.make_env import make_vec_env
from rl.options import ResumeSettings, TrainSettings
from rl.settings import resolve
from rl.train import resume, train_new


def flags(runs: Path, algo: str = "ppo", activation: str = "nah-hard-tanh:c=30-0.5", **changes: Any) -> TrainSettings:
    """A training of seconds on Gravitar's RAM."""
    kwargs = f"policy_kwargs=dict(net_arch=[16, 8], activation_fn='{activation}')"
    # Four rollouts of both halves of PPO's environments; DQN learns in both halves of its steps.
    steps, envs, more = 512, 8, ("n_steps=16", "batch_size=64")
    if algo != "ppo":
        steps, envs, more = 256, 2, ("learning_starts=64", "batch_size=32")
    fields: dict[str, Any] = {
        "preset": "smoke", "algo": algo, "timesteps": steps, "runs": runs, "video_every": 0, "threads": 2,
        "n_envs": envs, "set": (kwargs, *more),
    }  # fmt: skip
    return TrainSettings(**{**fields, **changes})


def trained_weights(tmp_path: Path, name: str, settings: TrainSettings) -> bytes:
    path = tmp_path / name
    train_new(resolve(settings), path, quiet=True)
    return sorted(path.glob("checkpoints/step-*"))[-1].joinpath("policy.safetensors").read_bytes()


@pytest.mark.parametrize("env", ["ALE/Gravitar-v5", "CartPole-v1"])
@pytest.mark.parametrize("kept", [True, False])
def test_the_ratio_of_ppo_is_1_before_the_first_step(
    env: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("n_envs=2", "n_steps=64") if env == "CartPole-v1" else ("n_steps=16",)
    config = tmp_path / "ppo.yml"
    config.write_text("default: {n_timesteps: 100, policy: MlpPolicy}\n")
    settings = flags(tmp_path, activation="nan-hard-tanh:c=1000,alpha=1", env=env).set
    user = TrainSettings(
        env=env, runs=tmp_path, config=None if env != "CartPole-v1" else config, threads=2,
        set=(*settings, *more, "batch_size=128", "n_epochs=1"), n_envs=8 if env != "CartPole-v1" else 2,
    )  # fmt: skip
    resolved = resolve(user)
    if not kept:
        monkeypatch.setattr(ScheduledPPO, "_take_log_probs_anew", lambda self: None)
    vec_env = make_vec_env(resolved.environment, resolved.n_envs, 1)
    model = build_agent(resolved, vec_env)
    with torch.no_grad():  # saturated, so that there is noise
        for layer in model.policy.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(20)
    model.learn(128)  # one rollout, one batch: what is logged is from before the step
    vec_env.close()
    divergence = model.logger.name_to_value["train/approx_kl"]
    if kept:
        assert abs(divergence) < 1e-6 and model.logger.name_to_value["train/clip_fraction"] == 0.0
    else:
        assert divergence > 1e-3


def test_rollouts_use_the_expectation_and_updates_the_noise(tmp_path: Path) -> None:
    settings = resolve(flags(tmp_path, activation="nah-hard-tanh:c=1000"))
    env = make_vec_env(settings.environment, 8, 1)
    model: Any = build_agent(settings, env)
    env.close()
    observations = torch.randint(256, (8, 128), dtype=torch.uint8)
    with torch.no_grad():
        for layer in model.policy.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(20)
        model.policy.set_training_mode(False)
        assert torch.equal(model.policy.predict_values(observations), model.policy.predict_values(observations))
        model.policy.set_training_mode(True)
        assert not torch.equal(model.policy.predict_values(observations), model.policy.predict_values(observations))


@pytest.mark.parametrize("algo", ["ppo", "dqn", "qrdqn"])
def test_a_training_with_noise_resumes_exactly(algo: str, tmp_path: Path) -> None:
    settings = flags(tmp_path, algo, precision="float32")
    train_new(resolve(settings), tmp_path / "whole", quiet=True)
    train_new(resolve(settings), tmp_path / "parts", pause_at=resolve(settings).timesteps // 2, quiet=True)
    resume(ResumeSettings(tmp_path / "parts"))
    (last,) = {max((tmp_path / run / "checkpoints").glob("step-*")).name for run in ("whole", "parts")}
    for name in ("policy.safetensors", "optimizer.pt", "random.safetensors"):
        pair = [tmp_path / run / "checkpoints" / last / name for run in ("whole", "parts")]
        assert pair[0].read_bytes() == pair[1].read_bytes(), name
    resolved = resolve(settings)
    env = make_vec_env(resolved.environment, 1, 1)
    model = load_agent(resolved, env, tmp_path / "whole/checkpoints" / last)
    env.close()
    layers = [layer for layer in model.policy.modules() if isinstance(layer, NoisyActivation)]
    assert len(layers) == 4  # actor and critic, or network and target
    assert [layer._c.item() for layer in layers] == pytest.approx([0.5] * 4, rel=0.2)  # saved with the weights
    assert layers[0].p is not None and layers[0].p.shape == (16,) and len(set(layers[0].p.tolist())) > 1


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_the_noise_does_not_depend_on_the_cores(algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for count in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda count=count: count)
        weights.append(trained_weights(tmp_path, f"cores-{count}", flags(tmp_path, algo, timesteps=256)))
    assert weights[0] == weights[1]


def test_a_model_in_a_script_of_ones_own() -> None:
    policy_kwargs = {"activation_fn": activation_of("nan-hard-tanh:c=8-2"), "net_arch": [5]}
    model = DQN("MlpPolicy", "CartPole-v1", learning_starts=16, policy_kwargs=policy_kwargs, seed=1, device="cpu")
    noise = ActivationNoise(model, seed=3)
    assert noise.width == 5 and len(noise.layers) == 2  # the target's has none
    model.learn(64)
    assert [layer._c.item() for layer in noise.layers] == pytest.approx([2.0, 2.0], rel=0.05)
    before = noise.state()
    first = noise.draw(4)
    noise.load_state(before)
    assert torch.equal(noise.draw(4), first) and np.isfinite(first.numpy()).all()


def test_an_unknown_name_in_yaml_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="policy_kwargs: unknown activation 'nah-hard-tan'; did you mean 'nah-hard-ta"):
        resolve(flags(tmp_path, activation="nah-hard-tan"))


def test_ppo_needs_the_buffer_that_knows_its_transitions(tmp_path: Path) -> None:
    settings = resolve(flags(tmp_path))
    env = make_vec_env(settings.environment, 2, 1)
    with pytest.raises(UserError, match="noisy activations need observations that are one array"):
        build_agent(settings, env, rollout_buffer_class=RolloutBuffer)
    env.close()


def test_it_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="activation_fn NoisyActivation is of this project alone"):
        plain_model(resolve(flags(tmp_path)), tmp_path)
