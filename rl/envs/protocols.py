"""Named environment protocols: everything that decides how a game is presented to the learner.

Scores in the literature can only be compared under the same protocol, so each combination has a name, one row each.

Credits: V. Mnih et al. 2015 (Nature 518) for frame skip, no-op starts, reward clipping and life-loss terminals;
M. C. Machado et al. 2018 (arXiv 1709.06009) for sticky actions and whole games; P. S. Castro et al. 2018
(arXiv 1812.06110) for Dopamine's values; Stable-Baselines3's ``AtariWrapper`` and gymnasium's legacy ids for theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, check_at_least, check_counts, nearest

Rewards = NDArray[np.float32]
MOST_NOOPS = 10_000
MOST_STACKED = 64
MOST_PIXELS = 1_024  # of the width and height of a pixel observation


@dataclass(frozen=True)
class Protocol:
    """How a game is presented to the learner. The log and every evaluation count raw scores of whole games anyway."""

    frame_skip: int | tuple[int, int] = 4
    """Frames an action lasts; a pair (low, high) draws from low..high-1 at each action."""
    sticky: float = 0.25
    """Probability that a frame repeats the action of the frame before, 0 to 1."""
    noop_max: int = 0
    """At most so many no-op frames at the start of a game, their number drawn from 1 to this; 0 for none."""
    fire_reset: bool = False
    """Press fire for one frame at the start of a game, for games that wait for it."""
    life_loss_terminal: bool = False
    """Tell the learner that its episode ends with each lost life; the game goes on."""
    reward: str = "raw"
    """What the learner sees: ``raw``, ``clip`` (the sign), ``scale:D`` (r / D), ``sqrt:D`` (sign(r) sqrt(|r| / D)),
    ``floor:D`` (at least -D)."""
    shaping: str = ""
    """Points of the learner's reward for changes of what is left, as in ``life:150,fuel:0.05``; empty for none."""
    frame_stack: int = 4
    """How many observations are stacked."""
    screen_size: int = 84
    """Width and height of a pixel observation, pixels."""
    max_frames: int = 108_000
    """Frames after which a game is cut; 108,000 are 30 minutes."""
    actions: tuple[str, ...] = ()
    """Names of the actions that the learner has; empty for all that the game uses."""

    def check(self) -> None:
        """:raises UserError: for a number that is out of range, and for an unknown reward"""
        low, high = self.frame_skip if isinstance(self.frame_skip, tuple) else (self.frame_skip, self.frame_skip + 1)
        if not 1 <= low < high:
            raise UserError(f"a frame skip of {self.frame_skip}: an action lasts at least one frame")
        if not 0 <= self.sticky <= 1:
            raise UserError(f"--sticky is a probability from 0 to 1, not {self.sticky:g}")
        check_counts(MOST_NOOPS, {"--noop-max": self.noop_max}, least=0)
        check_counts(MOST_STACKED, {"--frame-stack": self.frame_stack})
        check_counts(MOST_PIXELS, {"screen_size": self.screen_size})
        check_at_least(1, {"max_frames": self.max_frames})
        reward_transform(self.reward)


PROTOCOLS: dict[str, Protocol] = {
    # The assignment's starter: Gravitar-v0 or Gravitar-ram-v0 as gymnasium makes them, scores as they are.
    "assignment": Protocol(frame_skip=(2, 5), frame_stack=1),
    # Mnih et al. 2015, extended data table 1, with the 30-minute limit of later work.
    "nature": Protocol(sticky=0.0, noop_max=30, life_loss_terminal=True, reward="clip"),
    # Machado et al. 2018, section 5, with frame skip 4 as in Dopamine, whose scores are quoted in the documentation.
    "machado": Protocol(reward="clip"),
    # Stable-Baselines3's AtariWrapper on GravitarNoFrameskip-v4, as rl-baselines3-zoo and CleanRL train.
    "sb3": Protocol(sticky=0.0, noop_max=30, fire_reset=True, life_loss_terminal=True, reward="clip"),
    # ALE/Gravitar-v5 by itself.
    "v5": Protocol(frame_stack=1),
    # What learns fastest here (docs/gravitar.md): whole games, rewards of one size, no stack (RAM holds velocities).
    "ram": Protocol(frame_stack=1, reward="scale:250"),
    # Pong's points from RAM: games that differ by their no-ops alone, as where scores of 20 are reported.
    "pong": Protocol(frame_stack=1, sticky=0.0, noop_max=30, reward="clip"),
    "ram-deterministic": Protocol(frame_stack=1, reward="scale:250", sticky=0.0),
}


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    :raises UserError: for an unknown name; says the nearest
    """
    if name not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise UserError(f"unknown protocol '{name}' (known: {known}){nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def reward_transform(spec: str) -> Callable[[NDArray[np.float64]], Rewards]:
    """The function from raw rewards (N,) to what the learner sees, float32 (N,).

    :param spec: see ``Protocol.reward``
    :raises UserError: for anything else
    """
    if spec == "raw":
        return lambda raw: raw.astype(np.float32)
    if spec == "clip":
        return lambda raw: np.sign(raw).astype(np.float32)
    match = re.fullmatch(r"(scale|sqrt|floor):([0-9]*\.?[0-9]+)", spec)
    if match is None or float(match[2]) == 0.0:
        raise UserError(
            f"reward '{spec}' is none of raw, clip, scale:D, sqrt:D, floor:D with a positive D, as in scale:250"
        )
    divisor = float(match[2])
    if match[1] == "floor":
        return lambda raw: np.maximum(raw, -divisor).astype(np.float32)
    if match[1] == "scale":
        return lambda raw: (raw / divisor).astype(np.float32)
    return lambda raw: (np.sign(raw) * np.sqrt(np.abs(raw) / divisor)).astype(np.float32)
