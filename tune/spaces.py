"""Search spaces: a function for each algorithm, and its inverse, which gives the default parameters.

A space takes a trial and returns the values to run with. The ranges are for Atari games: rollouts of thousands of
steps, networks of hundreds of units, horizons of 30 to 1,000 decisions. Parameters are chosen so that all combinations
are valid: the number of batches in a rollout in place of the batch size, and exponents of powers of two, so that the
batch size always divides the rollout. No range depends on another parameter's value, so every sampler can use them all;
only ``switch_at`` is conditional.

Learning rates keep the schedule of the configuration: ``lin_`` stays ``lin_``.

Credits: ranges around those of rl-baselines3-zoo (Raffin 2020), Andrychowicz et al. 2020 (arXiv 2006.05990) and
Hessel et al. 2017 (arXiv 1710.02298).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial, FixedTrial

from common.errors import UserError, nearest

Block = Mapping[str, Any]
Space = Callable[["Narrowed"], dict[str, Any]]

_NET = re.compile(r"net_arch=\[([^\]]*)\]")
_QUANTILES = re.compile(r"n_quantiles=(\d+)")


class Narrowed:
    """A trial that suggests only the searched parameters, in the user's ranges; the others have their defaults.

    :param defaults: default value by name
    :param only: names of the searched parameters; empty for all
    :param ranges: lowest and highest value by name
    """

    def __init__(
        self,
        trial: BaseTrial,
        defaults: Mapping[str, Any],
        only: Sequence[str] = (),
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.trial = trial
        self.defaults = defaults
        self.only = only
        self.ranges = ranges or {}

    def real(self, name: str, low: float, high: float, log: bool = False) -> float:
        """A number, rounded to three significant digits."""
        if self._is_fixed(name):
            return float(self.defaults[name])
        low, high = self.ranges.get(name, (low, high))
        self._check(name, low, high)
        value = self.trial.suggest_float(name, low, high, log=log)
        return min(high, max(low, float(f"{value:.3g}")))

    def whole(self, name: str, low: int, high: int, log: bool = False) -> int:
        """An integer."""
        if self._is_fixed(name):
            return int(self.defaults[name])
        first, last = self.ranges.get(name, (low, high))
        if first != int(first) or last != int(last):
            raise UserError(f"--range {name}={first:g}:{last:g}: {name} is a whole number")
        self._check(name, first, last)
        return self.trial.suggest_int(name, int(first), int(last), log=log)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of several strings."""
        if self._is_fixed(name):
            return str(self.defaults[name])
        if name in self.ranges:
            raise UserError(f"--range {name}: it is one of {', '.join(choices)}, and has no range")
        return self.trial.suggest_categorical(name, choices)

    def _is_fixed(self, name: str) -> bool:
        return bool(self.only) and name not in self.only

    def _check(self, name: str, low: float, high: float) -> None:
        if not low < high:
            raise UserError(f"--range {name}={low:g}:{high:g}: nothing lies between; give the lower one first")
        if not low <= self.defaults[name] <= high:
            raise UserError(
                f"the default of {name}, {self.defaults[name]:g}, with which the search begins, is not within "
                f"{low:g} and {high:g}; give a --range {name}=LOW:HIGH that holds it"
            )


def ppo(trial: Narrowed, block: Block) -> dict[str, Any]:
    """Proximal policy optimisation."""
    n_steps = 2 ** trial.whole("n_steps_log2", 5, 9)
    return {
        "n_steps": n_steps,
        "batch_size": block["n_envs"] * n_steps // 2 ** trial.whole("minibatches_log2", 1, 4),
        "n_epochs": trial.whole("n_epochs", 1, 8),
        "learning_rate": scheduled(block["learning_rate"], trial.real("learning_rate", 5e-5, 2e-3, log=True)),
        "clip_range": scheduled(block["clip_range"], trial.real("clip_range", 0.05, 0.4, log=True)),
        "ent_coef": trial.real("ent_coef", 1e-3, 5e-2, log=True),
        "vf_coef": trial.real("vf_coef", 0.2, 1.0),
        "gae_lambda": trial.real("gae_lambda", 0.8, 0.99),
        "gamma": horizon(trial),
        **network(trial, block),
    }


def ppo_defaults(block: Block) -> dict[str, Any]:
    """The parameters of ``ppo`` that give the values of a configuration's block."""
    rollout = block["n_envs"] * block["n_steps"]
    return {
        "n_steps_log2": exponent(block, "n_steps"),
        "minibatches_log2": exponent({"rollout / batch_size": rollout / block["batch_size"]}, "rollout / batch_size"),
        "n_epochs": block["n_epochs"],
        "learning_rate": unscheduled(block["learning_rate"]),
        "clip_range": unscheduled(block["clip_range"]),
        "ent_coef": block["ent_coef"],
        "vf_coef": block["vf_coef"],
        "gae_lambda": block["gae_lambda"],
        **shared_defaults(block),
    }


def dqn(trial: Narrowed, block: Block) -> dict[str, Any]:
    """Deep Q-network, also with quantile regression."""
    return {
        "learning_rate": scheduled(block["learning_rate"], trial.real("learning_rate", 2e-5, 1e-3, log=True)),
        "batch_size": 2 ** trial.whole("batch_size_log2", 5, 8),
        "gradient_steps": trial.whole("gradient_steps", 1, 4),
        "n_steps": trial.whole("n_steps", 1, 8),
        "target_update_interval": trial.whole("target_update_interval", 500, 20_000, log=True),
        "exploration_fraction": trial.real("exploration_fraction", 0.01, 0.5, log=True),
        "exploration_final_eps": trial.real("exploration_final_eps", 0.005, 0.1, log=True),
        "gamma": horizon(trial),
        **network(trial, block),
    }


def dqn_defaults(block: Block) -> dict[str, Any]:
    """The parameters of ``dqn`` that give the values of a configuration's block."""
    return {
        "learning_rate": unscheduled(block["learning_rate"]),
        "batch_size_log2": exponent(block, "batch_size"),
        "gradient_steps": block.get("gradient_steps", 1),
        "n_steps": block.get("n_steps", 1),
        "target_update_interval": block["target_update_interval"],
        "exploration_fraction": block["exploration_fraction"],
        "exploration_final_eps": block["exploration_final_eps"],
        **shared_defaults(block),
    }


def horizon(trial: Narrowed) -> float:
    """The discount gamma. The parameter is 1 - gamma, whose inverse is the horizon: 30 to 1,000 decisions."""
    return round(1 - trial.real("one_minus_gamma", 1e-3, 3e-2, log=True), 6)


def network(trial: Narrowed, block: Block) -> dict[str, Any]:
    """``policy_kwargs`` with other sizes in place of those that the configuration has."""
    text = before = block.get("policy_kwargs", "")
    if not isinstance(text, str):
        return {}
    if _NET.search(text):
        layers = len(_NET.findall(text)[0].split(","))
        width = 2 ** trial.whole("width_log2", 7, 10)
        text = _NET.sub(f"net_arch=[{', '.join([str(width)] * layers)}]", text)
    if _QUANTILES.search(text):
        text = _QUANTILES.sub(f"n_quantiles={trial.whole('n_quantiles', 25, 250, log=True)}", text)
    return {"policy_kwargs": text} if before else {}


def shared_defaults(block: Block) -> dict[str, Any]:
    """The default parameters of ``horizon`` and ``network``."""
    found: dict[str, Any] = {"one_minus_gamma": float(f"{1 - block['gamma']:.3g}")}
    text = str(block.get("policy_kwargs", ""))
    if _NET.search(text):
        widths = [int(width) for width in _NET.findall(text)[0].split(",")]
        found["width_log2"] = exponent({"net_arch": widths[0]}, "net_arch")
    if _QUANTILES.search(text):
        found["n_quantiles"] = int(_QUANTILES.findall(text)[0])
    return found


ALGORITHMS: dict[str, tuple[Callable[[Narrowed, Block], dict[str, Any]], Callable[[Block], dict[str, Any]]]] = {
    "ppo": (ppo, ppo_defaults),
    "qrdqn": (dqn, dqn_defaults),
    "dqn": (dqn, dqn_defaults),
}


def sampling(trial: Narrowed, conditions: Sequence[str], from_: str = "") -> dict[str, Any]:
    """Sampling from a trained denoiser; the values are fields of ``gen_models.diffusion.sampling.SampleRequest``.

    :param from_: class that ``contrast`` takes the second condition from; empty to leave ``contrast`` out
    """
    weights = [trial.real(f"weight_{name}", 0.5, 6.0) for name in conditions]
    methods = ("and", "switch", "mix") if len(conditions) == 2 else ("and", "mix")
    compose = trial.choice("compose", (*methods, "contrast") if from_ else methods)
    low, high = trial.real("interval_low", 0.0, 0.5), trial.real("interval_high", 0.6, 1.0)
    if compose == "contrast":
        asked: dict[str, Any] = {"base": conditions[0], "add": conditions[1], "from_": from_}
        asked |= {"base_weight": weights[0], "add_weight": weights[1]}
    else:
        asked = {"weights": ",".join(f"{name}={weight:g}" for name, weight in zip(conditions, weights, strict=True))}
    values = {
        **asked,
        "compose": compose,
        "interval": (low, high),
        "rescale": trial.real("rescale", 0.0, 1.0),
        "steps": trial.whole("steps", 10, 60, log=True),
    }
    return {**values, "switch_at": trial.real("switch_at", 0.4, 0.98)} if compose == "switch" else values


def sampling_defaults(conditions: Sequence[str], from_: str = "") -> dict[str, Any]:
    """The settings with which README.md samples winged horses, and the defaults of ``SampleRequest``.

    :param from_: see ``sampling``
    """
    strong = {"horse": 2.0, "spread": 3.5}
    return {
        **{f"weight_{name}": strong.get(name, 2.0) for name in conditions},
        "compose": "contrast" if from_ else "and",
        "interval_low": 0.0,
        "interval_high": 1.0,
        "rescale": 0.0,
        "steps": 25,
        "switch_at": 0.8,
    }


def scheduled(before: Any, value: float) -> Any:
    """A value with the schedule of the one before it: a number, or a string such as ``lin_3e-4``."""
    if isinstance(before, str) and "_" in before:
        return f"{before.partition('_')[0]}_{value:g}"
    return value


def unscheduled(value: Any) -> float:
    """The number in a value, which may have a schedule."""
    return float(value.partition("_")[2] or value) if isinstance(value, str) else float(value)


def exponent(block: Block, key: str) -> int:
    """The exponent of a power of two.

    :raises UserError: when the value is not a power of two
    """
    power = math.log2(block[key])
    if power != int(power):
        raise UserError(f"the search goes over powers of two, and {key} is {block[key]:g}; give another by --set")
    return int(power)


def parse_ranges(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """``("learning_rate=1e-4:1e-3",)`` as pairs of numbers by name.

    :raises UserError: for a string of another form
    """
    ranges = {}
    for text in texts:
        name, _, ends = text.partition("=")
        low, _, high = ends.partition(":")
        try:
            ranges[name] = (float(low), float(high))
        except ValueError as error:
            raise UserError(f"--range {text}: write NAME=LOW:HIGH, as in --range learning_rate=1e-4:1e-3") from error
    return ranges


def distributions(space: Callable[[BaseTrial], Any], defaults: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """The distributions of all parameters of a space, including conditional ones."""
    found = _asked(space, defaults)
    for name, kind in tuple(found.items()):
        if isinstance(kind, CategoricalDistribution):
            for word in kind.choices:
                found |= _asked(space, {**defaults, name: word})
    return found


def _asked(space: Callable[[BaseTrial], Any], values: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    trial = FixedTrial(dict(values))
    space(trial)
    return dict(trial.distributions)


def check_searched(names: Sequence[str], known: Sequence[str]) -> None:
    """:raises UserError: for a name that is not in the space"""
    for name in names:
        if name not in known:
            raise UserError(f"the space has no '{name}' (it has: {', '.join(known)}){nearest(name, known)}")


def describe(kind: BaseDistribution) -> str:
    """A distribution as a string, by which two studies are compared."""
    if isinstance(kind, CategoricalDistribution):
        return f"one of {', '.join(map(str, kind.choices))}"
    assert isinstance(kind, FloatDistribution | IntDistribution)
    scale = ", log" if kind.log else ""
    return f"{'whole' if isinstance(kind, IntDistribution) else 'real'}, {kind.low:g} to {kind.high:g}{scale}"
