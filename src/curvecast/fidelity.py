"""Computes rungs, brackets and decision epochs: all schedules of epochs stand here.

Budgets are epochs wherever they are whole numbers. A *decision epoch* is one at which a stopping
rule or a scheduler decides about a run. Schedules of recorded runs hold recorded epochs alone: they
start at the first trained one and are the same whether epochs count 1, 2, 3, ... or thousands.
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
    """`n` runs trained to `epochs`, resumed from `start`; `next` is the first epoch after it."""

    n: int
    start: int
    next: int
    epochs: int


def rung_ends(epochs: np.ndarray, eta: int, budget: int | None = None) -> list[int]:
    """Ends of the rungs of Hyperband among the recorded `epochs`, shape (n_epochs,), increasing.

    The recorded epochs nearest to first, first * eta, first * eta**2, ... up to `budget`, by
    default the last epoch, where `first` is the first trained one.

    Raises
    ------
    DataError : eta is below 2, no epoch is trained, or `budget` is not first * eta**k or not
        among the epochs.
    """
    if eta < 2:
        raise DataError(f"eta {eta} must be at least 2")
    epochs = trained(epochs)
    if not len(epochs):
        raise DataError("no trained epoch is recorded")
    ends = [first := int(epochs[0])]
    while ends[-1] * eta <= (budget or epochs[-1]):
        ends.append(ends[-1] * eta)
    if budget and ends[-1] != budget:
        raise DataError(f"budget {budget} is not a power of eta {eta} times the epoch {first}")
    if ends[-1] > epochs[-1]:
        raise DataError(f"budget {budget} is above the last recorded epoch {epochs[-1]}")
    return np.unique(nearest(epochs, ends)).tolist()


def brackets(epochs: np.ndarray, eta: int, budget: int | None = None) -> list[list[Rung]]:
    """The brackets of one Hyperband (Li et al. 2018, algorithm 1) with the rungs of `rung_ends`."""
    ends = rung_ends(epochs, eta, budget)
    epochs = trained(epochs)
    plan = []
    for s in range(len(ends) - 1, -1, -1):
        counts = _halved(-(-len(ends) * eta**s // (s + 1)), s + 1, eta)
        starts = [0, *ends[-s - 1 : -1]]
        after = epochs[np.searchsorted(epochs, starts, "right")].tolist()
        rows = zip(counts, starts, after, ends[-s - 1 :], strict=True)
        plan.append([Rung(*row) for row in rows])
    return plan


# --------------------------------------------------------------------------- decision epochs


def trained(epochs: np.ndarray) -> np.ndarray:
    """The epochs after which something is trained."""
    return epochs[epochs >= 1]


def nearest(epochs: np.ndarray, wanted: Sequence[float] | np.ndarray) -> np.ndarray:
    """Of increasing `epochs`, the one nearest to each wanted number, the earlier of two."""
    after = np.searchsorted(epochs, wanted).clip(max=len(epochs) - 1)
    before = (after - 1).clip(min=0)
    nearer = np.asarray(wanted) - epochs[before] <= epochs[after] - np.asarray(wanted)
    return epochs[np.where(nearer, before, after)]


def decision_epochs(
    epochs: np.ndarray,
    n: int,
    *,
    last: float | None = None,
    endpoint: bool = True,
    also: Sequence[int] = (),
) -> np.ndarray:
    """About `n` of the trained `epochs`, spaced evenly in log(epoch); int array, increasing.

    All of the first ones, where a decision saves most.

    Parameters
    ----------
    epochs : those at which a decision is possible, shape (n_epochs,), increasing.
    last : where the spacing ends (default: the last of them); `endpoint`: whether it belongs.
    also : further decision epochs, of `epochs`.
    """
    epochs = trained(epochs)
    if not len(epochs):
        return epochs
    last = max(epochs[0], epochs[-1] if last is None else last)
    wanted = np.geomspace(epochs[0], last, n, endpoint=endpoint)
    return np.unique([*nearest(epochs, wanted), *also]).astype(np.int64)


def sequential_epochs(epochs: np.ndarray, all_up_to: int = 60, n: int = 12) -> np.ndarray:
    """Decision epochs of a replayed search: before the last epoch, `n` of a long curve.

    Every one where the curve has at most `all_up_to` of them.
    """
    before = trained(epochs)[:-1]
    if len(before) < all_up_to or len(before) <= n:
        return before
    return decision_epochs(before, n, endpoint=False)


def online_epochs(epochs: np.ndarray, n: int) -> np.ndarray:
    """Decision epochs of the online search: about `n` from the first to 85 % of the last one."""
    before = trained(epochs)[:-1]
    return decision_epochs(before, n, last=0.85 * before[-1] if len(before) else None)


def rung_epochs(epochs: np.ndarray, rung_end: int, eta: int) -> np.ndarray:
    """Decision epochs of runs on their way to `rung_end`.

    Every epoch before it up to the ninth, then about six per factor of eta; the first epoch after
    each budget, where resumed runs can be stopped first, is always among them.
    """
    before = trained(epochs)[trained(epochs) < rung_end]
    if len(before) < 9:
        return before
    after = np.searchsorted(before, rung_ends(before, eta)[1:], "right")
    resumed = before[after[after < len(before)]]
    return decision_epochs(before, 11, endpoint=False, also=resumed.tolist())


def share_of(epochs: np.ndarray, parts: int) -> int:
    """One of so many parts of the last epoch, rounded up to a multiple of the first trained one."""
    first = int(trained(epochs)[0])
    return first * math.ceil(int(epochs[-1]) / (first * parts))


def halving_epochs(epochs: np.ndarray, first: int, eta: int) -> np.ndarray:
    """Recorded epochs nearest to first, first * eta, ..., for successive halving bottom up."""
    ends = [first]
    while ends[-1] * eta < epochs[-1]:
        ends.append(ends[-1] * eta)
    rung = np.unique(nearest(trained(epochs), ends))
    return rung[rung < epochs[-1]]


def evaluation_epochs(trained: int, rung: int, n: int, min_saving: int) -> list[int]:
    """Decision epochs of a study's run that was trained for `trained` epochs before this rung.

    Before anything is trained (epoch 0), and about `n` from 1 to `rung - min_saving`; what lies
    before `trained` is decided there, before anything new is trained.
    """
    last = rung - min_saving
    spaced = np.geomspace(1, last, n).round() if last >= 1 else np.zeros(0)
    wanted = np.unique(np.maximum([0, *spaced], trained)).astype(np.int64)
    return wanted[wanted <= last].tolist()


def pause_budgets(low: float, high: float, eta: float) -> list[float]:
    """Budgets at which a freeze-thaw search pauses a run: three for every two rungs.

    From the lowest to the highest budget, evenly on a log scale; whole where both are whole.
    """
    count = 1 + math.ceil(1.5 * math.log(high / low) / math.log(eta) - 1e-9)
    budgets = np.geomspace(low, high, count)
    if float(low).is_integer() and float(high).is_integer():
        return np.unique(budgets.round()).astype(np.int64).tolist()
    return budgets.tolist()
