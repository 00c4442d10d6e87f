"""The benchmarks, cut short: each runs to its table, in which every way has a rate. The rates are not judged here.

Each is a fork of a process that has imported the libraries, and so is each measurement in a process of its own.

Credits: pytest.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

from bench.training import WAYS
from common.device import resolve_precision
from tests.forked_runs import forked_python

RATE = re.compile(r"│ +([\d,]+) \(")

# Where bfloat16 is no faster, it has no row of its own.
FASTER = int(resolve_precision("auto", "cpu") == "bfloat16")

# What a benchmark prints so many rates for; replay_memory has three tables.
RATES = {
    "exploration --timesteps 10000 --seeds 1 --scores 50 --processes 1 --runs RUNS": 3,
    "environments --obs ram --n-envs 2 --steps 100 --rounds 1": 5,
    "training --work qrdqn-pixels --n-envs 2 --rounds 1 --warm-up 800 --steps 16": len(WAYS["qrdqn-pixels"]),
    "replay_memory --obs ram --size 2000 --rounds 1 --only FrameReplayBuffer SB3": 15,
    "denoiser_training --preset smoke --steps 1 --rounds 1": FASTER + 2,
    "denoiser_training --what patch --preset smoke --steps 1 --rounds 1": 2,
}


@pytest.mark.parametrize("arguments", RATES, ids=[arguments.split(" --rounds")[0] for arguments in RATES])
def test_a_short_benchmark_prints_its_table(arguments: str, tmp_path: Path) -> None:
    name, *rest = arguments.replace("RUNS", str(tmp_path)).split()
    done = subprocess.run(
        [forked_python(), "-m", f"bench.{name}", *rest],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rates = [float(rate.replace(",", "")) for rate in RATE.findall(done.stdout)]
    assert len(rates) == RATES[arguments]
    if name == "replay_memory":
        for peer in ("sb3_extra_buffers", "cpprb"):
            said = f"left out, since it is not installed: {peer}\n" in done.stderr
            assert said == (importlib.util.find_spec(peer) is None)
    assert all(rate > 0 for rate in rates)
