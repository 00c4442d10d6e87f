"""Builds Stable-Baselines3 models from a run's settings, untrained or with the weights of a checkpoint.

Credits: Stable-Baselines3 and sb3-contrib (Raffin et al. 2021) for the algorithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from safetensors import SafetensorError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)
from stable_baselines3.common.vec_env import VecEnv

from callbacks.checkpoint import WEIGHTS
from common.errors import UserError, first_line
from common.seeds import derive_seed
from common.weights import load_weights
from rl.algorithms.activation_noise import noise_of
from rl.algorithms.batch_renorm import use_fused_batch_renorm
from rl.algorithms.features import RamBitsExtractor
from rl.algorithms.hdqn import HDQN
from rl.algorithms.pipelined_ppo import PipelinedPPO, ScheduledPPO
from rl.algorithms.precision import set_precision
from rl.algorithms.replay_dqn import FrameBufferTraining, ReplayDQN, ReplayQRDQN
from rl.algorithms.self_imitation import SelfImitation, SelfImitationSettings
from rl.algorithms.weighted_actions import WeightedActions, check_probabilities
from rl.buffers.goal_buffer import GoalReplayBuffer
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.buffers.rollout_buffer import LeanRolloutBuffer
from rl.envs.episode_vec_env import EpisodeVecEnv
from rl.envs.make_env import RAM_BITS, check_actions, is_native
from rl.settings import RunSettings
from rl.zoo.config import ALGORITHMS, CONTINUOUS

SELF_IMITATION, ACTIVATIONS = 1, 2  # what a seed derived from the run's is for

# Used with this project's own vector environments, whose observations a FrameReplayBuffer can store.
FRAME_BUFFER_ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "dqn": ReplayDQN,
    "qrdqn": ReplayQRDQN,
    "hdqn": HDQN,
    **CONTINUOUS,
}


def build_agent(settings: RunSettings, env: VecEnv, tensorboard: Path | None = None, **changes: Any) -> BaseAlgorithm:
    """A new model with untrained weights.

    :param env: the environment to train in
    :param tensorboard: folder for TensorBoard, or None
    :param changes: keyword arguments of the algorithm's constructor that replace the settings'
    :raises UserError: when the algorithm cannot take the environment or a hyperparameter
    """
    check_actions(env, settings.algo)
    parsed = settings.parsed
    arguments = {**parsed.algorithm, **changes}
    if sees_ram_bits(settings):
        policy_kwargs = dict(arguments.get("policy_kwargs") or {})
        arguments["policy_kwargs"] = {"features_extractor_class": RamBitsExtractor, **policy_kwargs}
    algorithm: type[BaseAlgorithm] = ALGORITHMS[settings.algo]
    if settings.algo == "ppo":
        algorithm = ScheduledPPO
    if settings.algo == "ppo" and not isinstance(env.observation_space, spaces.Dict):
        arguments = {"rollout_buffer_class": LeanRolloutBuffer, **arguments}
        # Not where VecFrameStack is around it, and not for actions that are clipped on their way.
        if isinstance(env, EpisodeVecEnv) and isinstance(env.action_space, spaces.Discrete):
            algorithm = PipelinedPPO
    if parsed.action_noise is not None:
        arguments["action_noise"] = _action_noise(*parsed.action_noise, env)
    if settings.algo in FRAME_BUFFER_ALGORITHMS and isinstance(env.unwrapped, EpisodeVecEnv):
        arguments |= _frame_buffer_arguments(settings, arguments)
        algorithm = FRAME_BUFFER_ALGORITHMS[settings.algo]
    if settings.epsilon_decay is not None:
        arguments["exploration_fraction"] = settings.epsilon_decay / settings.budget
    try:
        model = algorithm(
            parsed.policy,
            env,
            seed=settings.seed,
            device=settings.device,
            tensorboard_log=None if tensorboard is None else str(tensorboard),
            **arguments,
        )
    except (AssertionError, TypeError, ValueError) as error:
        raise UserError(f"{settings.algo} cannot be built from {settings.source}: {first_line(error)}") from error
    noise = noise_of(model, derive_seed((settings.seed, ACTIVATIONS)))
    set_precision(model, settings.precision)
    if isinstance(model, HDQN):
        set_precision(model.meta, settings.precision)
    if isinstance(model, ScheduledPPO):
        if noise is not None and not isinstance(model.rollout_buffer, LeanRolloutBuffer):
            raise UserError(f"{settings.source}: noisy activations need observations that are one array")
        model.schedules = settings.schedules
    if isinstance(model, ScheduledPPO | FrameBufferTraining):
        model.noise = noise
    use_fused_batch_renorm(model.policy)
    if isinstance(model, PipelinedPPO | FrameBufferTraining):
        model.parts = settings.threads
    if isinstance(model, FrameBufferTraining):
        model.independent = settings.exploration == "independent"
    if isinstance(model, PipelinedPPO) and settings.self_imitation:
        imitation = SelfImitationSettings(settings.self_imitation)
        model.self_imitation = SelfImitation(imitation, model.gamma, derive_seed((settings.seed, SELF_IMITATION)))
    return model


def explore_by(model: BaseAlgorithm, probabilities: Sequence[float]) -> None:
    """Let a model explore by actions with these probabilities; by equal ones where there are none.

    :raises UserError: when they do not fit the model's actions, or do not add to 1
    """
    if probabilities:
        actions = cast(spaces.Discrete, model.action_space)
        check_probabilities(probabilities, int(actions.n), "--action-probabilities")
        model.action_space = WeightedActions(probabilities, model.seed)


def _action_noise(kind: str, std: float, env: VecEnv) -> ActionNoise:
    """Noise that is added to each action, in units of actions from -1 to 1."""
    made = NormalActionNoise if kind == "normal" else OrnsteinUhlenbeckActionNoise
    shape = env.action_space.shape or ()
    noise = made(np.zeros(shape), np.full(shape, std))
    return VectorizedActionNoise(noise, env.num_envs) if env.num_envs > 1 else noise


def sees_ram_bits(settings: RunSettings) -> bool:
    """Whether the policy itself turns the bytes of a game's RAM into bits, by a ``RamBitsExtractor``."""
    return is_native(settings.environment) and any(name == RAM_BITS for name, _ in settings.environment.wrappers)


def _frame_buffer_arguments(settings: RunSettings, arguments: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments for a ``FrameReplayBuffer``, which gives Stable-Baselines3's samples with less memory."""
    if arguments.get("replay_buffer_class") not in (None, ReplayBuffer, FrameReplayBuffer):
        raise UserError(f"{settings.source}: replay_buffer_class cannot be resumed here; leave it out")
    kwargs = {
        **(arguments.get("replay_buffer_kwargs") or {}),
        "frame_stack": settings.environment.protocol.frame_stack,
        "n_steps": arguments.get("n_steps", 1),
        "gamma": arguments.get("gamma", 0.99),
        # Configurations turn it off for Stable-Baselines3's optimize_memory_usage, which this buffer does not need.
        "handle_timeout_termination": True,
    }
    # The buffer computes n-step returns itself; with a custom buffer the algorithm ignores its own n_steps and warns.
    return {
        "replay_buffer_class": GoalReplayBuffer if settings.environment.goals else FrameReplayBuffer,
        "replay_buffer_kwargs": kwargs,
        "optimize_memory_usage": False,
        "n_steps": 1,
    }


def load_agent(settings: RunSettings, env: VecEnv, checkpoint: Path) -> BaseAlgorithm:
    """A model with a checkpoint's weights, for playing. Nothing is unpickled.

    :raises UserError: when the weights do not fit the settings
    """
    # The buffers of training are not needed for playing.
    changes: dict[str, Any] = {"buffer_size": 1}
    if settings.algo == "ppo":
        changes = {"n_steps": 2, "batch_size": 2 * env.num_envs}
    if settings.algo == "hdqn":
        changes["meta_buffer_size"] = 1
    model = build_agent(settings, env, None, **changes)
    load_policy(model, checkpoint)
    return model


def load_policy(model: BaseAlgorithm, checkpoint: Path) -> None:
    """Load a checkpoint's policy, with its value function or its Q network, into a model.

    :raises UserError: when the weights do not fit the model's settings (status 1)
    """
    try:
        load_weights(model.policy, checkpoint / WEIGHTS)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(f"{checkpoint} does not fit the run's settings: {first_line(error)}", status=1) from error
