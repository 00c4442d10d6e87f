"""The search for an agent's hyperparameters: each trial trains with several seeds, in ordinary run folders.

The score of a seed is the interquartile mean of the raw scores of the whole games that finished in the last part of its
training; the value of a trial is the interquartile mean over its seeds. All trainings of a trial reach one budget
before any continues to the next, so the trial can be pruned by the value over all seeds. Trainings pause and resume
exactly, so this does not change their results.

Credits: R. Agarwal et al. 2021 (arXiv 2108.13264) for the interquartile mean; rl-baselines3-zoo (Raffin 2020) for the
format of the values.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.distributions import IntDistribution
from optuna.trial import BaseTrial, FixedTrial

from common.checkpoints import prune
from common.errors import UserError, nearest
from common.records import plain
from common.run_folder import Exists, RunFolder, git_commit, package_versions
from common.scores.statistics import interquartile_mean
from rl.envs.make_env import is_native
from rl.options import TrainSettings
from rl.settings import RunSettings, resolve
from rl.train import PACKAGES, refuse_changes, train_new, train_on
from rl.zoo.config import parse_block
from tune.game_scores import GameScores, NoGames, read_score, steps_reached
from tune.samplers import rungs
from tune.settings import GravitarStudy
from tune.spaces import ALGORITHMS, Narrowed, check_searched, distributions, parse_ranges
from tune.task import Direction, Outcome, Params, Progress, Pruned

LEAST_UPDATES = 4  # smallest number of rollouts of a training
MOST_CHECKPOINTS = 4  # of a training; a worker that dies loses the steps since the latest one


class GravitarTask:
    """See ``tune.task.Task``.

    :raises UserError: for an unknown name, and for budgets that are too small for the search space
    """

    metrics = ("score (points, IQM)",)
    directions: tuple[Direction, ...] = ("maximize",)

    def __init__(self, study: GravitarStudy) -> None:
        if study.algo not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise UserError(f"unknown algorithm '{study.algo}' (known: {known}){nearest(study.algo, ALGORITHMS)}")
        self.study = study
        self.base = resolve(
            TrainSettings(
                algo=study.algo,
                obs=study.obs,
                env=study.env,
                timesteps=study.steps,
                n_envs=study.n_envs,
                device=study.device,
                config=Path(study.config) if study.config else None,
                set=study.set,
                protocol=study.protocol,
                life_loss=study.life_loss,
                video_every=0,
                checkpoint_every=max(1, study.steps // MOST_CHECKPOINTS),
            )
        )
        if not is_native(self.base.environment):
            raise UserError(f"{study.env} ({study.obs}) cannot be paused and gone on with; search on an Atari game")
        self.block = {**self.base.hyperparameters, "n_envs": self.base.n_envs}
        self._space, values = ALGORITHMS[study.algo]
        try:
            self._defaults = values(self.block)
        except KeyError as error:
            raise UserError(f"{self.base.source}: the search needs {error.args[0]}; give it by --set") from error
        self.ranges = parse_ranges(study.range)
        check_searched([*study.search, *self.ranges], list(self._defaults))
        self._check_satisfiable()

    def space(self, trial: BaseTrial) -> Params:
        """The searched hyperparameters, in the zoo's format."""
        return self._space(Narrowed(trial, self._defaults, self.study.search, self.ranges), self.block)

    def defaults(self) -> dict[str, Any]:
        """The values of the configuration."""
        return {name: self._defaults[name] for name in distributions(self.space, self._defaults)}

    def definition(self) -> Mapping[str, Any]:
        """Environment, budget, and the hyperparameters that are not searched."""
        values = self.space(FixedTrial(self._defaults))
        searched = distributions(self.space, self._defaults)
        fixed = {name: value for name, value in self.block.items() if name not in values}
        fixed |= {name: value for name, value in self._defaults.items() if name not in searched}
        return {
            "algorithm": self.study.algo,
            "environment": plain(self.base.environment),
            "steps": self.study.steps,
            "last": self.study.last,
            "hyperparameters": plain(fixed),
        }

    def run(self, params: Params, seeds: Sequence[int], folder: Path, progress: Progress) -> Outcome:
        """Train, in ``folder/seed-0`` and so on."""
        trainings = [
            _Training(self._settings(params, seed, f"{folder.name}-seed-{index}"), folder / f"seed-{index}")
            for index, seed in enumerate(seeds)
        ]
        steps, last = self.study.steps, self.study.last
        scores: list[float] = []
        if self.study.pruner == "wilcoxon":  # one seed after the other
            for index, training in enumerate(trainings):
                training.reach(steps, trainings, progress)
                scores.append(training.score(steps, last))
                if progress.report(index, scores[-1]) and index < len(trainings) - 1:
                    raise Pruned
        else:
            for budget in rungs(self.study.pruner, steps):
                for training in trainings:
                    training.reach(budget, trainings, progress)
                try:
                    scores = [training.score(budget, last) for training in trainings]
                except NoGames:
                    if budget == steps:
                        raise
                    continue  # too early for a value
                if progress.report(budget, float(interquartile_mean(scores))) and budget < steps:
                    raise Pruned
        for training in trainings:
            prune(training.folder.checkpoints, 1)
        return Outcome((float(interquartile_mean(scores)),), tuple((score,) for score in scores))

    def _settings(self, params: Params, seed: int, name: str) -> RunSettings:
        """The settings of a training.

        :raises UserError: for values that are not valid
        """
        block = {**self.base.hyperparameters, **params}
        parse_block(block, self.study.algo, f"trial {name}")
        return dataclasses.replace(
            self.base,
            hyperparameters=block,
            seed=seed,
            name=name,
            versions=package_versions(PACKAGES),
            git_commit=git_commit(),
        )

    def _check_satisfiable(self) -> None:
        """:raises UserError: when trainings are too short for some values in the space"""
        kinds = distributions(self.space, self._defaults)
        steps = self.study.steps
        if self.study.algo == "ppo":
            longest = kinds.get("n_steps_log2")
            power = longest.high if isinstance(longest, IntDistribution) else int(self._defaults["n_steps_log2"])
            rollout = self.block["n_envs"] * 2**power
            if steps < LEAST_UPDATES * rollout:
                raise UserError(
                    f"the space has rollouts of up to {rollout:,} steps, too many for trainings of {steps:,}; give "
                    f"--steps {LEAST_UPDATES * rollout} or more, fewer --n-envs, or --range n_steps_log2=LOW:HIGH"
                )
        else:
            starts = int(self.block.get("learning_starts", 100))
            if steps < 2 * starts:
                raise UserError(
                    f"learning begins at step {starts:,}, too late for trainings of {steps:,}; give "
                    f"--steps {2 * starts} or more, or --set learning_starts=N"
                )


def full_steps(study: GravitarStudy) -> int:
    """The budget of the configuration, agent steps."""
    config = Path(study.config) if study.config else None
    return resolve(TrainSettings(algo=study.algo, obs=study.obs, env=study.env, config=config, set=study.set)).timesteps


class _Training:
    """The training with one seed."""

    def __init__(self, settings: RunSettings, path: Path) -> None:
        self.settings = settings
        self.folder = RunFolder(path)
        self.steps = steps_reached(self.folder.checkpoints) if path.exists() else 0
        self.before = self.steps  # steps of earlier attempts
        if path.exists():
            refuse_changes(RunSettings.from_yaml(self.folder.settings), settings)

    def reach(self, budget: int, all_trainings: Sequence[_Training], progress: Progress) -> None:
        """Train up to a number of agent steps."""

        def report(steps: int) -> None:
            self.steps = max(self.steps, steps)
            progress.spent(sum(training.steps - training.before for training in all_trainings))

        if self.steps >= budget:
            return
        pause_at = budget if budget < self.settings.timesteps else None
        self._train([GameScores(report)], pause_at)
        self.steps = steps_reached(self.folder.checkpoints)
        report(self.steps)

    def _train(self, recorders: Sequence[GameScores], pause_at: int | None) -> None:
        if not self.folder.path.exists():
            with contextlib.suppress(Exists):  # another process has just begun with it
                train_new(self.settings, self.folder.path, recorders, pause_at, quiet=True)
                return
        train_on(self.settings, self.folder, recorders, pause_at, quiet=True)

    def score(self, budget: int, last: float) -> float:
        """See ``tune.game_scores.read_score``."""
        return read_score(self.folder.checkpoints, budget, last, self.settings.timesteps)
