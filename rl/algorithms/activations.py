"""Activation functions that add noise where they saturate, so that gradients pass there, and their names in YAML.

    policy_kwargs: "dict(net_arch=[512, 512], activation_fn='nah-hard-tanh:alpha=1.15,c=30-0.5')"

With u the line that a hard function h follows around 0, v = h(x) - u(x) and xi normal noise:

    nan    alpha h + (1 - alpha) u + d(x) sigma(x) xi       d(x) = -sgn(x) sgn(1 - alpha)
    nah    the same with |xi| (half-normal)                 sigma(x) = c (sigmoid(p v) - 1/2)^2
    nani   h(x + c xi)
    nanil  h(x + sigma(x) xi)                               sigma(x) = c softplus(p |v|)
    nanis  h(x + c xi) where h is saturated, else h(x)

c falls over the training (``c=30-0.5``), p is learned for each unit. In evaluation mode each is its mean over xi.
docs/papers/noisy-activations.md has what differs from the paper.

Credits: C. Gulcehre, M. Moczulski, M. Denil, Y. Bengio 2016 (arXiv 1603.00391), algorithm 1 and section 4, and their
published code for the default values, the direction at alpha 1 and the size of nanil's noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError, nearest

HALF_NORMAL_MEAN = math.sqrt(2 / math.pi)
MOST_ALPHA, MOST_C = 2.0, 1000.0


class Line(NamedTuple):
    """A hard function: the line ``slope x + offset``, cut at ``low`` and ``high``."""

    slope: float
    offset: float
    low: float
    high: float

    def linear(self, x: Tensor) -> Tensor:
        """u(x), the first-order expansion of the soft function around 0."""
        return self.slope * x + self.offset

    def hard(self, x: Tensor) -> Tensor:
        """h(x)."""
        return self.linear(x).clamp(self.low, self.high)

    def expected(self, x: Tensor, std: Tensor) -> Tensor:
        """The expectation of h(x + std xi) for normal xi: that of a normal variable cut at both ends.

        :param std: at least 0, as ``x`` or broadcast to it
        """
        mean, scale = self.linear(x), (self.slope * std).clamp(min=1e-6)
        low, high = (self.low - mean) / scale, (self.high - mean) / scale
        below, above = _normal_cdf(low), _normal_cdf(-high)
        inside = mean * (1 - below - above) + scale * (_normal_density(low) - _normal_density(high))
        return self.low * below + self.high * above + inside


LINES = {"hard-tanh": Line(1.0, 0.0, -1.0, 1.0), "hard-sigmoid": Line(0.25, 0.5, 0.0, 1.0)}

# alpha and c where none are given.
_DEFAULTS: dict[str, dict[str, tuple[float, float]]] = {
    "nan": {"hard-tanh": (1.15, 0.5), "hard-sigmoid": (1.1, 0.15)},
    "nah": {"hard-tanh": (1.15, 0.5), "hard-sigmoid": (1.1, 0.15)},
    "nani": dict.fromkeys(LINES, (1.0, 0.05)),
    "nanil": dict.fromkeys(LINES, (1.0, 0.25)),
    "nanis": dict.fromkeys(LINES, (1.0, 0.25)),
}
_WITH_ALPHA = ("nan", "nah")
_WITH_P = ("nan", "nah", "nanil")


class NoisyActivation(nn.Module):
    """A hard activation function with noise in training mode and without, as its expectation, in evaluation mode.

    ``draw`` makes the standard normal noise for an input, of the same shape; by default by torch's global generator.
    ``rl.algorithms.activation_noise`` gives a model's functions one generator and a p for each unit.

    :param line: a key of ``LINES``
    :param kind: nan, nah, nani, nanil or nanis
    :param alpha: weight of the hard function against the line, 0 to 2; below 1 half-normal noise points inwards
    :param c: scale of the noise at the start and at the end of the training, above 0
    """

    def __init__(self, line: str, kind: str, alpha: float, c: tuple[float, float]) -> None:
        super().__init__()
        self.line, self.kind, self.alpha, self.c_range = LINES[line], kind, alpha, c
        self.register_buffer("c", torch.tensor(c[0]))
        self.p = nn.Parameter(torch.ones(1)) if kind in _WITH_P else None
        self.draw: Callable[[Tensor], Tensor] = torch.randn_like

    def set_units(self, units: int) -> None:
        """Give each of so many units a p of its own; all begin with the first one's. Optimisers keep the parameter."""
        if self.p is not None:
            self.p.data = self.p.data[:1].repeat(units)

    def anneal(self, done: float) -> None:
        """Set c for the share of the training that is done, 0 to 1: 1 / c^2 goes in a straight line, so that c falls
        with the inverse square root of the steps."""
        start, end = self.c_range
        done = min(max(done, 0.0), 1.0)
        self._c.fill_(((1 - done) / start**2 + done / end**2) ** -0.5)

    @property
    def _c(self) -> Tensor:
        assert isinstance(self.c, Tensor)
        return self.c

    @property
    def _p(self) -> Tensor:
        assert self.p is not None
        return self.p

    def forward(self, x: Tensor) -> Tensor:
        """From (B, ..., units) to the same shape and dtype; computed in float32 at least."""
        wide = x if x.dtype == torch.float64 else x.float()
        noise = self.draw(wide) if self.training else None
        output = self._at_output(wide, noise) if self.kind in _WITH_ALPHA else self._at_input(wide, noise)
        return output.to(x.dtype)

    def _at_output(self, x: Tensor, noise: Tensor | None) -> Tensor:
        hard, linear = self.line.hard(x), self.line.linear(x)
        std = self._c * (torch.sigmoid(self._p * (hard - linear)) - 0.5).square()
        if self.kind == "nah":
            noise = x.new_tensor(HALF_NORMAL_MEAN) if noise is None else noise.abs()
        mean = self.alpha * hard + (1 - self.alpha) * linear
        if noise is None:
            return mean
        direction = -x.sign() * (1.0 if self.alpha <= 1 else -1.0)
        return mean + direction * std * noise

    def _at_input(self, x: Tensor, noise: Tensor | None) -> Tensor:
        std = self._c.to(x.dtype)
        if self.kind == "nanil":
            std = std * F.softplus(self._p * (self.line.hard(x) - self.line.linear(x)).abs())
        noisy = self.line.expected(x, std) if noise is None else self.line.hard(x + std * noise)
        if self.kind != "nanis":
            return noisy
        linear = self.line.linear(x)
        saturated = (linear <= self.line.low) | (linear >= self.line.high)
        return torch.where(saturated, noisy, self.line.hard(x))

    def extra_repr(self) -> str:
        """What stands in the brackets where a network is printed."""
        return f"{self.kind}, alpha={self.alpha:g}, c={self.c_range[0]:g}-{self.c_range[1]:g}"


class HardSigmoid(nn.Module):
    """max(min(x / 4 + 1/2, 1), 0); torch's own ``Hardsigmoid`` has the slope 1/6."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        return LINES["hard-sigmoid"].hard(x)


PLAIN: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "hard-tanh": nn.Hardtanh,
    "hard-sigmoid": HardSigmoid,
}
NAMES = (*PLAIN, *(f"{kind}-{line}" for kind in _DEFAULTS for line in LINES))


def activation_of(spec: str, where: str = "activation_fn") -> Callable[[], nn.Module]:
    """What makes the activation function that a text names, as Stable-Baselines3's ``activation_fn`` does.

    :param spec: a name of ``NAMES``, with ``:alpha=A,c=C`` behind noisy ones; C is a number, or two as in 30-0.5
    :param where: file, block and key, for the error message
    :raises UserError: for an unknown name (the nearest is named) or setting, or a value out of range
    """
    name, _, rest = spec.partition(":")
    if name not in NAMES:
        known = f"{', '.join(NAMES)}; or a class, as in nn.ReLU without quotes"
        raise UserError(f"{where}: unknown activation '{name}'{nearest(name, NAMES)} (known: {known})")
    if name in PLAIN:
        if rest:
            raise UserError(f"{where}: the activation {name} has no settings; remove ':{rest}'")
        return PLAIN[name]
    kind, _, line = name.partition("-")
    alpha, scale = _DEFAULTS[kind][line]
    c = (scale, scale)
    keys = ("alpha", "c") if kind in _WITH_ALPHA else ("c",)
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in keys:
            raise UserError(f"{where}: {name} has no setting '{key}'{nearest(key, keys)} (known: {', '.join(keys)})")
        if key == "alpha":
            alpha = _number(value, 0.0, MOST_ALPHA, f"{where}: alpha of {name}")
        else:
            start, dash, end = value.partition("-")
            first = _number(start, 0.0, MOST_C, f"{where}: c of {name}", above=True)
            c = (first, _number(end, 0.0, MOST_C, f"{where}: c of {name}", above=True) if dash else first)
    return partial(NoisyActivation, line, kind, alpha, c)


def _number(text: str, low: float, high: float, what: str, above: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high or (above and value == low):
        least = f"above {low:g}" if above else f"at least {low:g}"
        raise UserError(f"{what} must be a number {least} and at most {high:g}, not '{text}'")
    return value


def _normal_cdf(x: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr(x)
    return below


def _normal_density(x: Tensor) -> Tensor:
    return torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
