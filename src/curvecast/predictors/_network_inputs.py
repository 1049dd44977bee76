"""What networks share: the arrays that they read, and members that each leave out a fold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from curvecast import features
from curvecast.curves import CurveSet, DataError
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.scaling import Columns, WarpScaling, medians
from curvecast.protocol import grouped_folds, require_groups


class MembersPredictor(Predictor):
    """A predictor of `n_members` that each leave out a fold of the training runs.

    A constant target gives that value without spread.
    """

    MAX_FOLDS: ClassVar[int | None] = None
    n_members: int
    _taus: dict[int, int]

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self._diagnostics: dict[str, float] = {}

    def _fit_curves(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        self._taus, y = positions_of(curves, taus), curves.final
        n_folds = min(self.n_members, self.MAX_FOLDS or self.n_members)
        require_groups(curves.groups)
        folds = grouped_folds(curves.groups, n_folds, self.seed)
        self._center, self._diagnostics = float(y.mean()), {}
        self._constant = bool(y.std() <= 1e-12 * max(1.0, abs(self._center)))
        if not self._constant:
            leaves_out = np.arange(self.n_members) % (folds.max() + 1)
            self._learn(curves, folds == leaves_out[:, None])
        return self

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        if self._constant or not len(curves):
            return Prediction(np.full(len(curves), self._center), np.zeros(len(curves)))
        return self._predict_varied(curves, tau)

    def diagnostics(self) -> dict[str, float]:
        return dict(self._diagnostics)

    @abstractmethod
    def _learn(self, curves: CurveSet, unseen: np.ndarray) -> None:
        """Fit at `_taus`; `unseen` says by member which runs it leaves out, (members, n_runs)."""

    @abstractmethod
    def _predict_varied(self, curves: CurveSet, tau: int) -> Prediction:
        """Predict where the training runs' final values vary."""


def positions_of(curves: CurveSet, taus: Iterable[int]) -> dict[int, int]:
    """Position of the last epoch <= tau, for every tau.

    Raises
    ------
    DataError : a tau that lies before the first or after the last epoch, or none at all.
    """
    positions = {int(tau): int(np.searchsorted(curves.epochs, tau, "right")) - 1 for tau in taus}
    if not positions:
        raise DataError("no tau to fit", file=curves.name)
    for tau, position in positions.items():
        if position < 0 or tau > curves.last_epoch:
            raise DataError(
                f"tau {tau} is outside of the epochs {curves.epochs[0]}..{curves.last_epoch}",
                file=curves.name,
            )
    return positions


def thin(last: int, n_steps: int, chosen: Iterable[int]) -> np.ndarray:
    """About `n_steps` positions from 0 to `last`, in geometric distances, and those `chosen`.

    Curves move fast at first: the distance grows with the epoch. Increasing int array.
    """
    geometric = np.geomspace(1, last + 1, min(n_steps, last + 1)).round().astype(np.int64) - 1
    return np.unique(np.concatenate([geometric, np.array([*chosen, last], dtype=np.int64)]))


def as_tensor(array: np.ndarray) -> Tensor:
    """In single precision."""
    return torch.from_numpy(array.astype(np.float32))


def static_frame(curves: CurveSet) -> pd.DataFrame:
    """The blocks AP and HP as `features.build` makes them, shape (n_configs, n_columns)."""
    first = int(curves.epochs[0])
    return features.select(features.build(curves, [first])[first], "AP+HP")


def settings(columns: Columns, curves: CurveSet) -> Tensor:
    """Scaled settings of the runs, shape (n_configs, p)."""
    return as_tensor(columns.apply(static_frame(curves)))


@dataclass(frozen=True)
class Steps:
    """Curves as sequences in which no step sees a later epoch.

    Attributes
    ----------
    positions : positions among the epochs at which the steps end, shape (n_steps,). A step
        covers the epochs after the previous one.
    times : epoch over last epoch and its logarithmic counterpart in [-1, 1], shape (n_steps, 2).
    warps : per series (the curve itself first) those of its value at the end of a step, its mean
        over the step and its change since the previous step; of all steps.
    medians : of the training runs' values at the steps, shape (n_steps,); they stand in for a
        run that has no finite value yet.
    """

    positions: np.ndarray
    times: np.ndarray
    warps: dict[str, tuple[WarpScaling, ...]]
    medians: np.ndarray

    @classmethod
    def of(cls, curves: CurveSet, positions: np.ndarray) -> Self:
        """Learn the scales of all steps from training runs."""
        epochs = curves.epochs[positions].astype(np.float64)
        last = float(curves.last_epoch)
        times = np.stack([epochs / last, np.log1p(epochs) / np.log1p(last)], axis=1)
        warps = {
            name: tuple(WarpScaling.of(part) for part in _parts(array, curves.epochs, positions))
            for name, array in _series(curves).items()
        }
        ends = _parts(curves.values, curves.epochs, positions)[0]
        return cls(positions, 2 * times - 1, warps, medians(ends))

    def until(self, position: int) -> Self:
        """The steps up to the one that ends at a position among the epochs."""
        n = int(np.searchsorted(self.positions, position)) + 1
        return replace(
            self, positions=self.positions[:n], times=self.times[:n], medians=self.medians[:n]
        )

    def channels(self, curves: CurveSet) -> np.ndarray:
        """Standardised inputs, float32 of shape (n_configs, n_steps, C).

        Raises
        ------
        DataError : a series that was fitted on is missing.
        """
        have = _series(curves)
        parts = []
        for name, warps in self.warps.items():
            if name not in have:
                raise DataError("a series that was fitted on is missing", column=name)
            for warp, part in zip(
                warps, _parts(have[name], curves.epochs, self.positions), strict=True
            ):
                parts.append(warp.apply(part))
        shape = (len(curves), len(self.positions))
        parts += [np.broadcast_to(time, shape) for time in self.times.T]
        return np.stack(parts, axis=2).astype(np.float32)

    def values(self, curves: CurveSet) -> np.ndarray:
        """Value at the end of every step in the unit of the curve, (n_configs, n_steps)."""
        ends = _parts(curves.values, curves.epochs, self.positions)[0]
        return np.where(np.isfinite(ends), ends, self.medians)


def _series(curves: CurveSet) -> dict[str, np.ndarray]:
    further = {name: array for name, array in curves.series.items() if name != "seconds"}
    return {"": curves.values, **further}


def _parts(
    values: np.ndarray, epochs: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """End, mean and change of every step, gaps bridged, each of shape (n_runs, n_steps)."""
    n = positions[-1] + 1
    filled = features.bridge(values[:, :n], epochs[:n])
    ends = filled[:, positions]
    starts = np.concatenate([[0], positions[:-1] + 1])
    means = np.add.reduceat(filled, starts, axis=1) / np.diff(positions, prepend=-1)
    return ends, means, np.diff(ends, axis=1, prepend=ends[:, :1])
