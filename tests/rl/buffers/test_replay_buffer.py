"""Tests of rl/buffers/replay_buffer.py, mostly against Stable-Baselines3's own buffers on the same streams.

Credits: Stable-Baselines3's ``ReplayBuffer`` and ``NStepReplayBuffer`` (Raffin et al. 2021) as the reference.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

from common.errors import UserError
from common.npz import pack_arrays, unpack_arrays
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.envs.atari_env import AtariVecEnv
from rl.envs.protocols import protocol

ACTIONS = spaces.Discrete(5)
EVENTS = ["", "game", "life", "cleared life", "cut", "odd", "repeat", "unrelated"]
CHANCES = [0.44, *[0.08] * 7]
FIELDS = ("observations", "actions", "next_observations", "dones", "rewards", "discounts")


class Stream:
    """Environments whose frames are drawn at random from few, so that stacks agree by chance as well.

    At random moments an episode ends with the game, with a life without a break of the stack, with a life and a cleared
    stack, is truncated (also without being done, "odd"), begins with its first frame repeated, or shows something
    unrelated.
    """

    def __init__(self, num_envs: int, stack: int, frame: tuple[int, ...], dtype: Any, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.frames = self.random.integers(0, 3, (4, *frame)).astype(dtype)
        self.frames[0] = 0
        if np.issubdtype(dtype, np.floating):
            self.frames[1] = -0.0
            self.frames[2, 0] = np.nan
        self.num_envs, self.stack = num_envs, stack
        self.shape = (stack * frame[0], *frame[1:])
        self.observations = np.stack([self.first() for _ in range(num_envs)])

    def frame(self) -> Any:
        return self.frames[self.random.integers(len(self.frames))]

    def first(self) -> Any:
        zeros = np.zeros_like(self.frames[:1]).repeat(self.stack - 1, axis=0)
        return np.concatenate((*zeros, self.frame())).reshape(self.shape)

    def step(self) -> dict[str, Any]:
        """The keyword arguments of ``add``."""
        size = self.frames[0].shape[0]
        obs = self.observations
        next_obs = np.stack([np.concatenate((stack[size:], self.frame())) for stack in obs])
        self.observations = next_obs.copy()
        done = np.zeros(self.num_envs, np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for env in range(self.num_envs):
            event = self.random.choice(EVENTS, p=CHANCES)
            done[env] = event not in ("", "odd", "unrelated")
            if event in ("cut", "odd"):
                infos[env]["TimeLimit.truncated"] = True
            if event in ("game", "cleared life", "cut"):
                self.observations[env] = self.first()
            elif event == "repeat":
                self.observations[env] = np.concatenate([self.frame()] * self.stack)
            elif event == "unrelated":
                self.observations[env] = np.concatenate([self.frame() for _ in range(self.stack)])
        return {
            "obs": obs,
            "next_obs": next_obs,
            "action": self.random.integers(5, size=self.num_envs),
            "reward": self.random.normal(size=self.num_envs).astype(np.float32),
            "done": done,
            "infos": infos,
        }


def same_everywhere(ours: FrameReplayBuffer, peer: ReplayBuffer, normalizer: VecNormalize | None = None) -> None:
    """Assert that every transition that can be sampled is the same in both, bit for bit."""
    np.random.seed(3)  # noqa: NPY002 (SB3's buffers draw environments from the global generator)
    count = peer.size()
    positions = np.tile(np.arange(count), 3 * peer.n_envs)
    state = np.random.get_state()  # noqa: NPY002
    envs = np.random.randint(0, peer.n_envs, size=len(positions))  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    expected = peer._get_samples(positions, normalizer)
    steps = ours._ring.steps - count + (positions - (peer.pos if peer.full else 0)) % count
    found = ours._get_samples(steps % ours._ring.slots * ours.n_envs + envs, normalizer)
    for field in FIELDS:
        one, other = getattr(found, field), getattr(expected, field)
        if other is None:
            assert one is None
            continue
        assert (one.shape, one.dtype) == (other.shape, other.dtype), field
        assert one.numpy().tobytes() == other.numpy().tobytes(), field


def make_pair(
    size: int, num_envs: int, space: spaces.Space[Any], stack: int, n_steps: int = 1, timeouts: bool = True
) -> tuple[FrameReplayBuffer, ReplayBuffer]:
    common: dict[str, Any] = {"n_envs": num_envs, "handle_timeout_termination": timeouts, "device": "cpu"}
    ours = FrameReplayBuffer(size, space, ACTIONS, frame_stack=stack, n_steps=n_steps, gamma=0.9, **common)
    if n_steps == 1:
        return ours, ReplayBuffer(size, space, ACTIONS, **common)
    return ours, NStepReplayBuffer(size, space, ACTIONS, n_steps=n_steps, gamma=0.9, **common)


@pytest.mark.parametrize("n_steps", [1, 3, 6])
@pytest.mark.parametrize("timeouts", [True, False])
@pytest.mark.parametrize(
    ("size", "num_envs", "stack", "frame", "dtype"),
    [
        (1, 1, 4, (1, 2, 2), np.uint8),
        (2, 1, 4, (1, 3, 3), np.uint8),
        (7, 1, 4, (1, 2, 4), np.uint8),
        (40, 3, 4, (1, 3, 2), np.uint8),
        (41, 3, 3, (3, 2, 2), np.uint8),
        (30, 2, 1, (8,), np.uint8),
        (30, 2, 4, (5,), np.uint8),
        (25, 2, 2, (3,), np.float32),
        (16, 1, 1, (1, 2, 2), np.float64),
    ],
)
def test_equals_sb3_on_streams_made_by_hand(
    size: int, num_envs: int, stack: int, frame: tuple[int, ...], dtype: Any, timeouts: bool, n_steps: int
) -> None:
    stream = Stream(num_envs, stack, frame, dtype, seed=size + stack)
    space: spaces.Space[Any] = spaces.Box(0, 2, stream.shape, dtype)
    ours, peer = make_pair(size, num_envs, space, stack, n_steps, timeouts)
    for step in range(3 * max(1, size // num_envs) + 20):
        arguments = stream.step()
        ours.add(**arguments)
        peer.add(**arguments)
        assert ours.size() == peer.size()
        if step % 5 == 0 or step < 12:
            same_everywhere(ours, peer)


def test_equals_sb3_with_normalised_observations_and_rewards() -> None:
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    ours, peer = make_pair(40, 1, env.observation_space, 1, n_steps=3)
    env.reset()
    for step in range(100):
        before = env.get_original_obs()
        _, _, done, infos = env.step(np.array([step % 2]))
        after = env.get_original_obs()
        assert isinstance(before, np.ndarray) and isinstance(after, np.ndarray)
        for buffer in (ours, peer):
            buffer.add(before, after, np.array([step % 2]), env.get_original_reward(), done, infos)
    same_everywhere(ours, peer, env)


class Both(FrameReplayBuffer):
    """Hands every transition on to Stable-Baselines3's buffer, which it holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shared = {"device": "cpu", "n_envs": kwargs["n_envs"]}
        self.peer = NStepReplayBuffer(*args, n_steps=self.n_steps, gamma=self.gamma, **shared)
        self.events: dict[str, int] = {"lives": 0, "games": 0, "truncations": 0}

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        games = sum("episode" in info for info in infos)
        self.events["games"] += games
        self.events["lives"] += int(done.sum()) - games
        self.events["truncations"] += sum(info.get("TimeLimit.truncated", False) for info in infos)
        super().add(obs, next_obs, action, reward, done, infos)
        self.peer.add(obs, next_obs, action, reward, done, infos)
        if self._ring.steps % 250 == 0:
            same_everywhere(self, self.peer)


def play(env: VecEnv, frame_stack: int, steps: int) -> Both:
    """Fill the buffer by random actions of DQN."""
    kwargs = {"frame_stack": frame_stack, "n_steps": 3, "gamma": 0.99}
    model = DQN(
        "MlpPolicy",
        env,
        buffer_size=700,
        learning_starts=10**6,
        replay_buffer_class=Both,
        replay_buffer_kwargs=kwargs,
        policy_kwargs={"net_arch": []},
        seed=742,
        device="cpu",
    )
    model.learn(steps)
    env.close()
    assert isinstance(model.replay_buffer, Both)
    same_everywhere(model.replay_buffer, model.replay_buffer.peer)
    return model.replay_buffer


@pytest.mark.parametrize(
    ("name", "max_frames", "steps", "events"),
    [
        ("sb3", 2400, 2480, {"lives", "games", "truncations"}),  # two games are over, two are cut
        ("machado", 1200, 1300, {"games", "truncations"}),
    ],
)
def test_equals_sb3_on_gravitar_pixels(name: str, max_frames: int, steps: int, events: set[str]) -> None:
    env = AtariVecEnv("gravitar", 4, "pixels", replace(protocol(name), max_frames=max_frames), 742, workers=1)
    buffer = play(env, 4, steps)
    assert {event for event, count in buffer.events.items() if count} == events
    assert (buffer.events["games"] > buffer.events["truncations"]) == (name == "sb3")
    # Whole stacks are kept for the newest step, for the first three slots of the ring and for each game's end only.
    frames = buffer._ring.frames
    assert len(frames._store) - len(frames._free) <= 4 + 3 * 4 + buffer.events["games"]


@pytest.mark.parametrize("stack", [1, 3])
def test_equals_sb3_on_gravitar_ram(stack: int) -> None:
    settings = replace(protocol("ram"), max_frames=1400, life_loss_terminal=True)
    env: VecEnv = AtariVecEnv("gravitar", 4, "ram", settings, 742, workers=1)
    if stack > 1:
        env = VecFrameStack(env, stack)  # clears the stack at a lost life as well
    buffer = play(env, stack, 1800)
    assert min(buffer.events.values()) > 0


@cache
def stream_of_five(seed: int) -> tuple[Stream, list[dict[str, Any]]]:
    """A stream of five environments, and the steps that it has made so far."""
    return Stream(5, 4, (1, 2, 4), np.uint8, seed), []


class Again:
    """The steps of that stream from the first one on. Each is made once, since that takes longer than all the rest."""

    def __init__(self, seed: int) -> None:
        self.stream, self.steps = stream_of_five(seed)
        self.shape = self.stream.shape
        self.position = 0

    def step(self) -> dict[str, Any]:
        """The keyword arguments of ``add``."""
        if self.position == len(self.steps):
            self.steps.append(self.stream.step())
        self.position += 1
        return self.steps[self.position - 1]


def filled(steps: int, seed: int = 0, **kwargs: Any) -> tuple[FrameReplayBuffer, Again]:
    stream = Again(seed)
    space: spaces.Space[Any] = spaces.Box(0, 2, stream.shape, np.uint8)
    settings = {"n_envs": 5, "device": "cpu", "frame_stack": 4, "seed": 1, **kwargs}
    buffer = FrameReplayBuffer(10_000, space, ACTIONS, **settings)
    for _ in range(steps):
        buffer.add(**stream.step())
    return buffer, stream


def saved(buffer: FrameReplayBuffer) -> tuple[bytes, list[bytes]]:
    return buffer.state(), [buffer.chunk(index) for index in range(len(buffer.chunk_versions()))]


def same_bytes(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    arrays = [a for a in one if a is not None], [a for a in other if a is not None]
    return all(a.numpy().tobytes() == b.numpy().tobytes() for a, b in zip(*arrays, strict=True))


@pytest.mark.parametrize("steps", [0, 1, 700, 2003, 2500])
@pytest.mark.parametrize("kwargs", [{}, {"n_steps": 3}, {"alpha": 0.6, "n_steps": 2}])
def test_resumes_bit_for_bit(steps: int, kwargs: dict[str, Any]) -> None:
    original, stream = filled(steps, **kwargs)
    if original.prioritised and steps:
        for _ in range(20):
            drawn = original.sample_prioritised(32, 0.5)
            original.update_priorities(drawn.indices, 5 * np.sin(drawn.indices))
    state, chunks = saved(original)
    copy, _ = filled(0, **kwargs, **{"seed": 77})
    copy.load_state(state, reversed(chunks))
    assert saved(copy) == (state, chunks)
    assert copy.chunk_versions() == original.chunk_versions()
    assert (copy.pos, copy.full, copy.size()) == (original.pos, original.full, original.size())
    for step in range(60):
        arguments = stream.step()
        original.add(**arguments)
        copy.add(**arguments)
        assert same_bytes(original.sample(16), copy.sample(16))
        if original.prioritised:
            one, other = original.sample_prioritised(16, 0.4), copy.sample_prioritised(16, 0.4)
            assert same_bytes((*one.samples, one.weights), (*other.samples, other.weights))
            original.update_priorities(one.indices, np.full(16, 0.1 * step))
            copy.update_priorities(other.indices, np.full(16, 0.1 * step))
    assert saved(copy) == saved(original)


def test_chunks_change_only_when_their_version_does() -> None:
    buffer, stream = filled(0)
    # 2,003 slots, 819 in a chunk.
    kept: dict[int, tuple[int, bytes]] = {}
    written = []
    for steps in (1, 818, 1, 1, 900, 5, 700, 400, 3):
        for _ in range(steps):
            buffer.add(**stream.step())
        versions = buffer.chunk_versions()
        changed = [index for index, version in enumerate(versions) if kept.get(index, (0, b""))[0] != version]
        kept |= {index: (versions[index], buffer.chunk(index)) for index in changed}
        written.append(changed)
        assert [content for _, content in kept.values()] == saved(buffer)[1]
    # Steps so far: 1, 819, 820, 821, 1721, 1726, 2426, 2826, 2829; the last two wrap around to slots 823 and 826.
    assert written == [[0], [0], [0, 1], [1], [1, 2], [2], [0, 2], [0, 1], [1]]


def test_saved_files_are_plain_arrays() -> None:
    buffer, _ = filled(30, alpha=0.5)
    for content in (buffer.state(), buffer.chunk(0)):
        assert all(array.dtype != object for array in unpack_arrays(content).values())


def test_files_of_another_buffer_or_damaged_ones_are_refused() -> None:
    buffer, _ = filled(900)
    state, chunks = saved(buffer)

    def refusal(state: bytes, chunks: list[bytes], **kwargs: Any) -> str:
        with pytest.raises(UserError) as error:
            filled(0, **kwargs)[0].load_state(state, chunks)
        return str(error.value)

    assert "saved with frame_stack 4, the settings say 2" in refusal(state, chunks, frame_stack=2)
    assert "saved with alpha None, the settings say 0.6" in refusal(state, chunks, alpha=0.6)
    assert "chunks [1] are missing" in refusal(state, chunks[:1])
    assert "chunk 0 comes twice" in refusal(state, [chunks[0], *chunks])
    assert "damaged" in refusal(state[:-40], chunks)
    middle = len(chunks[1]) // 2
    flipped = bytes([chunks[1][middle] ^ 4])
    assert "damaged" in refusal(state, [chunks[0], chunks[1][:middle] + flipped + chunks[1][middle + 1 :]])
    assert "damaged" in refusal(state, [chunks[0], pack_arrays({"index": np.array(1)}, compress=False)])
    with pytest.raises(ValueError, match="new one"):
        buffer.load_state(state, chunks)


def test_sampling_is_uniform_over_the_transitions_that_are_left() -> None:
    space: spaces.Space[Any] = spaces.Box(0, 1, (1,), np.float32)
    buffer = FrameReplayBuffer(12, space, ACTIONS, n_envs=3, device="cpu", seed=4)
    for step in range(11):
        rewards = 10.0 * step + np.arange(3)
        buffer.add(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3, np.int64), rewards, np.zeros(3), [{}] * 3)
    drawn = buffer.sample(12_000).rewards.numpy().ravel()
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [70, 71, 72, 80, 81, 82, 90, 91, 92, 100, 101, 102]
    # 1,000 each are expected; chi-square with 11 degrees of freedom exceeds 31.3 once in 1,000 draws.
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 31.3


def test_returns_by_hand() -> None:
    space: spaces.Space[Any] = spaces.Box(0, 255, (1,), np.uint8)
    buffer = FrameReplayBuffer(8, space, ACTIONS, device="cpu", n_steps=3, gamma=0.5, seed=0)
    # Rewards 1, 2, 4, 8, 16; the third step ends its episode, the last is only the newest.
    for step in range(5):
        done = np.array([step == 2])
        obs, next_obs = np.array([[step]], np.uint8), np.array([[99 if step == 2 else step + 1]], np.uint8)
        buffer.add(obs, next_obs, np.array([step]), np.array([2.0**step]), done, [{}])
    found = buffer._get_samples(np.arange(5))
    assert found.rewards.ravel().tolist() == [1 + 1 + 1, 2 + 2, 4, 8 + 8, 16]
    assert found.dones.ravel().tolist() == [1, 1, 1, 0, 0]
    assert found.next_observations.ravel().tolist() == [99, 99, 99, 5, 5]
    assert found.discounts is not None
    assert found.discounts.ravel().tolist() == [0.125, 0.25, 0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    ("shape", "stack", "limit"),
    [((4, 84, 84), None, 7_100), ((128,), None, 160), ((512,), 4, 160)],
)
def test_bytes_of_a_transition(shape: tuple[int, ...], stack: int | None, limit: int) -> None:
    # 7,056 or 128 bytes of the frame, 8 of the action, 4 of the reward, 2 of the flags, 8 of the codes.
    space: spaces.Space[Any] = spaces.Box(0, 255, shape, np.uint8)
    buffer = FrameReplayBuffer(100_000, space, ACTIONS, n_envs=8, frame_stack=stack)
    assert buffer.nbytes / 100_000 < limit
    with_priorities = FrameReplayBuffer(100_000, space, ACTIONS, n_envs=8, frame_stack=stack, alpha=0.6)
    assert with_priorities.nbytes / 100_000 < limit + 9


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"optimize_memory_usage": True}, "set optimize_memory_usage to false"),
        ({"frame_stack": 3}, "no stacks of 3 frames"),
        ({"n_steps": 0}, "n_steps >= 1"),
        ({"alpha": 1.5}, "alpha"),
    ],
)
def test_invalid_settings_are_refused(kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FrameReplayBuffer(10, spaces.Box(0, 255, (4, 8, 8), np.uint8), ACTIONS, **kwargs)


def test_samples_do_not_change_with_the_buffer() -> None:
    buffer, stream = filled(20)
    found = buffer.sample(40)
    before = [tensor.clone() for tensor in found if tensor is not None]
    for _ in range(2100):
        buffer.add(**stream.step())
    assert all(th.equal(one, other) for one, other in zip(before, [t for t in found if t is not None], strict=True))


def buffer_of_screens() -> FrameReplayBuffer:
    """64 transitions of random screens; from 149 stacks on, 4.2 MB, a batch is a large one."""
    space: spaces.Space[Any] = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    buffer = FrameReplayBuffer(64, space, ACTIONS, device="cpu", seed=0)
    random = np.random.default_rng(0)
    for step in range(64):
        obs, next_obs = (random.integers(256, size=(1, 4, 84, 84), dtype=np.uint8) for _ in range(2))
        buffer.add(obs, next_obs, np.array([step % 5]), np.array([1.0]), np.array([True]), [{}])
    return buffer


def addresses(samples: Any) -> set[int]:
    """Where a batch's observations and next observations lie."""
    return {samples.observations.data_ptr(), samples.next_observations.data_ptr()}


def test_large_batches_that_are_held_are_never_overwritten() -> None:
    buffer = buffer_of_screens()
    # More batches than the ring keeps memory for, and of others only a part, as a tensor or as an array.
    batches = [buffer.sample(160) for _ in range(6)]
    held = [tensor for batch in batches for tensor in (batch.observations, batch.next_observations)]
    held += [buffer.sample(160).next_observations[3, 1:], buffer.sample(200).observations.view(-1)[5:9]]
    held += [th.from_numpy(buffer.sample(160).observations.numpy()[::7])]
    copies = [tensor.clone() for tensor in held]
    used = {tensor.untyped_storage().data_ptr() for tensor in held}
    for batch_size in (160, 200, 160):
        for _ in range(12):
            assert not used & addresses(buffer.sample(batch_size))
    assert all(th.equal(tensor, copy) for tensor, copy in zip(held, copies, strict=True))


def test_large_batches_take_over_the_memory_of_those_that_are_gone() -> None:
    buffer = buffer_of_screens()
    spares = buffer._ring.frames._spares
    samples = buffer.sample(160)
    assert len(spares) == 0
    used = addresses(samples)
    # A learner holds a batch until it has the next: four arrays take turns.
    for count in (0, 2, 2, 2):
        assert len(spares) == count
        free = {memory.ctypes.data for memory in spares}
        samples = buffer.sample(160)
        assert not free or addresses(samples) == free
        used |= addresses(samples)
    del samples
    assert {memory.ctypes.data for memory in spares} == used and len(used) == 4
    # No more memory than that is kept, and that of batches of another size not at all.
    held = [buffer.sample(160) for _ in range(5)]
    del held
    assert len(spares) == 4
    buffer.sample(200)
    assert [len(memory) for memory in spares] == [200, 200]
    # What is gathered into used memory is what a small batch gives.
    indices = np.arange(64).repeat(3)
    whole, single = buffer._get_samples(indices), buffer._get_samples(np.arange(64))
    assert th.equal(whole.observations, single.observations.repeat_interleave(3, dim=0))
    assert th.equal(whole.next_observations, single.next_observations.repeat_interleave(3, dim=0))
