"""Samplers and pruners by name, with a seed for each trial.

A sampler is seeded anew for every trial, from the study's seed and the trial's place in the plan. So a trial depends on
these and on the trials in the storage, not on which process samples it, what that process did before, or whether it was
killed in between.

Credits: Optuna (Akiba et al. 2019, arXiv 1907.10902); Bergstra et al. 2011 (TPE), Watanabe 2023 (arXiv 2304.11127,
its multivariate form); Hansen 2016 (arXiv 1604.00772, CMA-ES); Jamieson and Talwalkar 2016 (arXiv 1502.07943,
successive halving); Li et al. 2018 (arXiv 1603.06560, Hyperband); Golovin et al. 2017 (the median rule).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from common.errors import UserError, nearest
from common.seeds import derive_seed
from tune.cma_sampler import CmaSampler
from tune.plan import PLAN, InPlanOrder, numbered

STARTUP = 8  # random trials before the sampler uses them
REDUCTION = 3  # one in three trials continues at each rung of the halving pruners
LEAST_WILCOXON = 5  # seeds: if the first four are worse, p is 1/16, and the fifth can be saved

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(n_startup_trials=STARTUP, multivariate=True, group=True, seed=seed),
    "cmaes": CmaSampler,
    "gp": lambda seed: GPSampler(n_startup_trials=STARTUP, seed=seed, warn_independent_sampling=False),
    "random": lambda seed: RandomSampler(seed=seed),
}
PRUNERS = ("hyperband", "successive-halving", "median", "wilcoxon", "none")


def check_names(sampler: str, pruner: str, objectives: int, seeds: int) -> None:
    """:raises UserError: for unknown names, and for those that cannot be used with so many objectives or seeds"""
    if sampler not in SAMPLERS:
        raise UserError(f"unknown sampler '{sampler}' (known: {', '.join(SAMPLERS)}){nearest(sampler, SAMPLERS)}")
    if pruner not in PRUNERS:
        raise UserError(f"unknown pruner '{pruner}' (known: {', '.join(PRUNERS)}){nearest(pruner, PRUNERS)}")
    if objectives > 1 and sampler == "cmaes":
        raise UserError("--sampler cmaes has one objective; choose tpe, gp or random for two")
    if objectives > 1 and pruner != "none":
        raise UserError(f"--pruner {pruner} has one objective; choose none for two")
    if pruner == "wilcoxon" and seeds < LEAST_WILCOXON:
        raise UserError(
            f"--pruner wilcoxon compares seeds, and fewer than {LEAST_WILCOXON - 1} cannot tell; "
            f"give at least --seeds {LEAST_WILCOXON}"
        )


class SeededSampler(BaseSampler):
    """A sampler that is created and seeded anew for every trial.

    :param name: a key of ``SAMPLERS``
    :param seed: the study's seed
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.seed = seed
        self._inner: BaseSampler = RandomSampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Create the inner sampler with the trial's seed."""
        seed = derive_seed((self.seed, int(trial.user_attrs[PLAN]), 1), bits=32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._inner = SAMPLERS[self.name](seed)
        self._inner.before_trial(InPlanOrder(study), numbered(trial))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See Optuna's ``BaseSampler``."""
        return self._inner.infer_relative_search_space(InPlanOrder(study), numbered(trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See Optuna's ``BaseSampler``."""
        return self._inner.sample_relative(InPlanOrder(study), numbered(trial), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna's ``BaseSampler``."""
        return self._inner.sample_independent(InPlanOrder(study), numbered(trial), param_name, param_distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """See Optuna's ``BaseSampler``."""
        self._inner.after_trial(InPlanOrder(study), numbered(trial), state, values)


class _Hyperband(HyperbandPruner):
    """Hyperband that assigns brackets by places in the plan, equally in every process, and ignores lost attempts."""

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        if not self._pruners:  # or the first trial of a process would be in bracket 0 until it is first reported
            self._try_initialization(study)
        return -1 if trial.state == TrialState.FAIL else super()._get_bracket_id(study, numbered(trial))


class _SuccessiveHalving(SuccessiveHalvingPruner):
    """Successive halving that ignores lost attempts."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return super().prune(InPlanOrder(study), trial)


def make_pruner(name: str, steps: int) -> BasePruner:
    """A pruner by name.

    :param name: one of ``PRUNERS``
    :param steps: the full budget of a training
    """
    least = rungs(name, steps)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "hyperband":
            return _Hyperband(least, steps, REDUCTION)
        if name == "successive-halving":
            return _SuccessiveHalving(least, REDUCTION)
        if name == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3)
        if name == "wilcoxon":
            return optuna.pruners.WilcoxonPruner(n_startup_steps=LEAST_WILCOXON - 1)
        return optuna.pruners.NopPruner()


def rungs(pruner: str, steps: int) -> tuple[int, ...]:
    """The budgets at which a trial reports its value, in ascending order; the last one is the full budget.

    :param steps: the full budget of a training
    """
    if pruner in ("hyperband", "successive-halving"):
        shares: tuple[int, ...] = (REDUCTION**2, REDUCTION, 1)
    elif pruner == "median":
        shares = (4, 2, 1)
    else:
        shares = (1,)
    return tuple(sorted({max(1, steps // share) for share in shares}))
