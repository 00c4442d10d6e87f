"""Quantiles of returns, computed for the actions that matter, and their loss without all pairs.

A head of QR-DQN gives N quantiles for each of A actions, 200 x 18 for Gravitar, of which a transition needs N: those of
the action taken, or of the best one. The best one is found from the mean of the quantiles, which is linear in the
head's weights. So both networks' heads cost about A times less than if they gave everything.

Credits: W. Dabney et al. 2017 (arXiv 1710.10044), equations 9 and 10; sb3-contrib (Raffin et al. 2021), whose layout of
the head, quantile by quantile and in each action by action, this reads, and whose loss it gives.
"""

from __future__ import annotations

from typing import Any

import torch as th


def mean_quantiles(hidden: th.Tensor, head: th.nn.Linear, n_quantiles: int) -> th.Tensor:
    """Each action's value, the mean of its quantiles.

    :param hidden: what the head sees, (B, F)
    :param head: from F features to N x A quantiles
    :return: (B, A)
    """
    weight = head.weight.unflatten(0, (n_quantiles, -1)).mean(dim=0)
    return th.nn.functional.linear(hidden, weight, head.bias.unflatten(0, (n_quantiles, -1)).mean(dim=0))


def quantiles_of_actions(hidden: th.Tensor, head: th.nn.Linear, actions: th.Tensor, n_quantiles: int) -> th.Tensor:
    """The quantiles of one action each.

    :param hidden: what the head sees, (B, F)
    :param head: from F features to N x A quantiles
    :param actions: (B,), int64
    :return: (B, N)
    """
    quantiles: th.Tensor = _QuantilesOfActions.apply(hidden, head.weight, head.bias, actions, n_quantiles)
    return quantiles


class _QuantilesOfActions(th.autograd.Function):
    """One product of matrices for each action that occurs, and one gradient for the head, not one for each action."""

    @staticmethod
    def forward(
        ctx: Any, hidden: th.Tensor, weight: th.Tensor, bias: th.Tensor, actions: th.Tensor, n_quantiles: int
    ) -> th.Tensor:
        """As ``quantiles_of_actions``."""
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
        """The gradients for hidden, weight and bias; those of actions that do not occur are 0."""
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

    Not the N x M differences: the targets are sorted, and those below prediction - 1, below the prediction, up to
    prediction + 1 and beyond are consecutive. Running sums of targets and squares give each part's loss and slope.
    Everything is counted from the mean target, else large values that differ little would lose their differences.
    """

    @staticmethod
    def forward(ctx: Any, predictions: th.Tensor, targets: th.Tensor) -> th.Tensor:
        """As ``quantile_huber_losses``."""
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
        """The gradient for the predictions; the targets have none."""
        (slopes,) = ctx.saved_tensors
        return -slopes * gradients[0].unsqueeze(1), None


def _sums_to(sums: th.Tensor, ordered: th.Tensor, bounds: th.Tensor, right: bool) -> th.Tensor:
    """Of the targets below bounds (B, N), or up to them if ``right``: number, sum and sum of squares, (3, B, N)."""
    where = th.searchsorted(ordered, bounds, right=right)
    return sums.gather(2, where.expand(3, -1, -1))


def _half_squares(part: th.Tensor, theta: th.Tensor) -> th.Tensor:
    """Half the sum of (target - theta) squared, from a part's number, sum and sum of squares."""
    return 0.5 * (part[2] - 2 * theta * part[1] + theta**2 * part[0])


def quantile_huber_losses(predictions: th.Tensor, targets: th.Tensor) -> th.Tensor:
    """Each transition's quantile loss: summed over the predicted quantiles, averaged over the targets.

    :param predictions: quantiles at the midpoints (i + 0.5) / N, (B, N)
    :param targets: samples of the target distribution, (B, M); no gradient goes to them
    :return: (B,)
    """
    losses: th.Tensor = _QuantileHuberLoss.apply(predictions, targets)
    return losses
