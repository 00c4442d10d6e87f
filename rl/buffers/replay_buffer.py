"""A replay buffer for DQN and QR-DQN: one copy of each frame, n-step returns, prioritised sampling, exact resume.

    DQN("CnnPolicy", env, buffer_size=1_000_000, replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs=dict(frame_stack=4, n_steps=3, gamma=0.99))

With ``alpha`` it samples by priority; the algorithms in ``rl.algorithms.replay_dqn`` use the importance weights and
update the priorities. docs/replay-memory.md has the figures.

A checkpoint of the buffer is ``state()``, small, and ``chunk(i)`` for each i of ``chunk_versions()``. A chunk whose
version is that of the last checkpoint holds the same bytes and need not be written again.

Credits: the interface and the meaning of every value are those of Stable-Baselines3's ``ReplayBuffer`` and
``NStepReplayBuffer`` (Raffin et al. 2021); V. Mnih et al. 2015 (Nature 518) for replay memory and frame stacks;
T. Schaul et al. 2016 (arXiv 1511.05952) for prioritised replay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from common.errors import UserError
from common.npz import pack_arrays, unpack_arrays
from rl.buffers.n_step import n_step_returns
from rl.buffers.sum_tree import SumTree
from rl.buffers.transition_ring import TransitionRing

Indices = NDArray[np.int64]


class PrioritisedSamples(NamedTuple):
    """Transitions drawn by priority.

    :param samples: the transitions, as from a uniform buffer
    :param weights: importance weights in (0, 1], float32 (B, 1), the largest of the batch is 1
    :param indices: for ``update_priorities``, (B,)
    """

    samples: ReplayBufferSamples
    weights: th.Tensor
    indices: Indices


class FrameReplayBuffer(ReplayBuffer):
    """The last ``buffer_size`` transitions.

    :param buffer_size: transitions, summed over the environments
    :param observation_space: stacks along the first axis, oldest frame first: pixels (k * channels, H, W) or vectors
        (k * n,); other shapes and any type with ``frame_stack`` 1
    :param action_space: as for Stable-Baselines3's buffer
    :param device: where samples go
    :param n_envs: number of environments
    :param optimize_memory_usage: must be False: this buffer saves more, and stays exact at truncations
    :param handle_timeout_termination: a truncated transition is not terminal
    :param frame_stack: frames in an observation; None for the first axis of images, 1 for everything else
    :param n_steps: number of rewards in a return; above 1 samples have ``discounts``
    :param gamma: discount of n-step returns; the algorithm's
    :param alpha: exponent of the priorities, 0 (uniform) to 1; None for uniform sampling without priorities
    :param beta: exponent of the importance weights at the start, 0 to 1
    :param epsilon: added to every error, so that every transition can be sampled
    :param seed: of the sampling; None draws one from NumPy's global generator, which Stable-Baselines3's algorithms
        seed with their own seed right before they make the buffer
    :raises ValueError: for a value out of range, or observations that are no stacks of ``frame_stack`` frames
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        frame_stack: int | None = None,
        n_steps: int = 1,
        gamma: float = 0.99,
        alpha: float | None = None,
        beta: float = 0.4,
        epsilon: float = 1e-6,
        seed: int | None = None,
    ) -> None:
        # Not ReplayBuffer's own constructor, which would reserve memory for two stacks a transition.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        if not isinstance(self.obs_shape, tuple) or observation_space.dtype is None:
            raise ValueError("FrameReplayBuffer takes arrays, not dictionaries, as observations")
        if optimize_memory_usage:
            raise ValueError("FrameReplayBuffer saves memory by itself; set optimize_memory_usage to false")
        if frame_stack is None:
            frame_stack = self.obs_shape[0] if len(self.obs_shape) == 3 else 1
        if frame_stack < 1 or (frame_stack > 1 and self.obs_shape[0] % frame_stack):
            raise ValueError(f"observations of shape {self.obs_shape} are no stacks of {frame_stack} frames")
        if n_steps < 1 or not (alpha is None or 0 <= alpha <= 1) or not 0 <= beta <= 1 or epsilon <= 0:
            raise ValueError("a replay buffer needs n_steps >= 1, alpha and beta from 0 to 1, epsilon > 0")
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.frame_stack = frame_stack
        self.n_steps, self.gamma = n_steps, gamma
        self.alpha, self.beta, self.epsilon = alpha, beta, epsilon
        self._dtype = observation_space.dtype
        self._ring = TransitionRing(
            self.buffer_size,
            n_envs,
            frame_stack,
            int(np.prod(self.obs_shape)) * self._dtype.itemsize // frame_stack,
            self.action_dim,
            np.dtype(self._maybe_cast_dtype(action_space.dtype)),
        )
        self._tree = None if alpha is None else SumTree(self._ring.slots * n_envs)
        self._max_priority = 1.0
        if seed is None:
            seed = int(np.random.randint(2**31))  # noqa: NPY002 (the generator that SB3 seeds)
        self._generator = np.random.default_rng(seed)

    @property
    def prioritised(self) -> bool:
        """Whether transitions are sampled by priority."""
        return self._tree is not None

    @property
    def nbytes(self) -> int:
        """Bytes reserved; the system provides the memory as the buffer fills."""
        return self._ring.nbytes + (0 if self._tree is None else self._tree.nbytes)

    def size(self) -> int:
        """Number of steps that can be sampled; each is a transition of every environment."""
        return len(self._ring)

    def reset(self) -> None:
        """Not offered: make a new buffer instead.

        :raises NotImplementedError: always
        """
        raise NotImplementedError("a FrameReplayBuffer cannot be emptied; make a new one")

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Add one transition of every environment.

        :param obs: (n_envs, ...)
        :param next_obs: after the step and before any reset, (n_envs, ...)
        :param infos: of each environment; only ``TimeLimit.truncated`` is used
        """
        timeouts = [self.handle_timeout_termination and info.get("TimeLimit.truncated", False) for info in infos]
        slot = self._ring.add(
            np.ascontiguousarray(obs, self._dtype),
            np.ascontiguousarray(next_obs, self._dtype),
            np.asarray(action).reshape(self.n_envs, self.action_dim),
            reward,
            done,
            np.array(timeouts, np.bool_),
        )
        self.pos, self.full = self._ring.steps % self._ring.slots, self.size() == self.buffer_size
        if self._tree is not None:
            # New transitions have the highest priority so far (Schaul et al. 2016, algorithm 1).
            outdated = (slot - self.buffer_size) % self._ring.slots
            indices = np.array([[outdated], [slot]]) * self.n_envs + np.arange(self.n_envs)
            values = np.repeat([0.0, self._max_priority**self._exponent], self.n_envs)
            self._tree.update(indices.reshape(-1), values)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Draw transitions: uniformly, or by priority where the buffer has priorities.

        Samples are never overwritten while anything refers to them.

        :param env: normalises observations and rewards
        """
        if self._tree is not None:
            return self.sample_prioritised(batch_size, self.beta, env).samples
        ages, envs = np.divmod(self._generator.integers(self.size() * self.n_envs, size=batch_size), self.n_envs)
        return self._samples(self._ring.slots_of(ages), envs, env)

    def sample_prioritised(self, batch_size: int, beta: float, env: VecNormalize | None = None) -> PrioritisedSamples:
        """Draw transitions in proportion to their priorities (Schaul et al. 2016, equation 1 and section 3.4).

        :param beta: exponent of the importance weights, 0 to 1
        :raises ValueError: when the buffer is empty or has no priorities
        """
        if self._tree is None or self.size() == 0:
            raise ValueError("sampling by priority needs a buffer with alpha and at least one transition")
        indices = self._tree.sample(batch_size, self._generator)
        probabilities = self._tree.values[indices] / self._tree.total
        weights = (self.size() * self.n_envs * probabilities) ** -beta
        weights = (weights / weights.max()).astype(np.float32).reshape(-1, 1)
        return PrioritisedSamples(self._get_samples(indices, env), self._tensor(weights), indices)

    def update_priorities(self, indices: Indices, errors: NDArray[np.floating[Any]]) -> None:
        """Set the priorities of sampled transitions from the errors of their predictions.

        :param indices: those of ``PrioritisedSamples``; nothing may have been added since, (B,)
        :param errors: temporal-difference errors or losses, finite, of either sign, (B,)
        :raises ValueError: for errors that are not finite, or a buffer without priorities
        """
        if self._tree is None or not np.isfinite(errors).all():
            raise ValueError("update_priorities needs finite errors and a buffer with alpha")
        priorities = np.abs(errors).astype(np.float64) + self.epsilon
        self._max_priority = max(self._max_priority, float(priorities.max()))
        self._tree.update(indices, priorities**self._exponent)

    def chunk_versions(self) -> list[int]:
        """The version of every used chunk, a number that grows whenever the chunk changes.

        Equal versions mean equal bytes within one run and after an exact resume, but not between runs: chunks that were
        written after the checkpoint from which a run is resumed may have the same versions and other bytes.
        """
        return self._ring.chunk_versions()

    def chunk(self, index: int) -> bytes:
        """A chunk as a compressed ``.npz`` without pickled objects. Equal content gives equal bytes."""
        return self._ring.chunk(index)

    def state(self) -> bytes:
        """Everything that is not in chunks, as an ``.npz``: counters, random generator, priorities (8 bytes each)."""
        counters = {
            "settings": self._identity(),
            "steps": self._ring.steps,
            "max_priority": self._max_priority,
            "generator": self._generator.bit_generator.state,
        }
        arrays: dict[str, NDArray[Any]] = {
            "counters": np.frombuffer(json.dumps(counters).encode(), np.uint8),
            "versions": self._ring.versions,
        }
        if self._tree is not None:
            arrays["priorities"] = self._tree.values
        return pack_arrays(arrays, compress=False)

    def load_state(self, state: bytes, chunks: Iterable[bytes]) -> None:
        """Restore a saved buffer: all later samples are the same, bit for bit.

        :param state: from ``state()``
        :param chunks: all chunks saved with it, in any order; taken one by one
        :raises UserError: when they belong to other settings, are damaged or missing
        :raises ValueError: when something has been added to this buffer
        """
        if self._ring.steps:
            raise ValueError("a replay buffer can only be loaded into a new one")
        try:
            arrays = unpack_arrays(state)
            counters = json.loads(arrays["counters"].tobytes())
            for name, value in self._identity().items():
                saved = counters["settings"][name]
                if saved != value:
                    raise UserError(f"the replay buffer was saved with {name} {saved}, the settings say {value}")
            self._ring.load(int(counters["steps"]), arrays["versions"], chunks)
            self._generator.bit_generator.state = counters["generator"]
            self._max_priority = float(counters["max_priority"])
            if self._tree is not None:
                self._tree.restore(arrays["priorities"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UserError(f"the saved replay buffer is damaged: {error}", status=1) from error
        self.pos, self.full = self._ring.steps % self._ring.slots, self.size() == self.buffer_size

    def _get_samples(self, batch_inds: Indices, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Transitions by index, slot * n_envs + environment, (B,)."""
        return self._samples(*np.divmod(batch_inds, self.n_envs), env)

    def _samples(self, slots: Indices, envs: Indices, env: VecNormalize | None) -> ReplayBufferSamples:
        ring = self._ring
        if self.n_steps == 1:
            ends, discounts = slots, None
            rewards = self._normalize_reward(ring.rewards[slots, envs].reshape(-1, 1), env)
        else:
            n_slots = (slots[:, None] + np.arange(self.n_steps)) % ring.slots
            steps = n_slots, envs[:, None]
            over = ring.dones[steps] | ring.timeouts[steps] | (n_slots == ring.newest)
            rewards = self._normalize_reward(ring.rewards[steps], env)
            last, rewards, discounts = n_step_returns(rewards, over, self.gamma)
            ends = n_slots[np.arange(len(n_slots)), last]
        terminal = ring.dones[ends, envs] & ~ring.timeouts[ends, envs]
        observations = self._as_observations(ring.frames.observations(slots, envs))
        next_observations = self._as_observations(ring.frames.next_observations(ends, envs))
        return ReplayBufferSamples(
            observations=self._tensor(self._normalize_obs(observations, env)),
            actions=self._tensor(ring.actions[slots, envs]),
            next_observations=self._tensor(self._normalize_obs(next_observations, env)),
            dones=self._tensor(terminal.astype(np.float32).reshape(-1, 1)),
            rewards=self._tensor(rewards),
            discounts=None if discounts is None else self._tensor(discounts),
        )

    @property
    def _exponent(self) -> float:
        assert self.alpha is not None
        return self.alpha

    def _as_observations(self, words: NDArray[Any]) -> NDArray[Any]:
        return words.view(self._dtype).reshape(-1, *self.obs_shape)

    def _tensor(self, array: Any) -> th.Tensor:
        # The array belongs to the samples, so the tensor may share its memory.
        return th.from_numpy(array).to(self.device)

    def _identity(self) -> dict[str, Any]:
        """The settings that a saved buffer and this one must share."""
        return {
            "buffer_size": self.buffer_size * self.n_envs,
            "n_envs": self.n_envs,
            "observation": [*map(int, self.obs_shape), str(self._dtype)],
            "frame_stack": self.frame_stack,
            "alpha": self.alpha,
        }
