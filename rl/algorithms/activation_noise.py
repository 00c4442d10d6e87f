"""The noise of a model's noisy activation functions: one generator, whose state is saved, and rows that batches share.

    model = PPO("MlpPolicy", env, policy_kwargs={"activation_fn": activation_of("nah-hard-tanh:c=30-0.5")})
    ActivationNoise(model, seed=742)

An update may divide its batch among threads (``common.parallel``). So that the noise does not depend on them, it is
drawn beforehand for the whole batch, a row for each transition, and each thread injects the rows of its part.

Credits: C. Gulcehre et al. 2016 (arXiv 1603.00391) for the activation functions; M. Hausknecht and N. Wagener 2022
(arXiv 2202.11818) for noise that stays the same for a transition throughout PPO's update.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from rl.algorithms.activations import NoisyActivation

_injected = threading.local()


@contextlib.contextmanager
def injected(rows: Tensor | None) -> Iterator[None]:
    """Inside the block, in this thread, noisy activations in training mode take their noise from ``rows``.

    :param rows: those of ``ActivationNoise.draw`` for the inputs of the block, (B, width); None changes nothing
    """
    before = getattr(_injected, "rows", None)
    _injected.rows = before if rows is None else rows
    try:
        yield
    finally:
        _injected.rows = before


class ActivationNoise:
    """The noise of all noisy activations of a newly built model, each unit of which gets a p of its own.

    c follows the progress of the model's training. The activations of a target network have the same c and no noise, as
    it is in evaluation mode from the start.

    :param model: its noisy activations come right after linear layers, as Stable-Baselines3 places them
    :param seed: of the generator, which is on the processor
    """

    def __init__(self, model: BaseAlgorithm, seed: int) -> None:
        self.model = model
        self.generator = torch.Generator().manual_seed(seed)
        self.layers: list[NoisyActivation] = []
        self.width = 0
        for block in model.policy.modules():
            if isinstance(block, nn.Sequential):
                for linear, activation in itertools.pairwise(block):
                    if isinstance(linear, nn.Linear) and isinstance(activation, NoisyActivation):
                        self._take(activation, linear.out_features)

    def _take(self, layer: NoisyActivation, units: int) -> None:
        layer.set_units(units)
        self.layers.append(layer)
        if layer.training:
            layer.draw = partial(self._draw_for, slice(self.width, self.width + units))
            self.width += units

    def draw(self, count: int) -> Tensor:
        """Standard normal noise for ``count`` rows of all layers, float32 (count, width); sets c as well."""
        self.anneal()
        return torch.randn(count, self.width, generator=self.generator).to(self.model.device)

    def anneal(self) -> None:
        """Set c for the progress of the training."""
        for layer in self.layers:
            layer.anneal(1.0 - self.model._current_progress_remaining)

    def state(self) -> Tensor:
        """The generator's state, uint8."""
        return self.generator.get_state()

    def load_state(self, state: Tensor) -> None:
        """Go on from a state; c is among the weights."""
        self.generator.set_state(state)

    def _draw_for(self, columns: slice, x: Tensor) -> Tensor:
        rows = getattr(_injected, "rows", None)
        if rows is None:
            self.anneal()
            return torch.randn(x.shape, generator=self.generator).to(x)
        noise: Tensor = rows[:, columns]
        return noise.to(x)


def noise_of(model: Any, seed: int) -> ActivationNoise | None:
    """The noise of a newly built model; None where it has no noisy activation."""
    if not any(isinstance(layer, NoisyActivation) for layer in model.policy.modules()):
        return None
    return ActivationNoise(model, seed)
