"""Signals that a batch system sends to every process of a job: the environments' workers ignore them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from common.signals import SIGNALS
from rl.envs.atari_env import AtariVecEnv
from rl.envs.make_env import make_vec_env
from rl.options import TrainSettings
from rl.settings import resolve

ROOT = Path(__file__).resolve().parents[3]

UNCLOSED = """
if __name__ == "__main__":  # worker processes import this file: all else would be imported there as well
    from rl.envs.atari_env import AtariVecEnv
    from rl.envs.protocols import Protocol

    env = AtariVecEnv("gravitar", 2, "ram", Protocol(), seed=1, workers=2)
    env.reset()
    print("ends")
"""


def test_workers_play_on_after_a_signal_and_end_with_the_environment() -> None:
    env = make_vec_env(resolve(TrainSettings(preset="smoke")).environment, 2, 1)
    assert isinstance(env, AtariVecEnv)
    env.reset()
    processes = list(env._processes)
    for process in processes:
        for number in SIGNALS:
            os.kill(process.pid, number)
    for _ in range(20):
        observations = env.step(np.zeros(2, dtype=np.int64))[0]
    assert len(observations) == 2 and all(process.is_alive() for process in processes)
    env.close()
    assert not any(process.is_alive() for process in processes)


def test_a_program_that_does_not_close_its_environment_ends_all_the_same(tmp_path: Path) -> None:
    script = tmp_path / "unclosed.py"
    script.write_text(UNCLOSED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and done.stdout == "ends\n", done.stderr
