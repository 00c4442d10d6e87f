"""Quantiles of returns, computed only for the actions that are needed, and the quantile Huber loss without all pairs.

A head of QR-DQN has N quantiles for each of A actions, 200 x 18 for Gravitar, of which a transition needs N: those of
the action taken, or of the best one. The best one is found from the mean of the quantiles, which is linear in the
head's weights. So both networks' heads cost about A times less than all quantiles of all actions.

Credits: W. Dabney et al. 2017 (arXiv 1710.10044), equations 9 and 10; sb3-contrib (Raffin et al. 2021), whose layout of
the head (by quantile, then by action) and whose loss these functions have.
"""

from __future__ import annotations

from typing import Any

import torch as th


def mean_quantiles(hidden: th.Tensor, head: th.nn.Linear, n_quantiles: int) -> th.Tensor:
    """The value of each action, which is the mean of its quantiles.

    :param hidden: the head's input, (B, F)
    :param head: from F features to N x A quantiles
    :return: (B, A)
    """
    weight = head.weight.unflatten(0, (n_quantiles, -1)).mean(dim=0)
    return th.nn.functional.linear(hidden, weight, head.bias.unflatten(0, (n_quantiles, -1)).mean(dim=0))


def quantiles_of_actions(hidden: th.Tensor, head: th.nn.Linear, actions: th.Tensor, n_quantiles: int) -> th.Tensor:
    """The quantiles of one action per row.

    :param hidden: the head's input, (B, F)
    :param head: from F features to N x A quantiles
    :param actions: (B,), int64
    :return: (B, N)
    """
    quantiles: th.Tensor = _QuantilesOfActions.apply(hidden, head.weight, head.bias, actions, n_quantiles)
    return quantiles


class _QuantilesOfActions(th.autograd.Function):
    """One matrix product for each action that occurs, and one gradient tensor for the head, not one for each action."""

    @staticmethod
    def forward(
        ctx: Any, hidden: th.Tensor, weight: th.Tensor, bias: th.Tensor, actions: th.Tensor, n_quantiles: int
    ) -> th.Tensor:
        """See ``quantiles_of_actions``."""
        order = actions.argsort(stable=True)
        taken, counts = actions[order].unique_consecutive(return_counts=True)
        ctx.groups = list(zip(taken.tolist(), counts.tolist(), strict=True))
        ctx.n_quantiles = n_quantiles
        weights, biases = weight.unflatten(0, (n_quantiles, -1)), bias.unflatten(0, (n_quantiles, -1))
        ordered = hidden[order]
        ctx.save_for_backward(ordered, weight, order, actions)
        parts = ordered.split(counts.tolist())
        quantiles = hidden.new_empty(len(hidden), n_quantiles)
        quantiles[order] = th.cat(
            [
                th.addmm(biases[:, action], part, weights[:, action].T)
                for (action, _), part in zip(ctx.groups, parts, strict=True)
            ]
        )
        return quantiles

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor, None, None]:
        """The gradients of hidden, weight and bias; those of actions that do not occur are 0."""
        ordered, weight, order, actions = ctx.saved_tensors
        gradient = gradients[0][order]
        of_hidden, of_weight = th.empty_like(ordered), th.zeros_like(weight)
        weights, weight_parts = (x.unflatten(0, (ctx.n_quantiles, -1)) for x in (weight, of_weight))
        of_bias = weight.new_zeros(weights.shape[1::-1]).index_add_(0, actions, gradients[0]).T.flatten()
        begin = 0
        for action, count in ctx.groups:
            rows = slice(begin, begin + count)
            weight_parts[:, action] = gradient[rows].T @ ordered[rows]
            of_hidden[order[rows]] = gradient[rows] @ weights[:, action]
            begin += count
        return of_hidden, of_weight, of_bias, None, None


class _QuantileHuberLoss(th.autograd.Function):
    """Quantile regression with the Huber loss, threshold 1, and its gradient (Dabney et al. 2017, equations 9 and 10).

    The N x M differences are not computed. The targets are sorted, so those below prediction - 1, below the prediction,
    up to prediction + 1 and above that are consecutive, and cumulative sums of targets and of their squares give the
    loss and the slope of each range. The mean target is subtracted first, since differences between large values would
    otherwise be lost to rounding.
    """

    @staticmethod
    def forward(ctx: Any, predictions: th.Tensor, targets: th.Tensor) -> th.Tensor:
        """See ``quantile_huber_losses``."""
        centre = targets.double().mean(dim=1, keepdim=True)
        theta = predictions.double() - centre
        ordered = (targets.double() - centre).sort(dim=1).values
        powers = th.stack((th.ones_like(ordered), ordered, ordered**2))
        sums = th.nn.functional.pad(powers.cumsum(dim=2), (1, 0))  # (3, B, M + 1): of the m smallest
        all_targets = sums[:, :, -1:]

        far_below, below = (_sums_to(sums, ordered, bound, right=False) for bound in (theta - 1, theta))
        near = _sums_to(sums, ordered, theta + 1, right=True)
        under, over, far_over = below - far_below, near - below, all_targets - near

        midpoints = (th.arange(theta.shape[1], device=theta.device) + 0.5) / theta.shape[1]
        losses_below = theta * far_below[0] - far_below[1] - 0.5 * far_below[0] + _half_squares(under, theta)
        losses_above = far_over[1] - theta * far_over[0] - 0.5 * far_over[0] + _half_squares(over, theta)
        slopes_below = under[1] - theta * under[0] - far_below[0]
        slopes_above = over[1] - theta * over[0] + far_over[0]
        count = targets.shape[1]
        slopes = ((1 - midpoints) * slopes_below + midpoints * slopes_above) / count
        ctx.save_for_backward(slopes.to(predictions.dtype))
        losses = ((1 - midpoints) * losses_below + midpoints * losses_above).sum(dim=1) / count
        return losses.to(predictions.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: th.Tensor) -> tuple[th.Tensor, None]:
        """The gradient of the predictions; the targets have none."""
        (slopes,) = ctx.saved_tensors
        return -slopes * gradients[0].unsqueeze(1), None


def _sums_to(sums: th.Tensor, ordered: th.Tensor, bounds: th.Tensor, right: bool) -> th.Tensor:
    """Number, sum and sum of squares of the targets below the bounds (B, N), inclusive if ``right``: (3, B, N)."""
    where = th.searchsorted(ordered, bounds, right=right)
    return sums.gather(2, where.expand(3, -1, -1))


def _half_squares(part: th.Tensor, theta: th.Tensor) -> th.Tensor:
    """Half the sum of (target - theta) squared, from the number, sum and sum of squares of some targets."""
    return 0.5 * (part[2] - 2 * theta * part[1] + theta**2 * part[0])


def quantile_huber_losses(predictions: th.Tensor, targets: th.Tensor) -> th.Tensor:
    """The quantile Huber loss of each transition: summed over the predicted quantiles, averaged over the targets.

    :param predictions: quantiles at the midpoints (i + 0.5) / N, (B, N)
    :param targets: samples of the target distribution, (B, M); no gradient goes to them
    :return: (B,)
    """
    losses: th.Tensor = _QuantileHuberLoss.apply(predictions, targets)
    return losses
