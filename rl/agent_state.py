"""The full state of a model for exact resumption, as files of a checkpoint: weights, optimiser, counters, random
generators, last observations, unfinished episodes, replay buffer.

Nothing is pickled: tensors are in safetensors, or in torch's own format, which is read with ``weights_only=True``; the
rest is JSON.

Credits: Stable-Baselines3 (Raffin et al. 2021), whose models' attributes are listed here.
"""

from __future__ import annotations

import io
import json
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.vec_env import VecFrameStack

from callbacks.checkpoint import WEIGHTS
from common.checkpoints import MANIFEST
from common.npz import pack_arrays, unpack_arrays
from common.weights import load_weights, weights
from rl.algorithms.hdqn import HDQN
from rl.algorithms.precision import optimizers
from rl.algorithms.self_imitation import SelfImitation
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.envs.episode_vec_env import EpisodeVecEnv

OPTIMIZER = "optimizer.pt"
COUNTERS = "counters.json"
RANDOM = "random.json"
TENSORS = "random.safetensors"
OBSERVATIONS = "observations.safetensors"
ENVIRONMENT = "environment.json"
REPLAY_BUFFER = "memory.npz"
SELF_IMITATION = "self-imitation.npz"
ACTIVATIONS = "activations"  # among TENSORS

# Numbers among the models' attributes; those that an algorithm lacks are left out.
_ATTRIBUTES = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_n_calls",
    "_current_progress_remaining",
    "exploration_rate",
    "_num_timesteps_at_start",
)


def capture(model: BaseAlgorithm) -> dict[str, bytes]:
    """The state of a model between two updates, without the chunks of its replay buffer.

    :return: content by file name
    """
    optimizer = io.BytesIO()
    torch.save(_optimizer_states(model), optimizer)
    counters = {name: getattr(model, name) for name in _ATTRIBUTES if hasattr(model, name)}
    assert model.ep_info_buffer is not None
    counters["ep_info_buffer"] = list(model.ep_info_buffer)
    counters["noise"] = [noise.noise_prev.tolist() for noise in _correlated_noises(model)]
    generators = {
        "python": random.getstate(),
        "numpy": _numpy_state(np.random.get_state(legacy=False)),  # noqa: NPY002  (Stable-Baselines3 uses it)
        "action_space": model.action_space.np_random.bit_generator.state,
    }
    tensors = {"torch": torch.get_rng_state()}
    noise = getattr(model, "noise", None)
    if noise is not None:
        tensors[ACTIVATIONS] = noise.state()
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    observations = {
        "last_obs": np.ascontiguousarray(cast(Any, model._last_obs)),
        "last_episode_starts": np.asarray(model._last_episode_starts, np.uint8),
    }
    buffer = getattr(model, "replay_buffer", None)
    assert buffer is None or isinstance(buffer, FrameReplayBuffer), "another replay buffer cannot be saved"
    imitation = getattr(model, "self_imitation", None)
    assert imitation is None or isinstance(imitation, SelfImitation)
    return {
        **({} if buffer is None else {REPLAY_BUFFER: buffer.state()}),
        **(model.files() if isinstance(model, HDQN) else {}),
        **({} if imitation is None else {SELF_IMITATION: pack_arrays(imitation.arrays(), compress=False)}),
        WEIGHTS: weights(model.policy),
        OPTIMIZER: optimizer.getvalue(),
        COUNTERS: json.dumps(counters).encode(),
        RANDOM: json.dumps(generators).encode(),
        TENSORS: safetensors.torch.save(tensors),
        OBSERVATIONS: safetensors.numpy.save(observations),
        ENVIRONMENT: json.dumps(_episode_vec_env(model).state()).encode(),
    }


def buffer_chunks(model: BaseAlgorithm) -> dict[str, Callable[[], bytes]]:
    """The makers of the chunks of the model's replay buffer, by file names that contain a version; empty for PPO."""
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, FrameReplayBuffer):
        return {}
    versions = buffer.chunk_versions()
    own = {f"replay-{index:05d}-{version}.npz": partial(buffer.chunk, index) for index, version in enumerate(versions)}
    return {**own, **(model.chunks() if isinstance(model, HDQN) else {})}


def restore(model: BaseAlgorithm, checkpoint: Path) -> None:
    """Load a captured state into a model that was newly built from the same settings."""
    load_weights(model.policy, checkpoint / WEIGHTS)
    _load_optimizers(model, torch.load(checkpoint / OPTIMIZER, weights_only=True, map_location=model.device))
    observations = safetensors.numpy.load_file(checkpoint / OBSERVATIONS)
    model._last_obs = observations["last_obs"]
    model._last_episode_starts = observations["last_episode_starts"].astype(np.bool_)
    model._last_original_obs = None
    _episode_vec_env(model).load_state(json.loads((checkpoint / ENVIRONMENT).read_text()))
    assert model.env is not None
    if isinstance(model.env, VecFrameStack):
        model.env.stacked_obs.stacked_obs[...] = observations["last_obs"]
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, FrameReplayBuffer):
        names = json.loads((checkpoint / MANIFEST).read_text())
        chunks = (checkpoint / name for name in names if Path(name).name.startswith("replay-"))
        buffer.load_state((checkpoint / REPLAY_BUFFER).read_bytes(), (chunk.read_bytes() for chunk in chunks))
    if isinstance(model, HDQN):
        names = json.loads((checkpoint / MANIFEST).read_text())
        readers = {Path(name).name: (checkpoint / name).read_bytes for name in names}
        model.load_files(lambda name: readers[name](), readers)
    imitation = getattr(model, "self_imitation", None)
    if isinstance(imitation, SelfImitation):
        imitation.load_arrays(unpack_arrays((checkpoint / SELF_IMITATION).read_bytes()))
    counters = json.loads((checkpoint / COUNTERS).read_text())
    model.ep_info_buffer = deque(counters.pop("ep_info_buffer"), maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    for noise, previous in zip(_correlated_noises(model), counters.pop("noise", []), strict=True):
        noise.noise_prev = np.array(previous)
        # learn() resets the noise first of all, which it would not have done without the interruption.
        noise.reset = partial(vars(noise).pop, "reset")  # type: ignore[method-assign]
    for name, value in counters.items():
        setattr(model, name, value)
    # The generators come last, because building and loading use them.
    generators = json.loads((checkpoint / RANDOM).read_text())
    version, words, gauss = generators["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(_numpy_state(generators["numpy"], arrays=True))  # noqa: NPY002
    model.action_space.np_random.bit_generator.state = generators["action_space"]
    tensors = safetensors.torch.load_file(checkpoint / TENSORS)
    torch.set_rng_state(tensors["torch"])
    if ACTIVATIONS in tensors:
        cast(Any, model).noise.load_state(tensors[ACTIVATIONS])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _optimizer_states(model: BaseAlgorithm) -> dict[str, Any]:
    """The state of the policy's optimiser; where there are several, of each of them, and the tensors beside them."""
    found = optimizers(model)
    if list(found) == ["policy.optimizer"]:
        return found["policy.optimizer"].state_dict()
    _, names = model._get_torch_save_params()
    tensors = {name: getattr(model, name).detach() for name in names}  # the logarithm of the entropy coefficient
    return {**{name: one.state_dict() for name, one in found.items()}, **tensors}


def _load_optimizers(model: BaseAlgorithm, states: dict[str, Any]) -> None:
    found = optimizers(model)
    if list(found) == ["policy.optimizer"]:
        found["policy.optimizer"].load_state_dict(states)
        return
    for name, state in states.items():
        if name in found:
            found[name].load_state_dict(state)
        else:
            getattr(model, name).data.copy_(state)


def _episode_vec_env(model: BaseAlgorithm) -> EpisodeVecEnv:
    assert model.env is not None
    env = model.env.unwrapped
    assert isinstance(env, EpisodeVecEnv), "only this project's own environments can be resumed"
    return env


def _correlated_noises(model: BaseAlgorithm) -> list[OrnsteinUhlenbeckActionNoise]:
    """The action noises that remember their last value, one for each environment."""
    noise = getattr(model, "action_noise", None)
    noises = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]
    return [one for one in noises if isinstance(one, OrnsteinUhlenbeckActionNoise)]


def _numpy_state(state: Any, arrays: bool = False) -> Any:
    """The state of NumPy's global generator with its key as a list for JSON, or as an array again."""
    words = state["state"]["key"]
    return {**state, "state": {**state["state"], "key": np.array(words, np.uint32) if arrays else words.tolist()}}
