"""Stacks of frames from several environments, with one copy of each frame.

An observation is a stack of the last ``k`` frames, oldest first. The ring keeps the newest frame of every observation
and a code that says where the older ones are:

    code = k - 1        the frames of the k - 1 steps before, in the ring
    0 <= code < k - 1   so many frames of the steps before, zeros before those (an episode's first observations)
    code < 0            the whole stack lies in a store of its own, row -code - 1

The next observation of a step is the observation of the step after it, or a stack in the store (the last observation of
an episode). All of this is found by comparing bytes, never assumed from flags: what comes out is what went in, whatever
the environment does at a lost life, a truncation or a reset. Other streams of frames only cost memory.

A large batch takes over the memory of an earlier, deleted one. A batch's arrays, their views and the tensors over
them own its memory: only when the last of them is deleted does it come back to the ring (``_Loan``).

Credits: V. Mnih et al. 2015 (Nature 518) and Dopamine's circular replay buffer (P. S. Castro et al. 2018,
arXiv 1812.06110) for keeping single frames; the bookkeeping is this project's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Frames and stacks are handled in the widest unsigned words that divide a frame.
Words = NDArray[Any]
_WORDS = (np.uint64, np.uint32, np.uint16, np.uint8)
CONTINUES = 0  # the next observation is the following step's observation
# From here on the system maps fresh pages for every new array, which takes longer than filling them.
_LARGE_BYTES = 4 << 20
_SPARES = 4  # observations and next observations of a batch and of the one before, which the learner still holds


class _Loan:
    """Lends memory to arrays and takes it back when the last of them is deleted.

    ``np.asarray`` of a loan is an array over the memory. By NumPy's array interface it holds the loan, and so do its
    views and the tensors that share its memory.

    :param memory: what is lent
    :param spares: where it goes when the loan ends
    """

    def __init__(self, memory: Words, spares: deque[Words]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory = memory
        self._spares = spares

    def __del__(self) -> None:
        self._spares.append(self._memory)


class FrameRing:
    """The last observations and next observations of N environments.

    :param steps: number of steps that can be read, at least 1
    :param num_envs: number of environments N
    :param stack: frames k in an observation
    :param frame_bytes: bytes of one frame
    """

    def __init__(self, steps: int, num_envs: int, stack: int, frame_bytes: int) -> None:
        # The oldest step that can be read needs the frames of the k - 1 steps before it.
        self.slots = steps + stack - 1
        self._num_envs = num_envs
        self._stack = stack
        word = next(word for word in _WORDS if frame_bytes % np.dtype(word).itemsize == 0)
        self._frame_words = frame_bytes // np.dtype(word).itemsize
        # Slot s is row s + k - 1: the zeros before row k - 1 stand before slot 0, so that every stack is contiguous.
        self._frames: Words = np.zeros((num_envs, self.slots + stack - 1, self._frame_words), word)
        self._codes = np.zeros((self.slots, num_envs), np.int32)
        self._next_codes = np.full((self.slots, num_envs), CONTINUES, np.int32)
        # The first N rows are the next observations of the newest step, one an environment; whether they continue is
        # not known yet.
        self._store: Words = np.zeros((num_envs, stack * self._frame_words), word)
        self._free: list[int] = []
        self._newest = -1
        self._spares: deque[Words] = deque(maxlen=_SPARES)  # memory that no array uses

    @property
    def nbytes(self) -> int:
        """Bytes reserved."""
        return self._frames.nbytes + self._codes.nbytes + self._next_codes.nbytes + self._store.nbytes

    def add(self, slot: int, observations: NDArray[Any], next_observations: NDArray[Any]) -> None:
        """Put a step of every environment into a slot, in place of what was there.

        :param slot: the one after the last call's, 0 after the last slot; 0 at first
        :param observations: C-contiguous, (N, ...), k frames each
        :param next_observations: likewise, after the step and before any reset
        """
        stacks = self._as_frames(observations)
        if self._newest >= 0:
            self._settle(stacks)
        self._forget(slot)
        self._frames[:, slot + self._stack - 1] = stacks[:, -1]
        self._codes[slot] = self._encode(slot, stacks)
        self._store[: self._num_envs] = self._as_frames(next_observations).reshape(self._num_envs, -1)
        self._next_codes[slot] = -np.arange(self._num_envs) - 1
        self._newest = slot

    def observations(self, slots: NDArray[np.int64], envs: NDArray[np.int64]) -> Words:
        """Observations as words, (B, words of a stack), a copy.

        :param slots: (B,)
        :param envs: the environment of each, (B,)
        """
        return self._gather(slots, envs, self._codes[slots, envs])

    def next_observations(self, slots: NDArray[np.int64], envs: NDArray[np.int64]) -> Words:
        """Next observations as words, (B, words of a stack), a copy; arguments as for ``observations``."""
        next_slots = (slots + 1) % self.slots
        next_codes = self._next_codes[slots, envs]
        codes = np.where(next_codes < 0, next_codes, self._codes[next_slots, envs])
        return self._gather(next_slots, envs, codes)

    def dump(self, begin: int, end: int) -> dict[str, NDArray[Any]]:
        """The content of slots begin .. end - 1. Equal streams give equal bytes."""
        codes, next_codes = self._codes[begin:end].copy(), self._next_codes[begin:end].copy()
        stacks = []
        for array in (codes, next_codes):
            stored = array < 0
            stacks.append(self._store[-array[stored] - 1])
            array[stored] = np.arange(-1, -1 - len(stacks[-1]), -1)
        first = begin + self._stack - 1
        return {
            "frames": self._frames[:, first : first + end - begin],
            "codes": codes,
            "next_codes": next_codes,
            "stacks": stacks[0],
            "next_stacks": stacks[1],
        }

    def load(self, begin: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put the arrays of ``dump`` into an unused ring.

        :raises ValueError: when the arrays are of another shape or type than this ring's
        """
        frames = arrays["frames"]
        first, count = begin + self._stack - 1, frames.shape[1]
        for codes, stacks, own in (
            (arrays["codes"], arrays["stacks"], self._codes),
            (arrays["next_codes"], arrays["next_stacks"], self._next_codes),
        ):
            rows = self._allocate(len(stacks))
            stored = codes < 0
            restored = codes.copy()
            restored[stored] = -rows[-codes[stored] - 1] - 1
            own[begin : begin + count] = restored
            self._store[rows] = stacks
        self._frames[:, first : first + count] = frames.astype(self._frames.dtype, casting="no", copy=False)

    def resume(self, newest: int) -> None:
        """Go on after the last ``load``.

        :param newest: the slot that was filled last
        """
        rows = -self._next_codes[newest] - 1
        self._store[: self._num_envs] = self._store[rows]
        self._free.extend(rows.tolist())
        self._next_codes[newest] = -np.arange(self._num_envs) - 1
        self._newest = newest

    def _as_frames(self, observations: NDArray[Any]) -> Words:
        flat = observations.reshape(self._num_envs, -1).view(self._frames.dtype)
        return flat.reshape(self._num_envs, self._stack, self._frame_words)

    def _settle(self, stacks: Words) -> None:
        """Now that the step after the newest is known: where its next observation is the same, drop the second copy."""
        same = (self._store[: self._num_envs] == stacks.reshape(self._num_envs, -1)).all(axis=1)
        self._next_codes[self._newest, same] = CONTINUES
        other = np.flatnonzero(~same)
        rows = self._allocate(len(other))
        self._store[rows] = self._store[other]
        self._next_codes[self._newest, other] = -rows - 1

    def _forget(self, slot: int) -> None:
        for codes in (self._codes[slot], self._next_codes[slot]):
            self._free.extend((-codes[codes < 0] - 1).tolist())

    def _encode(self, slot: int, stacks: Words) -> NDArray[np.int32]:
        # The rows before this one are not written again while this step can be read, so equal bytes stay equal.
        before = self._frames[:, slot : slot + self._stack - 1]
        same = before == stacks[:, :-1]
        codes = np.full(self._num_envs, self._stack - 1, np.int32)
        for env in np.flatnonzero(~same.all(axis=(1, 2))):
            frames_same = same[env].all(axis=1)
            frames_zero = (stacks[env, :-1] == 0).all(axis=1)
            for age in range(self._stack - 2, -1, -1):
                zeros = self._stack - 1 - age
                if frames_zero[:zeros].all() and frames_same[zeros:].all():
                    codes[env] = age
                    break
            else:
                row = self._allocate(1)
                self._store[row] = stacks[env].reshape(1, -1)
                codes[env] = -row[0] - 1
        return codes

    def _gather(self, slots: NDArray[np.int64], envs: NDArray[np.int64], codes: NDArray[np.int32]) -> Words:
        rows, words = self._frames.shape[1], self._frame_words
        size = self._frames.itemsize
        stacks: Words = np.ndarray(
            (self._num_envs, self.slots, self._stack * words),
            self._frames.dtype,
            self._frames.data,
            strides=(rows * words * size, words * size, size),
        )
        if len(slots) * self._stack * words * size < _LARGE_BYTES:
            batch = stacks[envs, slots]
        else:
            batch = self._large_batch(len(slots))
            for row, env, slot in zip(batch, envs.tolist(), slots.tolist(), strict=True):
                row[:] = stacks[env, slot]
        if (codes < self._stack - 1).any():
            stored = np.flatnonzero(codes < 0)
            batch[stored] = self._store[-codes[stored] - 1]
            for age in range(self._stack - 1):
                batch[codes == age, : (self._stack - 1 - age) * words] = 0
        return batch

    def _large_batch(self, count: int) -> Words:
        """An array (count, words of a stack), not filled, in the memory of an earlier batch if one is free."""
        while self._spares:
            memory = self._spares.pop()
            if len(memory) == count:
                break  # spares for another batch size are dropped
        else:
            memory = np.empty((count, self._store.shape[1]), self._store.dtype)
        return np.asarray(_Loan(memory, self._spares))

    def _allocate(self, count: int) -> NDArray[np.int64]:
        """Free rows of the store; it grows by a quarter when there are too few."""
        if len(self._free) < count:
            used = len(self._store)
            added = max(count, used // 4, 16)
            self._store = np.concatenate((self._store, np.zeros((added, self._store.shape[1]), self._store.dtype)))
            self._free.extend(range(used + added - 1, used - 1, -1))
        return np.array([self._free.pop() for _ in range(count)], np.int64)
