"""Computes rungs, brackets and decision epochs: all schedules of epochs stand here.

Budgets are epochs wherever they are whole numbers. A *decision epoch* is one at which a stopping
rule or a scheduler decides about a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curvecast.curves import DataError

# --------------------------------------------------------------------------- rungs and brackets


def rungs(low: float, high: float, eta: float) -> list[float]:
    """Budgets from the lowest to the highest rung: high / eta**k >= low.

    Whole `low` and `high` give whole numbers (rounded), as budgets in epochs need. The number of
    rungs is exact where a float logarithm loses one (1 to 243 with eta 3 has 6).
    """
    count = 1
    while high / eta**count >= low * (1 - 1e-9):
        count += 1
    budgets = [high / eta**k for k in range(count - 1, -1, -1)]
    if float(low).is_integer() and float(high).is_integer():
        return [max(1, round(b)) for b in budgets]
    return [float(b) for b in budgets]


def largest_budget(last_epoch: int, eta: int, low: int = 1) -> int:
    """The largest of low, low * eta, low * eta**2, ... that is at most the number of epochs."""
    budget = low
    while budget * eta <= last_epoch:
        budget *= eta
    return budget


def bracket(number: int, budgets: Sequence[float], eta: float) -> tuple[list[int], list[float]]:
    """Configurations per rung and budgets of bracket `number` of a study with rungs `budgets`.

    The counts are hpbandster's, without its loss of one to the float power (81 of 243 / 3).
    """
    s = len(budgets) - 1 - number % len(budgets)
    n = math.floor(len(budgets) // (s + 1) * eta**s + 1e-9)
    return _halved(n, s + 1, eta), list(budgets[-s - 1 :])


def _halved(n: int, n_rungs: int, eta: float) -> list[int]:
    return [max(math.floor(n / eta**i + 1e-9), 1) for i in range(n_rungs)]


@dataclass(frozen=True)
class Rung:
    """`n` configurations trained to `epochs` epochs, resumed from `start`."""

    n: int
    start: int
    epochs: int


def brackets(budget: int, eta: int) -> list[list[Rung]]:
    """The brackets of one Hyperband with R = `budget` (Li et al. 2018, algorithm 1).

    Raises
    ------
    DataError : eta is below 2 or the budget is not a power of eta.
    """
    if eta < 2:
        raise DataError(f"eta {eta} must be at least 2")
    if largest_budget(budget, eta) != budget:
        raise DataError(f"budget {budget} is not a power of eta {eta}")
    ends = [int(end) for end in rungs(1, budget, eta)]
    found = []
    for s in range(len(ends) - 1, -1, -1):
        counts = _halved(-(-len(ends) * eta**s // (s + 1)), s + 1, eta)
        used = ends[-s - 1 :]
        found.append([Rung(*rung) for rung in zip(counts, [0, *used[:-1]], used, strict=True)])
    return found


# --------------------------------------------------------------------------- decision epochs


def decision_epochs(
    epochs: np.ndarray,
    n: int,
    *,
    first: float | None = None,
    last: float | None = None,
    endpoint: bool = True,
    also: Sequence[int] = (),
) -> np.ndarray:
    """About `n` of `epochs`, spaced evenly in log(epoch); int array, increasing.

    All of the first ones, where a decision saves most.

    Parameters
    ----------
    epochs : those at which a decision is possible, shape (n_epochs,), increasing.
    first, last : where the spacing starts and ends; default: the first and the last of them.
    endpoint : whether `last` is a decision epoch.
    also : further decision epochs.
    """
    epochs = np.asarray(epochs, dtype=np.int64)
    epochs = epochs[epochs >= 1]
    if not len(epochs):
        return epochs
    first = epochs[0] if first is None else first
    last = epochs[-1] if last is None else max(first, last)
    wanted = np.unique([*np.geomspace(first, last, n, endpoint=endpoint).round(), *also])
    return np.unique(epochs[np.searchsorted(epochs, wanted[wanted <= epochs[-1]])])


def sequential_epochs(epochs: np.ndarray, all_up_to: int = 60, n: int = 12) -> np.ndarray:
    """Decision epochs of a replayed search: before the last epoch, `n` of a long curve.

    Every one where the curve has at most `all_up_to` epochs.
    """
    before = epochs[(epochs >= 1) & (epochs < epochs[-1])]
    if epochs[-1] <= all_up_to or len(before) <= n:
        return before.astype(np.int64)
    return decision_epochs(before, n, endpoint=False)


def online_epochs(epochs: np.ndarray, n: int) -> np.ndarray:
    """Decision epochs of the online search: about `n` from the first to 85 % of the last one."""
    before = epochs[(epochs >= 1) & (epochs < epochs[-1])]
    return decision_epochs(before, n, first=1, last=0.85 * before[-1] if len(before) else None)


def rung_epochs(epochs: np.ndarray, rung_end: int, eta: int) -> np.ndarray:
    """Decision epochs of runs on their way to `rung_end`.

    Every epoch before it up to 9, then about six per factor of eta; the first epoch after each
    budget, where resumed runs can be stopped first, is always among them.
    """
    before = epochs[(epochs >= 1) & (epochs < rung_end)]
    if rung_end <= 9:
        return before.astype(np.int64)
    resumed = [int(end) + 1 for end in rungs(1, largest_budget(rung_end - 1, eta), eta)[1:]]
    return decision_epochs(before, 11, first=1, endpoint=False, also=resumed)


def halving_epochs(last_epoch: int, first: int, eta: int) -> list[int]:
    """Rungs first, first * eta, ... before `last_epoch`, for successive halving bottom up."""
    ends = rungs(first, largest_budget(last_epoch, eta, first), eta)
    return [int(end) for end in ends if end < last_epoch]


def evaluation_epochs(trained: int, rung: int, n: int, min_saving: int) -> list[int]:
    """Decision epochs of a study's run that was trained for `trained` epochs before this rung.

    Before anything is trained (epoch 0), and about `n` from 1 to `rung - min_saving`; what lies
    before `trained` is decided there, before anything new is trained.
    """
    spaced = decision_epochs(np.arange(1, rung - min_saving + 1), n)
    wanted = np.unique(np.maximum([0, *spaced], trained))
    return wanted[wanted <= rung - min_saving].tolist()


def pause_budgets(low: float, high: float, eta: float) -> list[float]:
    """Budgets at which a freeze-thaw search pauses a run: three for every two rungs.

    From the lowest to the highest budget, evenly on a log scale; whole where both are whole.
    """
    count = 1 + math.ceil(1.5 * math.log(high / low) / math.log(eta) - 1e-9)
    if float(low).is_integer() and float(high).is_integer():
        return decision_epochs(np.arange(low, high + 1), count).tolist()
    return np.geomspace(low, high, count).tolist()
