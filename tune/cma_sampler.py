"""CMA-ES whose optimiser is computed anew for each trial from the finished ones.

Optuna's own sampler stores its optimiser pickled. This one stores nothing: the optimiser is computed from the finished
trials, one generation after the other. So nothing is unpickled, and a trial depends only on its seed and on the trials
in the storage.

Credits: N. Hansen 2016 (arXiv 1604.00772, CMA-ES); the library cmaes (Nomura and Shibata 2024, arXiv 2402.01373);
Optuna, whose interface of samplers this is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from cmaes import CMA
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

SIGMA = 1 / 6  # initial standard deviation in the unit cube, as in Optuna
SPACE = Mapping[str, BaseDistribution]


class CmaSampler(BaseSampler):
    """Samples the numerical parameters that all trials have by CMA-ES, and all other parameters at random.

    The initial mean is the first finished trial, which has the default values. Pruned trials count with their last
    value, which is good enough for a ranking.

    :param seed: seed of the one trial that this sampler is for
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed % 2**32
        self._random = RandomSampler(seed=self._seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The numerical parameters that every finished trial has."""
        space = IntersectionSearchSpace(include_pruned=True).calculate(study)
        return {
            name: distribution
            for name, distribution in space.items()
            if isinstance(distribution, FloatDistribution | IntDistribution) and not distribution.single()
        }

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A sample of the current generation."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        finished = [one for one in study.get_trials(deepcopy=False, states=states) if one.value is not None]
        if not search_space or not finished:
            return {}
        bounds = np.tile([0.0, 1.0], (len(search_space), 1))
        cma = CMA(to_cube(finished[0].params, search_space), SIGMA, bounds, seed=self._seed)
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        points = [(to_cube(one.params, search_space), sign * float(one.value or 0.0)) for one in finished[1:]]
        size = cma.population_size
        for start in range(0, len(points) - size + 1, size):
            cma.tell(points[start : start + size])
        return from_cube(cma.ask(), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def to_cube(params: Mapping[str, Any], space: SPACE) -> NDArray[np.float64]:
    """Parameter values as a point of the unit cube, float64 (D,)."""
    return np.array([_share(params[name], distribution) for name, distribution in space.items()], np.float64)


def from_cube(point: NDArray[np.float64], space: SPACE) -> dict[str, Any]:
    """The parameter values of a point of the unit cube."""
    return {name: _value(share, kind) for share, (name, kind) in zip(point.tolist(), space.items(), strict=True)}


def _share(value: float, kind: Any) -> float:
    low, high = _ends(kind)
    share: float = ((math.log(value) if kind.log else value) - low) / (high - low)
    return min(1.0, max(0.0, share))


def _value(share: float, kind: Any) -> Any:
    low, high = _ends(kind)
    inner = low + share * (high - low)
    value = math.exp(inner) if kind.log else inner
    if isinstance(kind, IntDistribution):
        value = kind.low + round((value - kind.low) / kind.step) * kind.step
    return min(kind.high, max(kind.low, value))


def _ends(kind: Any) -> tuple[float, float]:
    return (math.log(kind.low), math.log(kind.high)) if kind.log else (kind.low, kind.high)
