"""Replay memories side by side: rates in turn, resident memory, checkpoints, and what comes out of them.

    python -m bench.replay_memory                             # transitions/s added, batches/s sampled
    python -m bench.replay_memory --obs ram
    python -m bench.replay_memory --what memory --size 100000 # a process each
    python -m bench.replay_memory --what memory --size 1000000 --only FrameReplayBuffer
    python -m bench.replay_memory --what checkpoint
    python -m bench.replay_memory --what exactness

All get the same real Gravitar games. Rates are by processor time, so that a shared machine disturbs less.

Credits: Stable-Baselines3, sb3-extra-buffers and cpprb, see bench/replay_candidates.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch as th
import tyro
from gymnasium import spaces

from bench.alternate import alternate
from bench.replay_candidates import ACTIONS, Cpprb, Step, candidates, fill, record
from rl.buffers.replay_buffer import FrameReplayBuffer


@dataclass(frozen=True)
class Settings:
    """Compare replay memories."""

    what: Literal["rates", "memory", "checkpoint", "exactness", "fill"] = "rates"
    """What to measure; fill is what each process of memory does."""
    obs: Literal["pixels", "ram"] = "pixels"
    """Observation: 84x84 grey in stacks of 4, or 128 bytes of RAM."""
    size: int = 50_000
    """Transitions in each buffer. Stable-Baselines3's takes 56 kB for each, in pixels."""
    n_envs: int = 8
    """Games at once."""
    rounds: int = 7
    """Measurements of each."""
    only: tuple[str, ...] = ()
    """Take part only whose names begin so."""


def rates(settings: Settings) -> None:
    """Add and sample, in turn."""
    space, tape = record(settings.obs, settings.n_envs, 1000)
    # SB3's half-size buffer samples as its full one does, and would only take memory.
    makers = candidates(settings.size, settings.n_envs, space, settings.only)
    buffers = {name: make() for name, make in makers.items() if "optimize" not in name}
    rest = {name: fill(buffer, tape, settings.size) for name, buffer in buffers.items()}
    title = f"Gravitar {settings.obs}, {settings.size:,} transitions, {settings.n_envs} games"
    ways = {name: _adding(buffer, rest[name], settings.n_envs) for name, buffer in buffers.items()}
    alternate(f"{title}: adding", ways, settings.rounds, "transitions/s")
    for batch_size in (32, 256):
        ways = {name: _sampling(buffer, batch_size) for name, buffer in buffers.items()}
        alternate(f"{title}: batches of {batch_size}", ways, settings.rounds, "batches/s")


def _adding(buffer: Any, steps: Iterator[Step], n_envs: int, count: int = 200) -> Callable[[], float]:
    def work() -> float:
        began = time.process_time()
        for _ in range(count):
            buffer.add(**next(steps))
        return count * n_envs / (time.process_time() - began)

    return work


def _sampling(buffer: Any, batch_size: int, count: int = 6400) -> Callable[[], float]:
    def work() -> float:
        began = time.process_time()
        for _ in range(count // batch_size):
            buffer.sample(batch_size)
        return count // batch_size / (time.process_time() - began)

    return work


def memory(settings: Settings) -> None:
    """Resident memory of each, filled in a process of its own."""
    space = spaces.Box(0, 255, (4, 84, 84) if settings.obs == "pixels" else (128,), np.uint8)
    for name in candidates(settings.size, settings.n_envs, space, settings.only):
        arguments = [f"--{key}={getattr(settings, key)}" for key in ("obs", "size")] + [f"--n-envs={settings.n_envs}"]
        command = [sys.executable, "-m", "bench.replay_memory", "--what=fill", "--only", name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{name:42} failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        million = found["bytes"] / settings.size * 1e6 / 1e9
        print(
            f"{name:42} {found['bytes'] / 1e9:6.2f} GB for {settings.size:,}, a million {million:6.2f} GB,"
            f" whole process {found['process'] / 1e9:5.2f} GB, {found['batches of 32/s']:,} batches of 32/s,"
            f" {found['batches of 256/s']:,} of 256/s",
            flush=True,
        )


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def fill_one(settings: Settings) -> None:
    """Fill one buffer and print what it took."""
    space, tape = record(settings.obs, settings.n_envs, 1000)
    tape_bytes = sum(step["obs"].nbytes for step in tape)
    make = next(iter(candidates(settings.size, settings.n_envs, space, settings.only).values()))
    before = _resident()
    buffer = make()
    fill(buffer, tape, settings.size)
    after = _resident()
    # The tape is the benchmark's own; a training process does not hold it.
    sampled = {f"batches of {size}/s": round(_sampling(buffer, size)()) for size in (32, 256)}
    print(json.dumps({"bytes": after - before, "process": after - tape_bytes, **sampled}))


def checkpoint(settings: Settings) -> None:
    """Time and bytes of saving everything, of saving again after 10,000 transitions, and of loading."""
    space, tape = record(settings.obs, settings.n_envs, 1000)
    buffer = FrameReplayBuffer(settings.size, space, ACTIONS, n_envs=settings.n_envs, seed=0, alpha=0.6)
    steps = fill(buffer, tape, settings.size)
    chunks: dict[int, tuple[int, bytes]] = {}
    for added in (0, 10_000):
        for _ in range(added // settings.n_envs):
            buffer.add(**next(steps))
        began = time.perf_counter()
        state = buffer.state()
        versions = dict(enumerate(buffer.chunk_versions()))
        changed = [index for index, version in versions.items() if chunks.get(index, (0, b""))[0] != version]
        chunks |= {index: (versions[index], buffer.chunk(index)) for index in changed}
        size = sum(len(chunks[index][1]) for index in changed)
        print(
            f"{added:,} transitions later: {len(changed)} of {len(versions)} chunks, {size / 1e6:.1f} MB, and"
            f" {len(state) / 1e6:.1f} MB of state, in {time.perf_counter() - began:.2f} s"
        )
    began = time.perf_counter()
    copy = FrameReplayBuffer(settings.size, space, ACTIONS, n_envs=settings.n_envs, alpha=0.6)
    copy.load_state(state, (content for _, content in chunks.values()))
    print(f"loaded in {time.perf_counter() - began:.2f} s")
    same = all(th.equal(one, other) for one, other in zip(buffer.sample(256)[:5], copy.sample(256)[:5], strict=True))
    print(f"samples after loading are {'the same' if same else 'DIFFERENT'}")


def exactness(settings: Settings) -> None:
    """What comes out: every buffer beside Stable-Baselines3's, and n-step returns at a truncation."""
    space, tape = record(settings.obs, settings.n_envs, 1000)
    makers = candidates(min(settings.size, 6000), settings.n_envs, space, ())
    reference = makers["SB3 ReplayBuffer"]()
    fill(reference, tape, 8000)
    for name, make in makers.items():
        if name.startswith("sb3-extra-buffers") or name == "cpprb":
            buffer = make()
            fill(buffer, tape, 8000)
            same = _same_as_tape(buffer, tape) if isinstance(buffer, Cpprb) else _same_draws(buffer, reference)
            print(f"{name}: {'every' if same else 'NOT every'} observation and next observation is right")
    print("observation, next observation, return, done; 3 steps, gamma 0.5, the game is cut after observation 4")
    if find_spec("cpprb"):
        cpprb: Any = import_module("cpprb")
        kinds: dict[str, Any] = {"obs": {}, "next_obs": {}, "rew": {}, "done": {}}
        theirs = cpprb.ReplayBuffer(20, kinds, Nstep={"size": 3, "gamma": 0.5, "rew": "rew", "next": "next_obs"})
        for step in range(8):
            theirs.add(obs=step, next_obs=step + 1, rew=2.0**step, done=0.0)
            if step == 4:
                theirs.on_episode_end()
        found = theirs.get_all_transitions()
        print("cpprb", np.hstack([found[key] for key in kinds]).tolist())
    ours = FrameReplayBuffer(20, spaces.Box(0, 255, (1,), np.float32), ACTIONS, n_steps=3, gamma=0.5, device="cpu")
    for step in range(8):
        now, after, done = np.array([[step]]), np.array([[step + 1]]), np.array([step == 4])
        ours.add(now, after, np.array([0]), np.array([2.0**step]), done, [{"TimeLimit.truncated": step == 4}])
    samples = ours._get_samples(np.arange(8))
    columns = (samples.observations, samples.next_observations, samples.rewards, samples.dones)
    print("ours ", th.cat(columns, dim=1).tolist())


def _same_draws(buffer: Any, reference: Any) -> bool:
    """Whether two buffers that draw from NumPy's global generator draw the same."""
    drawn = []
    for one in (buffer, reference):
        np.random.seed(0)  # noqa: NPY002
        drawn.append(one.sample(4000))
    return all(th.equal(a, b) for a, b in zip(drawn[0][:5], drawn[1][:5], strict=True))


def _same_as_tape(buffer: Cpprb, tape: list[Step]) -> bool:
    """Whether cpprb's buffers hold the end of the tape; the order is not looked at."""
    for env, own in enumerate(buffer.buffers):
        found = own.get_all_transitions()
        pairs = {(obs.tobytes(), after.tobytes()) for obs, after in zip(found["obs"], found["next_obs"], strict=True)}
        for step in tape[-len(found["obs"]) :]:
            expected = (np.ascontiguousarray(buffer.stacked_last(step[key][env])) for key in ("obs", "next_obs"))
            if tuple(array.tobytes() for array in expected) not in pairs:
                return False
    return True


def main() -> None:
    """Run the benchmark."""
    settings = tyro.cli(Settings)
    th.set_num_threads(1)
    parts = {"rates": rates, "memory": memory, "checkpoint": checkpoint, "exactness": exactness, "fill": fill_one}
    parts[settings.what](settings)


if __name__ == "__main__":
    main()
