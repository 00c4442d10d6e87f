"""What the losses of a DCGAN say of its training: a network that is never updated, or one that has won.

The homework that this DCGAN is from lost days to a generator that was never updated: its loss hardly moved, and only
the discriminator's loss of real images fell. Here the log also has how far each network's weights move in a step, from
which that is seen at once; the losses show the rest.

Credits: Goodfellow et al. 2014 (arXiv 1406.2661, section 3: a discriminator that wins leaves the generator hardly any
gradient).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LASTING = 20  # windows in a row for which the losses have to say the same
SURE = 0.02  # a loss below is a discriminator that is right with a probability above 0.98
WRONG = 3.0  # a loss above is one that is right with a probability below 0.05


@dataclass(frozen=True)
class Window:
    """Means over a window of steps.

    :param generator: loss of the generator, binary cross entropy in nats, of its images against "real"
    :param real: loss of the discriminator on real images
    :param fake: loss of the discriminator on generated images
    :param generator_change: how far a step moves the generator's weights, as a share of their norm
    :param discriminator_change: likewise for the discriminator
    """

    generator: float
    real: float
    fake: float
    generator_change: float
    discriminator_change: float


def findings(windows: Sequence[Window]) -> list[str]:
    """What is wrong with a training, in words; empty where nothing is.

    :param windows: the last ones, in their order
    """
    found: list[str] = []
    if not windows:
        return found
    if windows[-1].generator_change == 0:
        found.append("the generator is not updated: its weights do not change")
    if windows[-1].discriminator_change == 0:
        found.append("the discriminator is not updated: its weights do not change")
    last = windows[-LASTING:]
    if len(last) == LASTING and all(one.real < SURE and one.fake > WRONG for one in last):
        found.append("the discriminator learns from real images alone: it takes generated ones for real, too")
    if len(last) == LASTING and all(one.real < SURE and one.fake < SURE for one in last):
        found.append(
            "the discriminator tells all images apart, which leaves the generator hardly a gradient; "
            "try a lower --learning-rate or another --seed"
        )
    return found
