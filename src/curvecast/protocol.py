"""Who trains on what: truncation epochs, splits, repeats and seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curvecast.curves import CurveSet, DataError


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
    return int(trained[max(int(np.searchsorted(trained, wanted, side="right")) - 1, 0)])


@dataclass(frozen=True)
class Split:
    """Row positions of one repeat: `train` and `test` are disjoint int arrays."""

    train: np.ndarray
    test: np.ndarray


def split(
    curves: CurveSet,
    n_train: int,
    repeat: int,
    *,
    reserve: int | None = None,
    train_pool: np.ndarray | None = None,
    test_pool: np.ndarray | None = None,
) -> Split:
    """Draw the training runs of one repeat; the seed comes from (data set, repeat) alone.

    Runs without a finite final value have no target and are left out. Repeated configurations
    stay on one side. Smaller training sets are prefixes of larger ones, and the test runs are
    those outside the first `reserve` (default `n_train`) runs of the same order, so that curves
    over `n_train` share one test set.

    Parameters
    ----------
    n_train : number of training runs.
    repeat : number of the repeat, from 0.
    reserve : size of the largest training set that shares these test runs.
    train_pool, test_pool : boolean masks of shape (n_configs,) that restrict either side.

    Raises
    ------
    DataError : fewer usable runs than the protocol needs.
    """
    reserve = max(n_train, reserve or 0)
    usable = np.isfinite(curves.final)
    may_train = usable if train_pool is None else usable & train_pool
    may_test = usable if test_pool is None else usable & test_pool
    rng = np.random.default_rng(seed_from(curves.name, repeat))
    order = rng.permutation(np.unique(curves.groups))
    members = _members_in_order(curves.groups, order)
    train: list[int] = []
    for rows in members:
        rows = rows[may_train[rows]]
        if len(rows) and len(train) + len(rows) <= reserve:
            train.extend(rows)
    used = np.isin(curves.groups, curves.groups[np.array(train, dtype=np.int64)])
    test = np.flatnonzero(may_test & ~used)
    if len(train) < reserve or len(test) < 2:
        raise DataError(
            f"{int(may_train.sum())} runs can be trained on and {len(test)} are left to test on; "
            f"the protocol needs {reserve} and 2 (lower protocol.n_train)",
            file=curves.name,
        )
    return Split(train=np.array(train[:n_train], dtype=np.int64), test=test)


def _members_in_order(groups: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    by_group = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[by_group], order)
    ends = np.searchsorted(groups[by_group], order, side="right")
    return [by_group[s:e] for s, e in zip(starts, ends, strict=True)]


def grouped_folds(groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Fold number per row, shape (n,): equal groups share a fold, folds of nearly equal size."""
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
