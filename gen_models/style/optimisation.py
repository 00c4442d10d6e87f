"""One frame's optimisation, over its pixels.

Credits: PyTorch's L-BFGS with the line search of Wolfe's conditions, and its Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import UserError
from gen_models.style.losses import Anchor, Losses, Parts

WINDOW = 10  # iterations between two looks at the loss
HISTORY = 20  # updates that L-BFGS remembers
EVALUATIONS = 25  # of the loss for an iteration, as many as torch's line search makes at most


@dataclass(frozen=True)
class Optimised:
    """A frame's result.

    :param x: float32 (1, 3, H, W) from -1 to 1
    :param losses: at the end, before weights, by the names of ``Parts``
    """

    x: Tensor
    iterations: int
    losses: dict[str, float]


def optimise(losses: Losses, content: Tensor, anchors: Sequence[Anchor], start: Tensor) -> Optimised:
    """Lower the loss of a frame until it hardly falls any more, or the iterations are over.

    It ends where the loss has fallen by less than ``tolerance`` of itself in ``WINDOW`` iterations.

    :param content, anchors: see ``Losses.of_frame``
    :param start: float32 (1, 3, H, W)
    :raises UserError: when the loss is no longer a number (status 1)
    """
    options = losses.options
    parts_of = losses.of_frame(content, anchors)
    x = start.detach().clone().requires_grad_(True)
    optimizer: torch.optim.Optimizer
    if options.optimizer == "lbfgs":
        optimizer = torch.optim.LBFGS(
            [x], history_size=HISTORY, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
        )
    else:
        optimizer = torch.optim.Adam([x], options.learning_rate)

    def closure() -> float:
        optimizer.zero_grad()
        loss = losses.total(parts_of(x))
        loss.backward()
        return float(loss.detach())

    before = float("inf")
    done = 0
    while done < options.iterations:
        count = min(WINDOW, options.iterations - done)
        _step(optimizer, closure, count)
        done += count
        with torch.no_grad():
            now = _total(losses, parts_of(x))
        if before - now < options.tolerance * abs(now):
            break
        before = now
    with torch.no_grad():
        x = x.clamp(-1, 1)
        found: Parts = parts_of(x)
    _total(losses, found)
    return Optimised(x.detach(), done, {name: float(value) for name, value in found.items()})


def _step(optimizer: torch.optim.Optimizer, closure: Callable[[], float], count: int) -> None:
    """So many iterations; L-BFGS makes them in one step, which evaluates the loss less often."""
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.param_groups[0].update(max_iter=count, max_eval=EVALUATIONS * count)
        optimizer.step(closure)
        return
    for _ in range(count):
        optimizer.step(closure)


def _total(losses: Losses, parts: Parts) -> float:
    total = float(losses.total(parts))
    if not total < float("inf"):
        raise UserError("the loss is no longer a number; choose smaller weights or a smaller --learning-rate", status=1)
    return total
