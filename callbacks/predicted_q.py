"""How large a network believes the values of a fixed set of states to be, over the training.

    model = DQN("CnnPolicy", env)
    model.learn(1_000_000, callback=PredictedQCallback("predicted-q.csv"))

Scores of games are noisy; the mean over held-out states of the largest predicted Q grows smoothly where an algorithm
learns, and without bound where it diverges. For QR-DQN a Q is the mean of its quantiles; for actor-critic algorithms
such as PPO it is the value V instead.

Credits: V. Mnih et al. 2013 (arXiv 1312.5602), section 5.1 and figure 2; matplotlib.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from callbacks.episodes import LogCallback
from common.errors import UserError
from common.files import read_bounded, write_atomic
from common.npz import pack_arrays, unpack_arrays

BATCH = 100  # states at once
MOST_STATES_FILE = 2_000_000_000  # bytes


class PredictedQCallback(LogCallback):
    """Writes ``predicted-q.csv``, columns ``timesteps`` and ``mean_q``, and at the end the same as a ``.png``.

    The states are observations of the training's first steps, where off-policy algorithms still act at random; they lie
    in an ``.npz`` beside the log.

    :param path: the log, which must not exist; its name ends in ``.csv``
    :param states: number of states
    :param every: agent steps between two rows, at least 1
    :param spacing: steps of an environment between two of its states, at least 1
    :raises UserError: for a number out of range
    """

    def __init__(self, path: Path | str, states: int = 500, every: int = 10_000, spacing: int = 10) -> None:
        super().__init__(path)
        if min(states, every, spacing) < 1:
            raise UserError("the number of held-out states, the steps between rows and the spacing must be at least 1")
        self.n_states, self.every, self.spacing = states, every, spacing
        self.states: list[NDArray[Any]] = []
        self.means: list[tuple[int, float]] = []
        """Agent steps and mean predicted Q, row by row."""
        self._saved = 0  # states in the file

    def first_lines(self) -> str:
        """The names of the columns."""
        return "timesteps,mean_q\n"

    def on_episode(self, episode: int, score: float, info: dict[str, Any]) -> bool:
        """Nothing: rows are counted in steps."""
        return True

    def state(self) -> dict[str, Any]:
        """Also how many states there are; the states themselves are written beside the log."""
        if self._saved < len(self.states):
            self._save_states()
        return {**super().state(), "states": len(self.states)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Also the states and the rows.

        :raises UserError: when the files beside the log are damaged or missing (status 1)
        """
        super().load_state(state)
        try:
            count = int(state["states"])
            if count:
                kept = unpack_arrays(read_bounded(self._states_file, MOST_STATES_FILE))["states"]
                self.states = list(kept[:count])
            with self.path.open(newline="") as file:
                self.means = [(int(row["timesteps"]), float(row["mean_q"])) for row in csv.DictReader(file)]
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"cannot go on with {self.path} and {self._states_file}: {error}", status=1) from error
        self._saved = len(self.states)

    @property
    def _states_file(self) -> Path:
        return self.path.with_name(f"{self.path.stem}-states.npz")

    def _save_states(self) -> None:
        write_atomic(self._states_file, pack_arrays({"states": np.stack(self.states)}, compress=True))
        self._saved = len(self.states)

    def _on_step(self) -> bool:
        go_on = super()._on_step()
        count = self.training_env.num_envs
        if len(self.states) < self.n_states and (self.num_timesteps // count) % self.spacing == 0:
            observations = np.asarray(self.model._last_obs)
            self.states += [row.copy() for row in observations[: self.n_states - len(self.states)]]
            if len(self.states) == self.n_states:
                self._save_states()
        if self.num_timesteps // self.every > (self.num_timesteps - count) // self.every and self.states:
            self._write_row(np.stack(self.states))
        return go_on

    def _write_row(self, states: NDArray[Any]) -> None:
        mean = mean_predicted_q(self.model, states)
        self.means.append((self.num_timesteps, mean))
        self.write(f"{self.num_timesteps},{mean:.6g}\n")
        self.logger.record("train/mean_predicted_q", mean)

    def _on_training_end(self) -> None:
        if self.means:
            self.plot()

    def plot(self) -> None:
        """Draw the rows. Prints a warning when the file cannot be written."""
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.plot(*zip(*self.means, strict=True), color="#0072B2")
        axes.set_xlabel("agent steps")
        axes.set_ylabel("mean predicted Q (the learner's rewards)")
        axes.set_title(f"{len(self.states)} held-out states")
        axes.grid(alpha=0.3)
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=150, metadata={})
        try:
            write_atomic(self.path.with_suffix(".png"), written.getvalue())
        except UserError as error:
            print(f"warning: no figure of predicted values: {error}")


def mean_predicted_q(model: BaseAlgorithm, observations: NDArray[Any]) -> float:
    """The mean over states of the largest predicted Q, or of V for an actor-critic policy.

    :param observations: (B, ...), as the model's environment gives them
    :raises TypeError: when the model's policy predicts neither
    """
    policy: Any = model.policy
    training = policy.training
    policy.set_training_mode(False)
    total = 0.0
    with torch.no_grad():
        for begin in range(0, len(observations), BATCH):
            batch, _ = policy.obs_to_tensor(observations[begin : begin + BATCH])
            total += _values(policy, batch).double().sum().item()
    policy.set_training_mode(training)
    return total / len(observations)


def _values(policy: Any, observations: Tensor) -> Tensor:
    """(B,)."""
    if hasattr(policy, "q_net"):
        values: Tensor = policy.q_net(observations).max(dim=1).values
    elif hasattr(policy, "quantile_net"):
        values = policy.quantile_net(observations).mean(dim=1).max(dim=1).values
    elif hasattr(policy, "predict_values"):
        values = policy.predict_values(observations).flatten()
    else:
        raise TypeError(f"{type(policy).__name__} predicts no values of states")
    return values
