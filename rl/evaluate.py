"""Evaluation of a trained agent: raw scores of whole games with confidence intervals, and the rules of play.

Credits: R. Agarwal et al. 2021 (arXiv 2108.13264) for the interquartile mean with bootstrap intervals;
Stable-Baselines3's ``evaluate_policy`` for dividing the games among environments so that short ones do not count more;
M. C. Machado et al. 2018 (arXiv 1709.06009) for saying whether actions are sticky; V. Mnih et al. 2015 (Nature 518) for
no-ops at the start.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from common.checkpoints import choose_checkpoint
from common.errors import UserError, check_at_least, check_counts
from common.files import write_atomic
from common.run_folder import RunFolder
from common.scores.statistics import Summary, summarise
from common.tables import print_table
from rl.agent import load_agent
from rl.algorithms.hdqn import HDQN
from rl.envs.make_env import EnvironmentSettings, make_vec_env
from rl.options import EvaluateSettings
from rl.registration import is_atari
from rl.settings import MOST_ENVS, RunSettings

MOST_GAMES = 1_000_000
NOOPS = 30  # at the start of a game, as in Mnih et al. 2015


def evaluate(user: EvaluateSettings) -> None:
    """Play the games, print a table and write the JSON file.

    :raises UserError: for a setting out of range, a missing run or checkpoint, weights that do not fit
    """
    check_counts(MOST_GAMES, {"--games": user.games})
    check_counts(MOST_ENVS, {"--n-envs": user.n_envs})
    check_at_least(0, {"--seed": user.seed})
    if user.sticky is not None and not 0 <= user.sticky <= 1:
        raise UserError(f"--sticky is a probability from 0 to 1, not {user.sticky:g}")
    environment, greedy = _rules(user)
    with open_agent(user.run, user.checkpoint, user.seed, min(user.n_envs, user.games), environment) as agent:
        settings, checkpoint, model, env = agent
        lengths, scores = play_games(model, env, user.games, greedy)
    protocol = settings.environment.protocol
    summary = summarise(scores, np.random.default_rng(user.seed))
    rules = {
        "run": str(user.run),
        "checkpoint": checkpoint.name,
        "environment": settings.environment.env_id,
        "observation": settings.environment.obs,
        "policy": "greedy" if greedy else _sampling(model),
        "seed": user.seed,
    }
    name = f"{checkpoint.name}-{'greedy' if greedy else 'sampled'}"
    if is_atari(settings.environment.env_id):
        rules |= {
            "sticky": protocol.sticky,
            "frame_skip": protocol.frame_skip,
            "noop_max": protocol.noop_max,
            "max_frames": protocol.max_frames,
        }
        name += f"-sticky-{protocol.sticky:g}"
    print_table(Console(), _table(rules, summary, lengths))
    path = user.json or user.run / "evaluations" / f"{name}.json"
    content = {**rules, **asdict(summary), "scores": scores.tolist(), "lengths": lengths.tolist()}
    write_atomic(path, json.dumps(content, indent=1) + "\n")
    print(f"also in {path}")


def _rules(user: EvaluateSettings) -> tuple[EnvironmentSettings, bool]:
    """The environment of the evaluation, and whether the agent plays greedily in it.

    Greedy games without anything random are all the same one; no-ops at their start make them differ.
    """
    settings = RunSettings.from_yaml(RunFolder(user.run).settings)
    environment, protocol = settings.environment, settings.environment.protocol
    if user.sticky is not None:
        protocol = replace(protocol, sticky=user.sticky)
    greedy = plays_greedily(user.policy, settings.algo)
    random = protocol.sticky or protocol.noop_max or not isinstance(protocol.frame_skip, int)
    if greedy and not random and user.games > 1 and is_atari(environment.env_id):
        protocol = replace(protocol, noop_max=NOOPS)
        print(f"no sticky actions, greedy play: each game begins with up to {NOOPS} no-ops, or all would be the same")
    return replace(environment, protocol=protocol), greedy


@contextlib.contextmanager
def open_agent(
    run_folder: Path,
    checkpoint: str | None,
    seed: int,
    n_envs: int,
    environment: EnvironmentSettings | None = None,
) -> Iterator[tuple[RunSettings, Path, BaseAlgorithm, VecEnv]]:
    """A trained agent and an environment to play in, which is closed afterwards.

    DQN and QR-DQN explore with their final epsilon where they do not play greedily.

    :param checkpoint: which one, None for the latest
    :param seed: of games and sampled actions
    :param environment: to play in, None for that of the training
    :return: the run's settings with that seed, the checkpoint's folder, the model, the environment
    :raises UserError: for a missing run or checkpoint, or weights that do not fit
    """
    run = RunFolder(run_folder)
    settings = RunSettings.from_yaml(run.settings)
    path = choose_checkpoint(run.checkpoints, checkpoint)
    settings = replace(settings, environment=environment or settings.environment, seed=seed)
    env = make_vec_env(settings.environment, n_envs, seed)
    try:
        model = load_agent(settings, env, path)
        if hasattr(model, "exploration_rate"):
            model.exploration_rate = cast(Any, model).exploration_final_eps
        if isinstance(model, HDQN):
            model.meta.exploration_rate = 0.0
        yield settings, path, model, env
    finally:
        env.close()


def plays_greedily(policy: Literal["greedy", "sampled"] | None, algo: str) -> bool:
    """Whether the best action is always taken: as asked, else with DQN and QR-DQN, not with PPO."""
    return algo != "ppo" if policy is None else policy == "greedy"


def play_games(model: BaseAlgorithm, env: VecEnv, games: int, greedy: bool) -> tuple[Any, Any]:
    """Play whole games.

    Every environment plays its share, the first ones one more, so that long games count as much as short ones.

    :param env: its infos have ``episode`` at the end of a whole game (this project's do, and any with ``Monitor``)
    :param games: number of games
    :param greedy: take the best action; else sample it from the policy, or epsilon-greedily
    :return: lengths int64 (games,) in agent steps and scores float64 (games,) in points, by environment, then game
    """
    shares = [games // env.num_envs + (index < games % env.num_envs) for index in range(env.num_envs)]
    finished: list[list[tuple[int, float]]] = [[] for _ in shares]
    observations = env.reset()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("playing", total=games)
        while any(len(done) < share for done, share in zip(finished, shares, strict=True)):
            actions, _ = model.predict(cast(Any, observations), deterministic=greedy)
            observations, _, _, infos = env.step(actions)
            for index, info in enumerate(infos):
                if "episode" in info and len(finished[index]) < shares[index]:
                    finished[index].append((int(info["episode"]["l"]), float(info["episode"]["r"])))
                    bar.advance(task)
    results = [result for done in finished for result in done]
    return np.array([length for length, _ in results]), np.array([score for _, score in results])


def _sampling(model: BaseAlgorithm) -> str:
    epsilon = getattr(model, "exploration_final_eps", None)
    return "sampled" if epsilon is None else f"epsilon-greedy, epsilon {epsilon:g}"


def _table(rules: dict[str, Any], summary: Summary, lengths: Any) -> Table:
    policy = rules["policy"]
    if "sticky" in rules:
        policy += f", sticky actions {rules['sticky']:g}" if rules["sticky"] else ", no sticky actions"
    title = f"{rules['run']}, {rules['checkpoint']}: {policy}, {rules['environment']}"
    caption = "raw scores of whole games, points; IQM: interquartile mean; 95% bootstrap intervals"
    table = Table(title=title, caption=caption)
    for column in ("games", "mean", "median", "IQM", "std", "min", "best", "steps a game"):
        table.add_column(column, justify="right")
    table.add_row(
        str(summary.n),
        with_interval(summary.mean, summary.mean_interval),
        f"{summary.median:.0f}",
        with_interval(summary.iqm, summary.iqm_interval),
        f"{summary.std:.0f}",
        f"{summary.minimum:.0f}",
        f"{summary.best:.0f}",
        f"{lengths.mean():.0f}",
    )
    return table


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """The interval is left out where it has no width: so few or equal games say nothing about others."""
    low, high = interval
    return f"{value:.0f} [{low:.0f}, {high:.0f}]" if low < high else f"{value:.0f}"
