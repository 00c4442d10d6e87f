"""The last transitions of N environments, in slots that are used again, and their content in chunks for a checkpoint.

Credits: Stable-Baselines3's ``ReplayBuffer`` (Raffin et al. 2021) for what a transition consists of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.npz import pack_arrays, unpack_arrays
from rl.buffers.frame_ring import FrameRing

CHUNK_TRANSITIONS = 4096  # 29 MB of 84x84 frames before compression
_ARRAYS = ("actions", "rewards", "dones", "timeouts")


class TransitionRing:
    """Step n of all environments lies in slot ``n % slots``; the last ``capacity`` steps can be read.

    :param capacity: steps, at least 1
    :param num_envs: number of environments N
    :param frame_stack: frames in an observation
    :param frame_bytes: bytes of one frame
    :param action_dim: numbers in an action
    :param action_dtype: their type
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        frame_stack: int,
        frame_bytes: int,
        action_dim: int,
        action_dtype: np.dtype[Any],
    ) -> None:
        self.capacity = capacity
        self.frames = FrameRing(capacity, num_envs, frame_stack, frame_bytes)
        self.slots = self.frames.slots
        shape = (self.slots, num_envs)
        self.actions = np.zeros((*shape, action_dim), action_dtype)
        self.rewards = np.zeros(shape, np.float32)
        self.dones = np.zeros(shape, np.bool_)
        self.timeouts = np.zeros(shape, np.bool_)
        self.steps = 0
        self._chunk_slots = max(1, CHUNK_TRANSITIONS // num_envs)
        self.versions = np.zeros(-(-self.slots // self._chunk_slots), np.int64)

    def __len__(self) -> int:
        """Steps that can be read."""
        return min(self.steps, self.capacity)

    @property
    def nbytes(self) -> int:
        """Bytes reserved."""
        return self.frames.nbytes + sum(int(getattr(self, name).nbytes) for name in _ARRAYS)

    @property
    def newest(self) -> int:
        """The slot that was filled last."""
        return (self.steps - 1) % self.slots

    def slots_of(self, ages: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slots of steps counted from the oldest, 0 <= age < len(self)."""
        return (self.steps - len(self) + ages) % self.slots

    def add(
        self,
        observations: NDArray[Any],
        next_observations: NDArray[Any],
        actions: NDArray[Any],
        rewards: NDArray[Any],
        dones: NDArray[Any],
        timeouts: NDArray[Any],
    ) -> int:
        """Add a step of every environment, arrays (N, ...).

        :param next_observations: after the step and before any reset
        :return: its slot
        """
        slot = self.steps % self.slots
        self.frames.add(slot, observations, next_observations)
        self.actions[slot] = actions
        self.rewards[slot] = rewards
        self.dones[slot] = dones
        self.timeouts[slot] = timeouts
        self.steps += 1
        # Where the next observation of the step before lies is known only now, so its chunk has changed, too.
        self.versions[[slot // self._chunk_slots, (slot - 1) % self.slots // self._chunk_slots]] = self.steps
        return slot

    def chunk_versions(self) -> list[int]:
        """The version of every used chunk: the number of steps at its last change."""
        used = -(-min(self.steps, self.slots) // self._chunk_slots)
        return [int(version) for version in self.versions[:used]]

    def chunk(self, index: int) -> bytes:
        """A chunk's content, a compressed ``.npz``. Equal content gives equal bytes."""
        begin = index * self._chunk_slots
        end = min(begin + self._chunk_slots, self.slots, self.steps)
        own = {name: getattr(self, name)[begin:end] for name in _ARRAYS}
        return pack_arrays({"index": np.array(index), **self.frames.dump(begin, end), **own}, compress=True)

    def load(self, steps: int, versions: NDArray[np.int64], chunks: Iterable[bytes]) -> None:
        """Restore a saved ring. This one must be new.

        :param steps: number of steps added before it was saved
        :param versions: all ``versions`` then
        :param chunks: all of them, in any order; taken one by one
        :raises ValueError: when chunks are damaged, do not fit or are missing
        """
        self.steps = steps
        self.versions[:] = versions
        missing = set(range(len(self.chunk_versions())))
        for content in chunks:
            arrays = unpack_arrays(content)
            index = int(arrays["index"])
            if index not in missing:
                raise ValueError(f"chunk {index} comes twice or is too many")
            missing.remove(index)
            begin = index * self._chunk_slots
            for name in _ARRAYS:
                getattr(self, name)[begin : begin + len(arrays[name])] = arrays[name]
            self.frames.load(begin, arrays)
        if missing:
            raise ValueError(f"chunks {sorted(missing)} are missing")
        if steps:
            self.frames.resume(self.newest)
