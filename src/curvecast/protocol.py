"""Who trains on what: truncation epochs, splits, repeats and seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curvecast.curves import CurveSet, DataError

LEAST_DISJOINT = 5


def seed_from(*names: object) -> int:
    """A seed in [0, 2**32) that depends on the names alone, not on the order of execution."""
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def tau_of(fraction: float, epochs: np.ndarray | Sequence[int]) -> int:
    """Truncation epoch of a fraction of a curve that is recorded at `epochs`, shape (n_epochs,).

    The last recorded epoch up to max(1, ceil(fraction * E - 1e-9)), or the first one from 1 on.
    """
    if not 0 < fraction <= 1:
        raise DataError(f"fraction {fraction} is not in (0, 1]")
    recorded: np.ndarray = np.asarray(epochs)
    wanted = max(1, math.ceil(fraction * int(recorded[-1]) - 1e-9))
    trained = recorded[recorded >= 1]
    if not len(trained):
        raise DataError("no trained epoch is recorded")
    return int(trained[max(int(np.searchsorted(trained, wanted, side="right")) - 1, 0)])


@dataclass(frozen=True)
class Split:
    """Row positions of one repeat: `train` and `test` are disjoint int arrays."""

    train: np.ndarray
    test: np.ndarray


def disjoint_sets(curves: CurveSet, n_train: int, repeats: int) -> int:
    """How many of `repeats` training sets of `n_train` runs share no run; 0: they overlap.

    Disjoint sets have one test set: a fifth of the runs with a finite final value, and at least
    `n_train` of them. Where fewer than `LEAST_DISJOINT` sets are left beside it, sets overlap.
    """
    usable = int(np.isfinite(curves.final).sum())
    fitting = min(repeats, (usable - max(n_train, usable // 5)) // max(n_train, 1))
    return fitting if fitting >= min(repeats, LEAST_DISJOINT) else 0


def split(
    curves: CurveSet,
    n_train: int,
    repeat: int,
    *,
    reserve: int | None = None,
    disjoint: int = 0,
    train_pool: np.ndarray | None = None,
    test_pool: np.ndarray | None = None,
) -> Split:
    """Draw the training runs of one repeat; the test runs are all that no training set holds.

    Of `disjoint` training sets each has runs of its own, and all repeats share their test runs;
    without them each repeat has an order of its own. The order comes from the names of data set
    and repeat alone. Runs without a finite final value have no target and are left out. Repeated
    configurations stay on one side. Smaller training sets are prefixes of the `reserve` (default
    `n_train`) runs of the largest one, and share its test runs; 0 runs are one of them.

    `train_pool` and `test_pool`, boolean masks of shape (n_configs,), restrict either side. Raises
    DataError for fewer usable runs than the protocol needs.
    """
    reserve = max(n_train, reserve or 0)
    usable = np.isfinite(curves.final)
    may_train = usable if train_pool is None else usable & train_pool
    may_test = usable if test_pool is None else usable & test_pool
    rng = np.random.default_rng(seed_from(curves.name, *([] if disjoint else [repeat])))
    order = rng.permutation(np.unique(curves.groups))
    sets: list[list[int]] = [[] for _ in range(max(disjoint, 1))]
    for rows in _members_in_order(curves.groups, order):
        rows = rows[may_train[rows]]
        room = (rows_of for rows_of in sets if len(rows_of) + len(rows) <= reserve)
        if len(rows) and (first := next(room, None)) is not None:
            first.extend(rows)
    used = np.isin(curves.groups, curves.groups[np.concatenate(sets).astype(np.int64)])
    test = np.flatnonzero(may_test & ~used)
    train = np.array(sets[repeat if disjoint else 0], dtype=np.int64)
    if len(train) < reserve or len(test) < 2:
        raise DataError(
            f"{len(train)} runs can be trained on and {len(test)} are left to test on (repeated "
            f"configurations stay on one side); the protocol needs {reserve} and 2 (lower "
            "protocol.n_train)",
            file=curves.name,
        )
    return Split(train=train[:n_train], test=test)


def _members_in_order(groups: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    by_group = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[by_group], order)
    ends = np.searchsorted(groups[by_group], order, side="right")
    return [by_group[s:e] for s, e in zip(starts, ends, strict=True)]


def require_groups(groups: np.ndarray) -> None:
    """Raises DataError unless there are two configurations to tell training from testing by."""
    if len(np.unique(groups)) < 2:
        raise DataError("runs of a single configuration cannot be cross-validated")


def grouped_folds(groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Fold number per row, shape (n,): equal groups share a fold, folds of nearly equal size.

    Fewer groups than folds have a fold each.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.unique(groups))
    return (np.argsort(order)[np.searchsorted(np.sort(order), groups)] % n_folds).astype(np.int64)


def tau_grid(
    epochs: np.ndarray | Sequence[int], fractions: Sequence[float], taus: Sequence[int] = ()
) -> dict[int, float]:
    """Map each truncation epoch of a curve to its configured fraction (`taus`: to tau / E)."""
    last_epoch = int(np.asarray(epochs)[-1])
    grid = {tau_of(fraction, epochs): float(fraction) for fraction in fractions}
    for tau in taus:
        if not 1 <= tau <= last_epoch:
            raise DataError(f"tau {tau} is outside of 1..{last_epoch}")
        grid.setdefault(int(tau), tau / last_epoch)
    return dict(sorted(grid.items()))
