"""Validation of single hyperparameters: type (by the constructor's annotation), range, and schedules.

Credits: the ``lin_`` schedules are rl-baselines3-zoo's (Raffin 2020); Stable-Baselines3 (Raffin et al. 2021).
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from stable_baselines3.common.utils import LinearSchedule

from common.errors import UserError

_INFINITY = math.inf

# Smallest and largest value. For the names in _ABOVE_ZERO zero is excluded.
_RANGES: dict[str, tuple[float, float]] = {
    "alone": (0, 1),
    "batch_size": (1, _INFINITY),
    "buffer_size": (1, _INFINITY),
    "clip_range": (0, _INFINITY),
    "clip_range_vf": (0, _INFINITY),
    "ent_coef": (0, _INFINITY),
    "exploration_final_eps": (0, 1),
    "exploration_fraction": (0, 1),
    "exploration_initial_eps": (0, 1),
    "frame_stack": (1, _INFINITY),
    "gae_lambda": (0, 1),
    "gamma": (0, 1),
    "goal_annealing": (1, _INFINITY),
    "gradient_steps": (-1, _INFINITY),
    "learning_rate": (0, _INFINITY),
    "learning_starts": (0, _INFINITY),
    "max_grad_norm": (0, _INFINITY),
    "meta_batch_size": (1, _INFINITY),
    "meta_buffer_size": (1, _INFINITY),
    "meta_exploration_fraction": (0, 1),
    "meta_target_update_interval": (1, _INFINITY),
    "n_envs": (1, _INFINITY),
    "n_epochs": (1, _INFINITY),
    "n_quantiles": (1, _INFINITY),
    "n_steps": (1, _INFINITY),
    "n_timesteps": (1, _INFINITY),
    "noise_std": (0, _INFINITY),
    "policy_delay": (1, _INFINITY),
    "net_arch": (1, _INFINITY),
    "patience": (1, _INFINITY),
    "sde_sample_freq": (-1, _INFINITY),
    "stats_window_size": (1, _INFINITY),
    "target_kl": (0, _INFINITY),
    "target_update_interval": (1, _INFINITY),
    "tau": (0, 1),
    "train_freq": (1, _INFINITY),
    "vf_coef": (0, _INFINITY),
}
_ABOVE_ZERO = {
    "clip_range", "clip_range_vf", "exploration_fraction", "learning_rate", "meta_exploration_fraction", "tau",
}  # fmt: skip

_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    dict: "a mapping",
    list: "a list",
    types.NoneType: "null",
}


class _Misfit(Exception):
    """A value does not have the annotated type."""


def check_value(key: str, value: Any, annotation: Any, where: str) -> Any:
    """A hyperparameter, converted to the type that its constructor takes.

    Integers written as ``!!float 1e5`` become ``int``, ``lin_2.5e-4`` becomes a schedule where the annotation allows
    one, the list ``[1, "step"]`` becomes a tuple.

    :param annotation: the parameter's annotation in the constructor; without one any type is accepted
    :param where: file and block, for the error message
    :raises UserError: for a value of another type or out of range
    """
    if key == "train_freq":
        return _train_frequency(value, where)
    if isinstance(value, str) and takes_schedule(annotation):
        return parse_schedule(key, value, where)
    try:
        fitted = _fit(value, annotation)
    except _Misfit as error:
        raise UserError(f"{where}: {key} must be {_describe(annotation)}, not {value!r}{_hint(value)}") from error
    _check_range(key, fitted, where)
    return fitted


def takes_schedule(annotation: Any) -> bool:
    """Whether a parameter with this annotation may be a function of the remaining progress."""
    return any(Callable in (option, get_origin(option)) for option in _options(annotation))


def parse_schedule(key: str, text: str, where: str) -> LinearSchedule:
    """The schedule for a string such as ``lin_2.5e-4``: linear from that value to 0 at the end of the training.

    :raises UserError: when the string is not ``lin_`` and a number, or the number is out of range
    """
    kind, separator, number = text.partition("_")
    try:
        start = float(number) if kind == "lin" and separator and "_" not in number else math.nan
    except ValueError:
        start = math.nan
    if not math.isfinite(start):
        raise UserError(
            f"{where}: {key} '{text}' is not a schedule; write a number, or lin_ and a number, as in"
            f" lin_2.5e-4{_hint(text)}"
        )
    _check_range(key, start, where)
    return LinearSchedule(start=start, end=0.0, end_fraction=1.0)


def _train_frequency(value: Any, where: str) -> int | tuple[int, str]:
    try:
        match value:
            case [count, ("step" | "episode") as unit]:
                frequency: int | tuple[int, str] = (_fit(count, int), str(unit))
            case _:
                frequency = _fit(value, int)
    except _Misfit as error:
        raise UserError(
            f"{where}: train_freq must be a whole number or a pair such as [1, step] or [1, episode], not {value!r}"
        ) from error
    _check_range("train_freq", frequency, where)
    return frequency


def _fit(value: Any, annotation: Any) -> Any:
    if annotation in (Any, inspect.Parameter.empty) or isinstance(annotation, str):
        return value
    options = _options(annotation)
    if len(options) > 1:
        return _first_fit(value, options)
    if annotation is None or annotation is types.NoneType:
        return _expect(value is None, value)
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if annotation in (int, float):
        number = isinstance(value, int if annotation is int else int | float) and not isinstance(value, bool)
        return annotation(_expect(number and math.isfinite(value), value))
    return _fit_structure(value, annotation)


def _fit_structure(value: Any, annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        return [_fit(item, arguments[0]) for item in _expect(isinstance(value, list | tuple), value)]
    if origin is dict:
        items = _expect(isinstance(value, dict), value).items()
        return {_fit(key, arguments[0]): _fit(item, arguments[1]) for key, item in items}
    if origin is type:
        kinds = _options(arguments[0])
        known = all(isinstance(kind, type) for kind in kinds)
        return _expect(isinstance(value, type) and (not known or issubclass(value, tuple(kinds))), value)
    if origin is Callable:
        return _expect(callable(value), value)
    return _expect(isinstance(value, annotation), value) if isinstance(annotation, type) else value


def _first_fit(value: Any, options: tuple[Any, ...]) -> Any:
    for option in options:
        try:
            return _fit(value, option)
        except _Misfit:
            continue
    raise _Misfit


def _expect(condition: bool, value: Any) -> Any:
    if not condition:
        raise _Misfit
    return value


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _describe(annotation: Any) -> str:
    words = []
    for option in _options(annotation):
        origin, arguments = get_origin(option), get_args(option)
        if origin is list:
            words.append(f"a list of {_describe(arguments[0]).removeprefix('a ')}s")
        elif origin is type:
            words.append(f"a class of the kind {getattr(arguments[0], '__name__', arguments[0])}")
        elif origin is Callable:
            words.append("a schedule such as lin_2.5e-4")
        else:
            words.append(_NAMES.get(origin or option, str(getattr(option, "__name__", option))))
    return " or ".join(words)


def _hint(value: Any) -> str:
    """A hint for numbers such as 1e5 and 1.0e5, which are strings in YAML 1.1."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f" (YAML reads {value} as a text: write !!float {value})" if math.isfinite(number) else ""


def _check_range(key: str, value: Any, where: str) -> None:
    if key not in _RANGES:
        return
    low, high = _RANGES[key]
    for number in _numbers(value):
        if not low <= number <= high or (number == 0 and key in _ABOVE_ZERO):
            least = "above 0" if key in _ABOVE_ZERO else f"at least {low:g}"
            most = f" and at most {high:g}" if high < _INFINITY else ""
            raise UserError(f"{where}: {key} must be {least}{most}, not {number:g}")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
