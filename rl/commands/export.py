"""The command ``export``: an agent as a file of Stable-Baselines3 alone, with a model card.

run_gravitar.py export results/gravitar/ppo-ram exported
python -c "from stable_baselines3 import PPO; print(PPO.load('exported/model.zip').policy)"

``model.zip`` is written for others and never read here. Its policy has the classes of Stable-Baselines3 and
sb3-contrib alone and computes in float32. Where the agent sees the bits of a game's RAM, they are its observation
(``numpy.unpackbits`` of the bytes), which the card shows how to make.

Credits: Stable-Baselines3 (Raffin et al. 2021); M. Mitchell et al. 2019 (arXiv 1810.03993) for model cards.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from common.checkpoints import choose_checkpoint, steps_of
from common.errors import UserError
from common.files import check_new_output, new_folder
from common.run_folder import RunFolder
from common.scores.statistics import bootstrap_interval
from rl.agent import FRAME_BUFFER_ALGORITHMS, load_policy, sees_ram_bits
from rl.envs.make_env import make_vec_env
from rl.evaluate import plays_greedily
from rl.options import ExportSettings
from rl.settings import RunSettings
from rl.zoo.config import ALGORITHMS

LAST_GAMES = 100
SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
TRAINING_ONLY = ("replay_buffer_class", "replay_buffer_kwargs", "rollout_buffer_class", "optimize_memory_usage")


class Spaces(gymnasium.Env[Any, Any]):
    """An environment of which only the spaces are used, to build a model for it."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = observation_space
        self.action_space = action_space


def export(user: ExportSettings) -> None:
    """Write ``model.zip`` and ``README.md``, the model card.

    :raises UserError: for a missing run or checkpoint, an agent that plain Stable-Baselines3 cannot hold, or an output
        that exists or cannot be written
    """
    run = RunFolder(user.run)
    settings = RunSettings.from_yaml(run.settings)
    checkpoint = choose_checkpoint(run.checkpoints, user.checkpoint)
    check_new_output(user.output)
    model = plain_model(settings, checkpoint)
    with new_folder(user.output) as folder:
        model.save(folder / "model.zip")
        (folder / "README.md").write_text(model_card(settings, run, checkpoint, model))
    print(f"{user.output}: model.zip and README.md, the model card, which says how to play with it")


def plain_model(settings: RunSettings, checkpoint: Path) -> BaseAlgorithm:
    """A checkpoint's agent as a model of Stable-Baselines3's or sb3-contrib's own class.

    :raises UserError: when the policy has classes of this project, or the weights do not fit (status 1)
    """
    if settings.algo == "hdqn":
        raise UserError("an agent with goals cannot be exported: plain Stable-Baselines3 has no meta-controller")
    env = make_vec_env(settings.environment, 1, settings.seed)
    observations, actions = env.observation_space, env.action_space
    env.close()
    policy_kwargs = dict(settings.parsed.algorithm.get("policy_kwargs") or {})
    if sees_ram_bits(settings):
        assert isinstance(observations, spaces.Box)
        observations = spaces.Box(0, 1, (8 * observations.shape[0],), np.uint8)
    for name, value in policy_kwargs.items():
        kind = value.func if isinstance(value, partial) else value
        if isinstance(kind, type) and kind.__module__.partition(".")[0] in ("rl", "callbacks", "common"):
            raise UserError(
                f"{settings.source}: {name} {kind.__name__} is of this project alone; it cannot be exported"
            )
    arguments = {key: value for key, value in settings.parsed.algorithm.items() if key not in TRAINING_ONLY}
    arguments |= {name: arguments[name](1.0) for name in SCHEDULES if callable(arguments.get(name))}
    small = {"buffer_size": 1} if settings.algo in FRAME_BUFFER_ALGORITHMS else {"n_steps": 2, "batch_size": 2}
    arguments |= {"policy_kwargs": policy_kwargs, "device": "cpu", "seed": settings.seed, **small}
    algorithm: type[BaseAlgorithm] = ALGORITHMS[settings.algo]
    model = algorithm(settings.parsed.policy, Spaces(observations, actions), **arguments)
    load_policy(model, checkpoint)
    return model


def model_card(settings: RunSettings, run: RunFolder, checkpoint: Path, model: BaseAlgorithm) -> str:
    """The card in Markdown: what it is, how to use it, protocol, seeds, scores with intervals, limits, licence."""
    environment, protocol = settings.environment, settings.environment.protocol
    library = "sb3_contrib" if settings.algo == "qrdqn" else "stable_baselines3"
    algorithm = type(model).__name__
    bits = sees_ram_bits(settings)
    hyperparameters = (f"`{key}={value}`" for key, value in settings.hyperparameters.items() if key != "env_wrapper")
    skip = protocol.frame_skip if isinstance(protocol.frame_skip, int) else f"{protocol.frame_skip} (drawn)"
    return f"""---
library_name: {library.replace("_", "-")}
tags: [reinforcement-learning, atari, {environment.env_id.replace("/", "-").lower()}]
license: mit
---

# {algorithm} on {environment.env_id} ({environment.obs})

An agent that was trained for {steps_of(checkpoint):,} agent steps by {algorithm}, exported from `{run.path.name}/{
        checkpoint.name
    }`.

## Use

```python
{_usage(environment.env_id, environment.obs, bits, protocol, library, algorithm, settings.algo)}```

It computes in float32{
        " (it was trained with layers in bfloat16, so single actions may differ)"
        if settings.precision == "bfloat16"
        else ""
    }.

## Training

| | |
| --- | --- |
| observation | {"the 1,024 bits of RAM" if bits else environment.obs}, stack of {protocol.frame_stack} |
| frame skip, sticky actions | {skip}, {protocol.sticky:g} |
| no-ops at the start, fire | up to {protocol.noop_max}, {"yes" if protocol.fire_reset else "no"} |
| a lost life ends the learner's episode | {"yes" if protocol.life_loss_terminal else "no"} |
| the learner's reward | {protocol.reward} |
| seed, environments | {settings.seed}, {settings.n_envs} |
| versions | {", ".join(f"{name} {version}" for name, version in settings.versions.items())} |

Hyperparameters: {", ".join(hyperparameters)}.

## Scores

Raw scores of whole games, points, with 95% bootstrap intervals of the mean over games. It is one training with one
seed: the intervals say nothing about another.

| games | mean | best |
| --- | --- | --- |
{_scores(run, settings.seed)}
## Limits

It plays this game with these rules only. Scores with other rules (no sticky actions, another frame skip) do not
compare.

## Licence

MIT, for the weights. The game is in ale-py (GPL-2.0).
"""


def _usage(env_id: str, obs: str, bits: bool, protocol: Any, library: str, algorithm: str, algo: str) -> str:
    skip = protocol.frame_skip if isinstance(protocol.frame_skip, int) else tuple(protocol.frame_skip)
    lines = ["import ale_py, gymnasium as gym, numpy as np", f"from {library} import {algorithm}", ""]
    lines.append("gym.register_envs(ale_py)")
    if obs == "ram":
        sticky = f"repeat_action_probability={protocol.sticky:g}"
        lines.append(f'env = gym.make("{env_id}", obs_type="ram", frameskip={skip}, {sticky})')
    else:
        lines += [
            "from stable_baselines3.common.atari_wrappers import AtariWrapper",
            "from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack",
            f'game = lambda: gym.make("{env_id}", frameskip=1, repeat_action_probability={protocol.sticky:g})',
            f"env = VecFrameStack(DummyVecEnv([lambda: AtariWrapper(game())]), {protocol.frame_stack})",
        ]
        return "\n".join([*lines, f'model = {algorithm}.load("model.zip", env=env)']) + "\n"
    seen = "np.unpackbits(observation)" if bits else "observation"
    lines += [
        f'model = {algorithm}.load("model.zip")',
        "observation, _ = env.reset(seed=742)",
        "over, score = False, 0.0",
        "while not over:",
        f"    action, _ = model.predict({seen}, deterministic={plays_greedily(None, algo)})",
        "    observation, reward, terminated, truncated, _ = env.step(action)",
        "    score, over = score + reward, terminated or truncated",
        "print(score)",
    ]
    return "\n".join(lines) + "\n"


def _scores(run: RunFolder, seed: int) -> str:
    rows = []
    for path in sorted((run.path / "evaluations").glob("*.json")):
        one = json.loads(path.read_text())
        interval = "[{:.0f}, {:.0f}]".format(*one["mean_interval"])
        rows.append(f"| {one['n']} fresh ones, {one['policy']} | {one['mean']:.0f} {interval} | {one['best']:.0f} |")
    if run.monitor.exists():
        lines = run.monitor.read_text().splitlines()[2:]
        last = np.array([float(line.partition(",")[0]) for line in lines[-LAST_GAMES:]])
        if last.size > 1:
            low, high = bootstrap_interval(last, np.mean, generator=np.random.default_rng(seed))
            mean = f"{last.mean():.0f} [{low:.0f}, {high:.0f}]"
            rows.append(f"| the last {last.size} of the training | {mean} | {last.max():.0f} |")
    return "\n".join(rows or ["| none was finished | | |"]) + "\n"
