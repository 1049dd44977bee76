"""Forecasts the values of runs at the end of a rung of Hyperband."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from curvecast.curves import CurveSet
from curvecast.fidelity import rung_epochs
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Predictor
from curvecast.protocol import grouped_folds, seed_from
from curvecast.stopping.accounting import Record
from curvecast.stopping.rules.predicted import Forecasts, Part

_FOLDS = 5


class RungForecaster:
    """Forecasts the values at the ends of rungs for all runs, none from a fit on its own curve.

    Fits are remembered: settings often share them. `model` and `options` are those of
    `make_predictor`.
    """

    def __init__(
        self,
        curves: CurveSet,
        model: str,
        eta: int,
        repeat: int,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._curves, self._model, self._eta = curves, model, eta
        self._options = dict(options or {})
        self._end = curves.epochs[Record.of(curves).end]
        self._seed = seed_from(curves.name, "hyperband", repeat, model)
        self._known: dict[tuple[int, bytes], Forecasts] = {}
        self.seconds = 0.0
        self.fits = 0

    def __call__(self, rung_end: int, train: np.ndarray) -> Forecasts:
        """Forecast from the increasing row positions `train`, all of which reached `rung_end`."""
        key = (rung_end, train.tobytes())
        if key not in self._known:
            started = time.perf_counter()
            self._known[key] = self._fit(rung_end, train)
            self.seconds += time.perf_counter() - started
            self.fits += 1
        return self._known[key]

    def epochs_before(self, rung_end: int) -> np.ndarray:
        """Epochs on the way to `rung_end` at which a run may be stopped."""
        return rung_epochs(self._curves.epochs, rung_end, self._eta)

    def _fit(self, rung_end: int, train: np.ndarray) -> Forecasts:
        target, at = self._curves.until(rung_end), self.epochs_before(rung_end).tolist()

        def fitted(rows: np.ndarray) -> Predictor:
            model = make_predictor(self._model, seed=self._seed, **self._options)
            return model.fit(target.take(rows), at)

        others = np.setdiff1d(np.arange(len(target)), train)
        model = fitted(train)
        left_out = [model.predict_left_out(tau) for tau in at]
        folds: list[tuple[np.ndarray, Predictor]] = []
        if None in left_out and len(train):
            fold = grouped_folds(target.groups[train], _FOLDS, self._seed)
            folds = [(train[fold == f], fitted(train[fold != f])) for f in np.unique(fold)]
        parts = {}
        for tau, own in zip(at, left_out, strict=True):
            alive = others[self._end[others] > tau]
            asked: list[Part] = [(alive, model.predict(target.take(alive), tau))]
            if own is not None:
                asked.append((train, own))
            else:
                asked += [(rows, fold.predict(target.take(rows), tau)) for rows, fold in folds]
            parts[tau] = [(rows, prediction.gaussian()) for rows, prediction in asked]
        return Forecasts(parts, target.sign, len(target))
