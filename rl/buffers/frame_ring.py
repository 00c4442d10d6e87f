"""Stacks of frames from several games at once, with one copy of each frame.

An observation is a stack of the last ``k`` frames, oldest first. The ring keeps the newest frame of every observation
and a code that says where the older ones are:

    code = k - 1        the frames of the k - 1 steps before, in the ring
    0 <= code < k - 1   so many frames of the steps before, zeros before those (a game's first observations)
    code < 0            the whole stack lies in a store of its own, row -code - 1

The next observation of a step is the observation of the step after it, or a stack in the store (the last observation of
a game). All of this is found by comparing bytes, never assumed from flags: what comes out is what went in, whatever the
environment does at a lost life, a truncation or a reset. Streams that it did not foresee only cost memory.

Credits: V. Mnih et al. 2015 (Nature 518) and Dopamine's circular replay buffer (P. S. Castro et al. 2018,
arXiv 1812.06110) for keeping single frames; the bookkeeping is this project's own.
"""

from __future__ import annotations

import sys
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


class FrameRing:
    """The last observations and next observations of N games.

    :param steps: how many steps can be read at once, at least 1
    :param num_envs: number of games N
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
        # The first N rows are the next observations of the newest step, one a game; whether they continue is not known.
        self._store: Words = np.zeros((num_envs, stack * self._frame_words), word)
        self._free: list[int] = []
        self._newest = -1
        self._spares: list[Words] = []

    @property
    def nbytes(self) -> int:
        """Bytes reserved."""
        return self._frames.nbytes + self._codes.nbytes + self._next_codes.nbytes + self._store.nbytes

    def add(self, slot: int, observations: NDArray[Any], following: NDArray[Any]) -> None:
        """Put a step of every game into a slot, in place of what was there.

        :param slot: the one after the last call's, 0 after the last slot; 0 at first
        :param observations: C-contiguous, (N, ...), k frames each
        :param following: what was observed after it, before any reset
        """
        stacks = self._as_frames(observations)
        if self._newest >= 0:
            self._settle(stacks)
        self._forget(slot)
        self._frames[:, slot + self._stack - 1] = stacks[:, -1]
        self._codes[slot] = self._encode(slot, stacks)
        self._store[: self._num_envs] = self._as_frames(following).reshape(self._num_envs, -1)
        self._next_codes[slot] = -np.arange(self._num_envs) - 1
        self._newest = slot

    def observations(self, slots: NDArray[np.int64], envs: NDArray[np.int64]) -> Words:
        """Observations as words, (B, words of a stack), a copy.

        :param slots: (B,)
        :param envs: the game of each, (B,)
        """
        return self._gather(slots, envs, self._codes[slots, envs])

    def next_observations(self, slots: NDArray[np.int64], envs: NDArray[np.int64]) -> Words:
        """Next observations as words, (B, words of a stack), a copy."""
        following = (slots + 1) % self.slots
        next_codes = self._next_codes[slots, envs]
        codes = np.where(next_codes < 0, next_codes, self._codes[following, envs])
        return self._gather(following, envs, codes)

    def dump(self, begin: int, end: int) -> dict[str, NDArray[Any]]:
        """Everything that belongs to slots begin .. end - 1. Equal streams give equal bytes."""
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
        """Put back what ``dump`` gave, into an unused ring.

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
        """After the last ``load``: say which slot was filled last."""
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
            found = stacks[envs, slots]
        else:
            found = self._spare(len(slots))
            for row, env, slot in zip(found, envs.tolist(), slots.tolist(), strict=True):
                row[:] = stacks[env, slot]
        if (codes < self._stack - 1).any():
            stored = np.flatnonzero(codes < 0)
            found[stored] = self._store[-codes[stored] - 1]
            for age in range(self._stack - 1):
                found[codes == age, : (self._stack - 1 - age) * words] = 0
        return found

    def _spare(self, count: int) -> Words:
        """An array (count, words of a stack) that nobody else uses: that of a batch that is gone, or a new one."""
        for array in self._spares:
            # Views and tensors that share an array's memory refer to it. Three references are this loop's, the list's
            # and that of getrefcount's argument.
            if len(array) == count and sys.getrefcount(array) == 3:
                return array
        array = np.empty((count, self._store.shape[1]), self._store.dtype)
        self._spares = [*self._spares, array][-_SPARES:]
        return array

    def _allocate(self, count: int) -> NDArray[np.int64]:
        """Free rows of the store; it grows by a quarter when there are too few."""
        if len(self._free) < count:
            used = len(self._store)
            added = max(count, used // 4, 16)
            self._store = np.concatenate((self._store, np.zeros((added, self._store.shape[1]), self._store.dtype)))
            self._free.extend(range(used + added - 1, used - 1, -1))
        return np.array([self._free.pop() for _ in range(count)], np.int64)
