"""DQN and QR-DQN that learn from prioritised replay: importance weights in the loss, errors back to the memory.

    PrioritisedQRDQN("CnnPolicy", env, replay_buffer_class=FrameReplayBuffer,
                     replay_buffer_kwargs=dict(frame_stack=4, alpha=0.6, beta=0.4))

Stable-Baselines3's algorithms neither use weights nor report errors. With all weights 1 the loss is theirs. The
importance weights' exponent goes in a straight line from ``beta`` to 1 over the training.

The error by which DQN ranks a transition is the absolute temporal difference; for QR-DQN it is the loss, as
M. Hessel et al. do it for the other distributional algorithm.

Credits: T. Schaul et al. 2016 (arXiv 1511.05952), algorithm 1; V. Mnih et al. 2015 (Nature 518) for DQN;
W. Dabney et al. 2017 (arXiv 1710.10044), equations 9 and 10, for QR-DQN; M. Hessel et al. 2018 (arXiv 1710.02298);
Stable-Baselines3 and sb3-contrib (Raffin et al. 2021), whose ``train`` methods are the model.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch.nn import functional as F

from rl.replay_memory import FrameReplayBuffer


class PrioritisedTraining(OffPolicyAlgorithm):
    """What both algorithms share: the update. Mixed in before the algorithm."""

    max_grad_norm: Any  # a number; QR-DQN's may be None

    @abstractmethod
    def _losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        """The losses whose mean is the algorithm's loss, (B, ...), and each transition's error, (B,)."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """So many updates, each with a batch of its own.

        :raises ValueError: when the replay buffer has no priorities
        """
        buffer = self.replay_buffer
        if not isinstance(buffer, FrameReplayBuffer) or not buffer.prioritised:
            raise ValueError(f"{type(self).__name__} needs a FrameReplayBuffer with alpha")
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        # The last round of steps may go a little beyond the budget.
        beta = 1.0 - (1.0 - buffer.beta) * max(self._current_progress_remaining, 0.0)
        means = []
        for _ in range(gradient_steps):
            drawn = buffer.sample_prioritised(batch_size, beta, self._vec_normalize_env)
            losses, errors = self._losses(drawn.samples)
            loss = (drawn.weights * losses).mean()
            means.append(loss.item())
            self.policy.optimizer.zero_grad()
            loss.backward()
            if self.max_grad_norm is not None:
                th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            buffer.update_priorities(drawn.indices, errors.detach().cpu().numpy())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(means))
        self.logger.record("train/beta", beta)

    def _discounts(self, samples: ReplayBufferSamples) -> th.Tensor | float:
        return self.gamma if samples.discounts is None else samples.discounts


class PrioritisedDQN(PrioritisedTraining, DQN):
    """DQN with prioritised replay; settings as DQN's, the memory a ``FrameReplayBuffer`` with ``alpha``."""

    def _losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        with th.no_grad():
            values = self.q_net_target(samples.next_observations).max(dim=1, keepdim=True).values
            targets = samples.rewards + (1 - samples.dones) * self._discounts(samples) * values
        predictions = self.q_net(samples.observations).gather(dim=1, index=samples.actions.long())
        losses = F.smooth_l1_loss(predictions, targets, reduction="none")
        return losses, (targets - predictions).abs().squeeze(1)


class PrioritisedQRDQN(PrioritisedTraining, QRDQN):
    """QR-DQN with prioritised replay; settings as QRDQN's, the memory a ``FrameReplayBuffer`` with ``alpha``."""

    def _losses(self, samples: ReplayBufferSamples) -> tuple[th.Tensor, th.Tensor]:
        with th.no_grad():
            quantiles = self.quantile_net_target(samples.next_observations)  # (B, quantiles, actions)
            best = quantiles.mean(dim=1).argmax(dim=1)
            targets = samples.rewards + (1 - samples.dones) * self._discounts(samples) * _of_actions(quantiles, best)
        predictions = _of_actions(self.quantile_net(samples.observations), samples.actions.long().squeeze(1))
        losses = quantile_huber_losses(predictions, targets)
        return losses, losses.mean(dim=1)


def quantile_huber_losses(predictions: th.Tensor, targets: th.Tensor) -> th.Tensor:
    """Quantile regression with the Huber loss, threshold 1 (Dabney et al. 2017, equations 9 and 10).

    :param predictions: quantiles at the midpoints (i + 0.5) / N, (B, N)
    :param targets: samples of the target distribution, (B, M)
    :return: for each target the loss summed over the quantiles, (B, M)
    """
    count = predictions.shape[1]
    midpoints = (th.arange(count, device=predictions.device, dtype=predictions.dtype) + 0.5) / count
    prediction, target = th.broadcast_tensors(predictions.unsqueeze(2), targets.unsqueeze(1))  # (B, N, M) each
    below = (target < prediction).to(predictions.dtype)
    losses: th.Tensor = (midpoints[:, None] - below).abs() * F.smooth_l1_loss(prediction, target, reduction="none")
    return losses.sum(dim=1)


def _of_actions(quantiles: th.Tensor, actions: th.Tensor) -> th.Tensor:
    """The quantiles (B, N) of one action (B,) each, out of (B, N, actions)."""
    return quantiles[th.arange(len(actions), device=actions.device), :, actions]
