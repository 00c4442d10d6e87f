"""One torch thread while games are played, all of them while the network learns.

The emulators need the cores during the rollout, and torch's waiting threads would spin on them.
"""

from __future__ import annotations

import torch
from stable_baselines3.common.callbacks import BaseCallback


class ThreadsCallback(BaseCallback):
    """Switches torch's number of threads between rollout and update."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = torch.get_num_threads()

    def _on_rollout_start(self) -> None:
        torch.set_num_threads(1)

    def _on_rollout_end(self) -> None:
        torch.set_num_threads(self.threads)

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """All threads again."""
        torch.set_num_threads(self.threads)

    def _on_step(self) -> bool:
        return True
