"""Self-imitation: an agent learns again from those of its own past actions that led to more than it expects.

After each update of PPO batches of past transitions are drawn. With R the discounted return that followed, their loss
is

    mean(w (-log pi(a|s) (R - V(s))+)) + value_coef mean(w ((R - V(s))+)^2 / 2)     (equations 2 and 3)

where (x)+ is max(x, 0) and the policy's part has a gradient through log pi alone. Transitions are drawn in proportion
to ((R - V)+)^0.6, and w corrects for that with an exponent of 0.1.

Credits: J. Oh, Y. Guo, S. Singh, H. Lee 2018 (arXiv 1806.05635), Self-Imitation Learning; T. Schaul et al. 2016
(arXiv 1511.05952) for priorities and their correction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

PRIORITY_EXPONENT, CORRECTION_EXPONENT = 0.6, 0.1
LEAST_PRIORITY = 1e-6


@dataclass(frozen=True)
class SelfImitationSettings:
    """How much is imitated.

    :param updates: gradient steps after each of PPO's updates
    :param batch_size: transitions of a gradient step
    :param coef: weight of the loss
    :param value_coef: weight of its value part
    :param capacity: transitions that are kept, the newest ones
    """

    updates: int = 16
    batch_size: int = 512
    coef: float = 0.1
    value_coef: float = 0.01
    capacity: int = 100_000


class SelfImitation:
    """The past transitions of an agent with discrete actions, and the updates from them.

    Only episodes with a positive return are kept. An episode ends where the learner's does, as at a lost life.

    :param settings: how much is imitated
    :param gamma: discount for each step
    :param seed: of the choice of transitions
    """

    def __init__(self, settings: SelfImitationSettings, gamma: float, seed: int) -> None:
        self.settings = settings
        self.gamma = gamma
        self.generator = np.random.default_rng(seed)
        self.size = self.position = 0
        self._observations: NDArray[Any] | None = None
        self._actions = np.zeros(settings.capacity, np.int64)
        self._returns = np.zeros(settings.capacity, np.float32)
        self._priorities = np.zeros(settings.capacity, np.float64)
        self._under_way: list[list[tuple[NDArray[Any], ...]]] = []  # of each environment, parts of its episode

    def add(self, rollout: RolloutBuffer, dones: NDArray[np.bool_]) -> None:
        """Take up a full rollout.

        :param rollout: T steps of N environments
        :param dones: shape (N,), whether the last step of each environment ended its episode
        """
        ends = np.concatenate([rollout.episode_starts[1:], dones[None]]).astype(np.bool_)
        self._under_way = self._under_way or [[] for _ in dones]
        for env, parts in enumerate(self._under_way):
            columns = rollout.observations[:, env], rollout.actions[:, env, 0], rollout.rewards[:, env]
            begin = 0
            for end in (np.flatnonzero(ends[:, env]) + 1).tolist():
                parts.append(tuple(column[begin:end].copy() for column in columns))
                self._keep(*(np.concatenate(column) for column in zip(*parts, strict=True)))
                parts.clear()
                begin = end
            parts.append(tuple(column[begin:].copy() for column in columns))

    def _keep(self, observations: NDArray[Any], actions: NDArray[Any], rewards: NDArray[Any]) -> None:
        returns = discounted_returns(rewards, self.gamma)
        if not (returns > 0).any():
            return
        last = int(np.flatnonzero(returns > 0)[-1]) + 1  # nothing follows from the actions after it
        if self._observations is None:
            self._observations = np.zeros((self.settings.capacity, *observations.shape[1:]), observations.dtype)
        places = (self.position + np.arange(last)) % self.settings.capacity
        self._observations[places] = observations[:last]
        self._actions[places] = actions[:last]
        self._returns[places] = returns[:last]
        self._priorities[places] = max(1.0, float(self._priorities.max()))
        self.position = int(places[-1] + 1) % self.settings.capacity
        self.size = min(self.size + last, self.settings.capacity)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, to go on from exactly."""
        arrays = {
            "position": np.array(self.position),
            "actions": self._actions[: self.size],
            "returns": self._returns[: self.size],
            "priorities": self._priorities[: self.size],
            "generator": np.frombuffer(json.dumps(self.generator.bit_generator.state).encode(), np.uint8),
        }
        if self._observations is not None:
            arrays["observations"] = self._observations[: self.size]
        for env, parts in enumerate(self._under_way):
            names = ("observations", "actions", "rewards")
            columns = zip(*parts, strict=True)
            arrays |= {f"{env}-{name}": np.concatenate(column) for name, column in zip(names, columns, strict=False)}
        return {**arrays, "environments": np.array(len(self._under_way))}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from where ``arrays`` was called.

        :raises KeyError: when an array is missing
        :raises ValueError: when they are of another capacity
        """
        self.size, self.position = len(arrays["actions"]), int(arrays["position"])
        self._actions[: self.size] = arrays["actions"]
        self._returns[: self.size] = arrays["returns"]
        self._priorities[: self.size] = arrays["priorities"]
        if self.size:
            kept = arrays["observations"]
            self._observations = np.zeros((self.settings.capacity, *kept.shape[1:]), kept.dtype)
            self._observations[: self.size] = kept
        self.generator.bit_generator.state = json.loads(arrays["generator"].tobytes())
        names = ("observations", "actions", "rewards")
        self._under_way = [
            [tuple(arrays[f"{env}-{name}"] for name in names)] if f"{env}-actions" in arrays else []
            for env in range(int(arrays["environments"]))
        ]

    def train(self, model: OnPolicyAlgorithm) -> float:
        """Do the updates.

        :return: the mean share of drawn transitions whose return is above the value, 0 to 1; NaN before there are any
        """
        if self.size < self.settings.batch_size or self._observations is None:
            return float("nan")
        shares = []
        for _ in range(self.settings.updates):
            chances = self._priorities[: self.size] ** PRIORITY_EXPONENT
            chances /= chances.sum()
            places = self.generator.choice(self.size, self.settings.batch_size, p=chances)
            corrections = (self.size * chances[places]) ** -CORRECTION_EXPONENT
            loss, gains = self_imitation_loss(
                model,
                torch.as_tensor(self._observations[places], device=model.device),
                torch.as_tensor(self._actions[places], device=model.device),
                torch.as_tensor(self._returns[places], device=model.device),
                torch.as_tensor(corrections / corrections.max(), dtype=torch.float32, device=model.device),
                self.settings.value_coef,
            )
            model.policy.optimizer.zero_grad()
            (self.settings.coef * loss).backward()
            torch.nn.utils.clip_grad_norm_(model.policy.parameters(), model.max_grad_norm)
            model.policy.optimizer.step()
            self._priorities[places] = np.maximum(gains.cpu().numpy(), LEAST_PRIORITY)
            shares.append(float((gains > 0).float().mean()))
        return float(np.mean(shares))


def discounted_returns(rewards: NDArray[Any], gamma: float) -> NDArray[np.float32]:
    """The discounted sum of each step's reward and all later ones of an episode.

    :param rewards: shape (T,)
    """
    returns = np.zeros(len(rewards), np.float32)
    following = 0.0
    for step in range(len(rewards) - 1, -1, -1):
        following = float(rewards[step]) + gamma * following
        returns[step] = following
    return returns


def self_imitation_loss(
    model: OnPolicyAlgorithm, observations: Tensor, actions: Tensor, returns: Tensor, weights: Tensor, value_coef: float
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and what each return is above the value.

    :param observations: (B, ...)
    :param actions: (B,), int64
    :param returns: (B,)
    :param weights: (B,), 0 to 1
    :return: the loss; (R - V)+, shape (B,), without gradient
    """
    values, log_probs, _ = model.policy.evaluate_actions(observations, actions)
    gains = (returns - values.flatten()).clamp(min=0)
    policy_loss = -(weights * log_probs * gains.detach()).mean()
    return policy_loss + value_coef * (weights * gains.square()).mean() / 2, gains.detach()
