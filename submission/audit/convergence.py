"""How a learning curve compares with those of other trainings of the same settings: a conformal p-value.

Windows of one curve hang together, so they are not exchangeable with each other; whole trainings with other seeds are.
With K of them, each of the K + 1 curves is compared with the others, and p is the share whose distance is at least
that of the submitted one. No p can be below 1 / (K + 1). If the submitted run is one more training of the same
settings, p is at most u with probability at most u.

Credits: V. Vovk, A. Gammerman, G. Shafer 2005, *Algorithmic Learning in a Random World* (full conformal prediction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.scores.curves import learning_curve
from common.scores.logs import ScoreLog
from submission.audit.evidence import Evidence

POINTS = 40
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A learning curve beside those of other trainings.

    :param episodes: shape (T,)
    :param submitted: mean scores, shape (T,)
    :param others: mean scores of K trainings, shape (K, T)
    :param p: conformal p-value
    """

    episodes: FloatArray
    submitted: FloatArray
    others: FloatArray
    p: float

    @property
    def smallest(self) -> float:
        """The smallest p that so many trainings allow."""
        return 1 / (len(self.others) + 1)

    def evidence(self) -> Evidence:
        """The comparison in words."""
        place = int(np.argmax(np.abs(self.submitted - self.others.mean(axis=0))))
        words = (
            f"beside {len(self.others)} other trainings p = {self.p:.3g} (at least {self.smallest:.3g}); "
            f"the curve is farthest off at episode {self.episodes[place]:.0f}: {self.submitted[place]:.0f}, the others "
            f"{self.others[:, place].min():.0f} to {self.others[:, place].max():.0f}"
        )
        otherwise = "other settings, versions or hardware than those of the replicates"
        return Evidence("convergence", words, self.p, otherwise, (int(self.episodes[place]),))


def compare(log: ScoreLog, others: Sequence[ScoreLog], window: int = 100) -> Comparison:
    """Compare a log's learning curve with those of others.

    :param others: logs of trainings with the same settings and other seeds, at least one
    :param window: episodes in a mean
    :raises UserError: without others, or when the logs have no episodes in common
    """
    if not others:
        raise UserError("there is no other training to compare with; give --replicates or --others")
    curves = [learning_curve(each, window) for each in (log, *others)]
    first = max(float(curve.episodes[0]) for curve in curves)
    last = min(float(curve.episodes[-1]) for curve in curves)
    if last < first:
        raise UserError(f"{log.name} and the trainings to compare with have no episodes in common")
    episodes = np.linspace(first, last, POINTS)
    values = np.array([np.interp(episodes, curve.episodes, curve.means) for curve in curves])
    distances = nonconformity(values)
    p = float(np.mean(distances >= distances[0] - 1e-12))
    return Comparison(episodes, values[0], values[1:], p)


def nonconformity(curves: FloatArray) -> FloatArray:
    """How far each curve is from the mean of the others: the largest difference, in standard deviations of all.

    It is symmetric in the curves, as exchangeability asks.

    :param curves: shape (K + 1, T)
    :return: shape (K + 1,)
    """
    count = len(curves)
    others = (curves.sum(axis=0) - curves) / (count - 1)
    spread = curves.std(axis=0) + 1e-9 + 0.01 * np.abs(curves).mean()
    return np.asarray(np.abs((curves - others) / spread).max(axis=1))
