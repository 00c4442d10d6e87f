"""What is asked of a trained denoiser: conditions, how they are composed, sampler and seed.

Imports nothing that takes long, since the command line's options hold a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from common.errors import UserError

TIMES = 1000  # of the noise schedules
Schedule = Literal["cosine", "linear"]
Prediction = Literal["v", "x0", "epsilon"]
Method = Literal["and", "switch", "mix", "contrast", "map"]
PAIRS = ("contrast", "map")  # methods that take --base, --add and --from
PAIR_WEIGHTS = {"contrast": (4.0, 3.0), "map": (1.0, 2.0)}  # of the base and of what is added, by default
SamplerName = Literal["dpm", "dpm-sde", "ddim", "ddpm"]


@dataclass(frozen=True)
class SampleRequest:
    """Everything besides the network that decides the sampled images."""

    weights: str = ""
    """Conditions with their weights: horse=3,bird=1.5 or horse+white=2,spread=3.5,no-white=-1. Empty: the unconditional
    model."""
    compose: Method = "and"
    """How the conditions are combined. and: all at once; switch: the first at high noise levels, the second at low
    ones; mix: one condition between them; contrast: --base, and what --add changes in --from; map: --base, and above
    its back the part that --from has with --add, laid out on a label map."""
    switch_at: float = 0.8
    """Noise level at which switch changes to the second condition, 0 (the image) to 1 (noise)."""
    base: str = ""
    """contrast, map: the condition that something is added to, such as horse."""
    add: str = ""
    """contrast, map: the attribute that is added, such as spread."""
    from_: Annotated[str, arg(name="from")] = ""
    """contrast, map: the class that shows what the attribute looks like, such as bird."""
    base_weight: float | None = None
    """contrast, map: weight of the base. Default: 4 and 1."""
    add_weight: float | None = None
    """contrast: weight of the difference between --from with and without the attribute; map: weight of the map. 0
    leaves the base alone. Default: 3 and 2."""
    area: float = 1.0
    """contrast: share of the image in which it acts, where the difference is largest; above 0, at most 1 (all)."""
    interval: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest noise level with guidance; outside, the weights are scaled to sum to 1."""
    rescale: float = 0.0
    """How far the contrast is brought back to that without guidance, 0 to 1."""
    threshold: Literal["none", "static", "dynamic"] = "static"
    """How the predicted image is kept in range. static: clipping; dynamic: scaling down images that exceed it."""
    sampler: SamplerName = "dpm"
    """dpm: DPM-Solver++ (2M); dpm-sde: the same with noise in its steps; ddim; ddpm."""
    steps: int = 25
    """Steps from noise to image, 1 to 1000."""
    eta: float = 0.0
    """Noise in the steps of ddim, 0 (none) to 1 (as much as ddpm)."""
    stop_at: float | None = None
    """Noise level at which sampling ends, with the image predicted there; 0 for all steps. 0.25 leaves less grain.
    Default: the run's."""
    seed: int = 0
    """Seed of the images; image k depends on it and on k."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network. bfloat16 is faster where the device supports it, and rounds more coarsely."""

    def check(self) -> None:
        """:raises UserError: for a number that is out of range"""
        if not 1 <= self.steps <= TIMES:
            raise UserError(f"--steps {self.steps}: from 1 to {TIMES}")
        if self.sampler == "ddim" and TIMES % self.steps:
            near = min((n for n in range(1, TIMES + 1) if TIMES % n == 0), key=lambda n: abs(n - self.steps))
            raise UserError(f"--steps {self.steps}: for ddim they have to divide {TIMES}; the nearest is {near}")
        if not 0 <= self.eta <= 1 or (self.eta > 0 and self.sampler != "ddim"):
            raise UserError(f"--eta {self.eta:g}: from 0 to 1, and with --sampler ddim only")
        check_stop_at(self.stop_at or 0.0)
        if self.seed < 0:
            raise UserError(f"--seed {self.seed} must not be negative")

    @property
    def words(self) -> str:
        """The conditions with their weights, such as ``horse=2,bird=1`` or ``horse=4,spread=3 from bird``."""
        if self.compose in PAIRS:
            base, add = self.pair_weights
            return f"{self.base}={base:g},{self.add}={add:g} from {self.from_}"
        return self.weights

    @property
    def pair_weights(self) -> tuple[float, float]:
        """For contrast and map: the weights of the base and of what is added."""
        base, add = PAIR_WEIGHTS[self.compose]
        return (
            base if self.base_weight is None else self.base_weight,
            add if self.add_weight is None else self.add_weight,
        )


def check_stop_at(level: float) -> None:
    """:raises UserError: for a level at which no image can be predicted"""
    if not 0 <= level < 1:
        raise UserError(f"--stop-at {level:g} is a noise level, from 0 (the image) to below 1 (noise)")
