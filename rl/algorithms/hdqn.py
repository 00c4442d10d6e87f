"""h-DQN: a meta-controller that chooses goals, and a controller that goes to them, each a DQN with its own buffer.

    HDQN("CnnPolicy", GoalVecEnv(env, Critic("montezuma_revenge"), "pixels"), replay_buffer_class=GoalReplayBuffer,
         replay_buffer_kwargs=dict(frame_stack=4))

The controller is this model: its environment shows the goal and rewards reaching it (``rl.envs.goal_env``). Its
epsilon is one for each goal: it falls as the goal is reached. First the controller learns alone, from random goals.
Then the meta-controller learns, too: a DQN without goal whose actions are goals, whose step lasts as long as a goal and
is worth the game's own rewards meanwhile.

Credits: T. D. Kulkarni, K. R. Narasimhan, A. Saeedi, J. B. Tenenbaum 2016 (arXiv 1604.06057), algorithms 1 and 2;
Stable-Baselines3's ``DQN`` (Raffin et al. 2021), of which both parts are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.dqn.policies import DQNPolicy

from common.npz import pack_arrays, unpack_arrays
from rl.algorithms.replay_dqn import ReplayDQN
from rl.buffers.replay_buffer import FrameReplayBuffer
from rl.envs.goal_env import GoalEnd, GoalVecEnv

ATTEMPTS = 100  # of a goal, over which its success is counted
META_OPTIMIZER, META_BUFFER, GOAL_STATE = "meta-optimizer.pt", "meta-memory.npz", "goals.npz"
META_CHUNK = "meta-replay-"
_COUNTERS = ("num_timesteps", "_n_updates", "_n_calls", "exploration_rate", "_current_progress_remaining")


class _Spaces(gymnasium.Env[Any, Any]):
    """An environment of which only the spaces are used."""

    def __init__(self, observations: spaces.Space[Any], goals: int) -> None:
        self.observation_space = observations
        self.action_space = spaces.Discrete(goals)


class HDQN(ReplayDQN):
    """The controller, with its meta-controller in ``meta``. Parameters as DQN's, and:

    :param alone: share of the training in which the controller learns alone, 0 to 1
    :param goal_annealing: how often a goal has to be reached until the controller's epsilon for it is the final one
    :param patience: steps after which a goal is given up, at least 1
    :param meta_buffer_size: transitions of the meta-controller that are kept
    :param meta_batch_size: transitions in a batch of the meta-controller
    :param meta_target_update_interval: goals between updates of its target network
    :param meta_exploration_fraction: share of the training's rest after ``alone`` in which its epsilon falls
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        alone: float = 0.5,
        goal_annealing: int = 300,
        patience: int = 300,
        meta_buffer_size: int = 10_000,
        meta_batch_size: int = 32,
        meta_target_update_interval: int = 500,
        meta_exploration_fraction: float = 0.5,
        **kwargs: Any,
    ) -> None:
        self.alone = alone
        self.goal_annealing = goal_annealing
        self.patience = patience
        self._meta_arguments: dict[str, Any] = {
            "buffer_size": meta_buffer_size,
            "batch_size": meta_batch_size,
            "target_update_interval": meta_target_update_interval,
            "exploration_fraction": meta_exploration_fraction,
        }
        self._meta_due = 0  # gradient steps of the meta-controller
        super().__init__(policy, env, **kwargs)

    def _setup_model(self) -> None:
        goal_env = self.goal_env
        goal_env.patience = self.patience
        goal_env.choose = self.choose_goals
        super_kwargs = dict(self.replay_buffer_kwargs)
        self.replay_buffer_kwargs = {**super_kwargs, "goal_inputs": goal_env.goal_inputs}
        super()._setup_model()
        stack = super_kwargs.get("frame_stack", 1)
        inner, goals = goal_env.inner_space, len(goal_env.critic)
        self.meta = ReplayDQN(
            cast(type[DQNPolicy], self.policy_class),
            DummyVecEnv([partial(_Spaces, inner, goals)]),
            learning_rate=self.learning_rate,
            gamma=self.gamma,
            exploration_final_eps=self.exploration_final_eps,
            replay_buffer_class=FrameReplayBuffer,
            replay_buffer_kwargs={"frame_stack": stack, "gamma": self.gamma},
            max_grad_norm=self.max_grad_norm,
            policy_kwargs=dict(self.policy_kwargs),
            device=self.device,
            **self._meta_arguments,
        )
        self.meta.exploration_rate = 1.0
        # Weights of a checkpoint are those of the policy: the meta-controller's are among them.
        self.policy.meta = self.meta.policy
        self.successes: NDArray[np.int8] = np.full((goals, ATTEMPTS), -1, np.int8)  # the newest last; -1 for none
        self.reached: NDArray[np.int64] = np.zeros(goals, np.int64)  # how often each goal was
        seed = self.seed if self.seed is not None else int(np.random.randint(2**31))  # noqa: NPY002 (as SB3's)
        self.generator = np.random.default_rng([seed, 1])

    @property
    def goal_env(self) -> GoalVecEnv:
        """The environment, in which the goals are."""
        assert isinstance(self.env, GoalVecEnv), "h-DQN needs a GoalVecEnv"
        return self.env

    def success(self) -> NDArray[np.float64]:
        """The share of the last ``ATTEMPTS`` attempts at each goal that reached it; 0 without any, (G,)."""
        known = self.successes >= 0
        share: NDArray[np.float64] = (self.successes == 1).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return share

    def epsilons(self) -> NDArray[np.float64]:
        """The controller's epsilon for each goal, (G,).

        A line from 1 to the final one over the first ``goal_annealing`` times that the goal is reached; no larger than
        the share of attempts that fail, and than ``exploration_rate``, which falls with the steps.
        """
        final = self.exploration_final_eps
        line = 1 - (1 - final) * self.reached / self.goal_annealing
        return np.clip(np.minimum(line, 1 - self.success()), final, max(self.exploration_rate, 0.0))

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions for observations with goals, (N, ...): epsilon-greedy with the epsilon of each one's goal."""
        actions, _ = self.policy.predict(observation, deterministic=True)
        if deterministic:
            return actions, state
        assert isinstance(self.action_space, spaces.Discrete)
        epsilons = self.epsilons()[self.goal_env.goal]
        random = self.generator.random(len(epsilons)) < epsilons
        anything = self.generator.integers(self.action_space.n, size=len(epsilons))
        return np.where(random, anything, actions), state

    def choose_goals(self, observations: NDArray[Any], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The meta-controller's goals for observations without goals, epsilon-greedy among those allowed.

        :param observations: (n, ...)
        :param allowed: bool (n, G)
        """
        random = self.generator.random(len(observations)) < self.meta.exploration_rate
        keys = self.generator.random(allowed.shape)
        if not random.all():
            policy = self.meta.policy
            policy.set_training_mode(False)
            with torch.no_grad():
                values = policy.q_net(policy.obs_to_tensor(observations)[0]).cpu().numpy()
            keys[~random] = values[~random]
        goals: NDArray[np.int64] = np.where(allowed, keys, -np.inf).argmax(axis=1)
        return goals

    def _on_step(self) -> None:
        super()._on_step()
        done = 1 - self._current_progress_remaining
        joint = (done - self.alone) / max(1 - self.alone, 1e-9)
        self.meta._current_progress_remaining = 1 - max(joint, 0.0)
        self.meta.exploration_rate = self.meta.exploration_schedule(self.meta._current_progress_remaining)

    def _store_transition(self, *args: Any, **kwargs: Any) -> None:
        super()._store_transition(*args, **kwargs)
        for end in self.goal_env.take_ended():
            self._learn_of(end)

    def _learn_of(self, end: GoalEnd) -> None:
        self.successes[end.goal] = np.roll(self.successes[end.goal], -1)
        self.successes[end.goal, -1] = end.reached
        self.reached[end.goal] += end.reached
        buffer = self.meta.replay_buffer
        assert buffer is not None
        buffer.add(
            end.observation[None],
            end.next_observation[None],
            np.array([[end.goal]]),
            np.array([end.gained], np.float32),
            np.array([end.done]),
            [{"TimeLimit.truncated": end.truncated}],
        )
        self._meta_due += 1

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the controller, and the meta-controller once for each goal that has ended."""
        super().train(gradient_steps, batch_size)
        due, self._meta_due = self._meta_due, 0
        if due and 1 - self._current_progress_remaining >= self.alone:
            self._train_meta(due)
        names = self.goal_env.critic.names
        for name, success in zip(names, self.success().tolist(), strict=True):
            self.logger.record(f"goals/success_{name}", success)
        self.logger.record("goals/meta_epsilon", self.meta.exploration_rate)

    def _train_meta(self, due: int) -> None:
        meta = self.meta
        assert meta.replay_buffer is not None
        if meta.replay_buffer.size() < meta.batch_size:
            return
        meta._logger = _Silent()  # type: ignore[assignment]
        for _ in range(due):
            meta.train(1, meta.batch_size)
            meta._n_calls += 1
            if meta._n_calls % meta.target_update_interval == 0:
                meta.q_net_target.load_state_dict(meta.q_net.state_dict())
        # Its gradients are no part of the controller's, whose norm is clipped over all weights of the policy.
        meta.policy.optimizer.zero_grad()

    def files(self) -> dict[str, bytes]:
        """What a checkpoint needs besides a DQN's, without the chunks of the meta-controller's buffer."""
        optimizer = io.BytesIO()
        torch.save(self.meta.policy.optimizer.state_dict(), optimizer)
        counters = {name: getattr(self.meta, name) for name in _COUNTERS}
        about = {"meta": counters, "due": self._meta_due, "generator": self.generator.bit_generator.state}
        arrays: dict[str, NDArray[Any]] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "successes": self.successes,
            "times": self.reached,
            **self.goal_env.arrays(),
        }
        return {
            META_OPTIMIZER: optimizer.getvalue(),
            META_BUFFER: self._meta_buffer.state(),
            GOAL_STATE: pack_arrays(arrays, compress=True),
        }

    def chunks(self) -> dict[str, Callable[[], bytes]]:
        """The makers of the chunks of the meta-controller's buffer, by file names that contain a version."""
        buffer = self._meta_buffer
        versions = enumerate(buffer.chunk_versions())
        return {f"{META_CHUNK}{index:05d}-{version}.npz": partial(buffer.chunk, index) for index, version in versions}

    def load_files(self, read: Callable[[str], bytes], chunks: Mapping[str, Callable[[], bytes]]) -> None:
        """Go on from a checkpoint; the weights are loaded with the policy's.

        :param read: the content of a file
        :param chunks: readers of all chunks, by name
        """
        optimizer = torch.load(io.BytesIO(read(META_OPTIMIZER)), weights_only=True, map_location=self.device)
        self.meta.policy.optimizer.load_state_dict(optimizer)
        ours = (chunk() for name, chunk in chunks.items() if name.startswith(META_CHUNK))
        self._meta_buffer.load_state(read(META_BUFFER), ours)
        arrays = unpack_arrays(read(GOAL_STATE))
        about = json.loads(arrays["about"].tobytes())
        for name, value in about["meta"].items():
            setattr(self.meta, name, value)
        self._meta_due = about["due"]
        self.generator.bit_generator.state = about["generator"]
        self.successes[...] = arrays["successes"]
        self.reached[...] = arrays["times"]
        self.goal_env.load_arrays(arrays)

    @property
    def _meta_buffer(self) -> FrameReplayBuffer:
        assert isinstance(self.meta.replay_buffer, FrameReplayBuffer)
        return self.meta.replay_buffer


class _Silent:
    """A logger that drops what the meta-controller records under the controller's names."""

    def record(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""
