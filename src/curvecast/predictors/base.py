"""The contract of all predictors, and what tabular ones share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd

from curvecast import features as feature_blocks
from curvecast.curves import CurveSet, DataError
from curvecast.predictors import options_of
from curvecast.predictors.distributions import EndedPrediction, Prediction
from curvecast.predictors.domain import Domain, ended, reached
from curvecast.predictors.transforms import SeriesMap, WarpedPrediction


class Predictor(ABC):
    """Predicts the final value of runs from their first tau epochs.

    A subclass takes its options as keyword arguments of `__init__`, all with defaults, and
    implements `_fit_curves` and `_predict_hidden`. `needs_training` is False where a model
    answers without any training run, `needs_taus` where it answers at every tau; `_fit_curves` of
    all others sets `_taus`, the taus that `predict` answers. `warps_explosions` is False where
    exploding values need no warp; `calibrated` is True where the tails of the distributions hold
    on runs of unseen tasks, however few runs are finished.
    """

    needs_training = True
    needs_taus = True
    warps_explosions = True
    calibrated = False
    takes_unfinished = False
    _taus: Collection[int] | None = None
    _domain: Domain | None = None
    _given: Mapping[str, Any] = {}

    def __new__(cls, *values: Any, **options: Any) -> Self:
        """Note the options, for `get_params`."""
        made = super().__new__(cls)
        made._given = options
        return made

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._maps: dict[str, SeriesMap] = {}

    def get_params(self) -> dict[str, Any]:
        """The options of this model and their values, `seed` among them."""
        return {"seed": 0, **options_of(type(self)), **self._given}

    def __repr__(self) -> str:
        """The class with the options that were given."""
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"{type(self).__name__}({given})"

    def score(self, curves: CurveSet, tau: int) -> float:
        """R² of the mean predictions at `tau` for the runs with a finite end.

        Raises
        ------
        DataError : see `predict`; fewer than two such runs, or all end at the same value.
        """
        ended = curves.take(np.isfinite(curves.final))
        spread = np.sum((ended.final - ended.final.mean()) ** 2) if len(ended) > 1 else 0.0
        if not spread > 0:
            raise DataError("R² needs two runs with different final values", file=curves.name)
        errors = ended.final - self.predict(ended, tau).mean
        return float(1 - np.sum(errors**2) / spread)

    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        """Learn from complete curves for every tau. Runs without a finite end are passed over.

        Where the values of training runs explode (`transforms.explosions`), the model sees and
        predicts warped ones; what it predicts is given back in the unit of the curve.

        Raises
        ------
        DataError : too few runs with a finite end.
        """
        usable = curves if self.takes_unfinished else curves.take(np.isfinite(curves.final))
        if self.needs_training and len(usable) < 2:
            raise DataError(
                f"{len(usable)} runs with a final value are too few to fit on", file=curves.name
            )
        self._domain = Domain.of(usable)
        self._learn_maps(usable)
        return self._fit_curves(self._mapped(usable), taus)

    def _learn_maps(self, curves: CurveSet) -> None:
        self._maps = {
            name: SeriesMap.of(values, warps=self.warps_explosions)
            for name, values in {"": curves.values, **curves.series}.items()
            if name != "seconds" and len(curves)
        }

    def _mapped(self, curves: CurveSet) -> CurveSet:
        if not self._maps:
            return curves
        series = {n: self._maps[n](a) if n in self._maps else a for n, a in curves.series.items()}
        return replace(curves, values=self._maps[""](curves.values), series=series)

    @abstractmethod
    def _fit_curves(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        """`fit` on mapped runs, all with a finite end unless the model takes unfinished ones."""

    def predict(self, curves: CurveSet, tau: int) -> Prediction:
        """Predict the final values; everything after epoch `tau` is hidden first.

        A model that is fitted at its taus reads the epochs that it was fitted on: others are passed
        over, and those that the curves do not have are gaps.

        Raises
        ------
        DataError : `tau` was not fitted, a run has not come so far (`domain.reached`), or the
            training runs had another direction.
        """
        if self._taus is not None and tau not in self._taus:
            raise DataError(f"not fitted for tau {tau}, only for {sorted(self._taus)}")
        if self._domain is not None:
            self._domain.check_direction(curves)
            curves = self._domain.on_its_epochs(curves) if self.needs_taus else curves
        early = ~reached(curves, tau)
        if early.any():
            ids = curves.configs["id"][early].astype(str)
            raise DataError(
                f"too early for a prediction at epoch {tau}: no value is recorded there or shortly "
                f"before in {early.sum()} of {len(curves)} runs",
                file=curves.name,
                row=", ".join(ids[:5]) + (", ..." if len(ids) > 5 else ""),
            )
        hidden = curves.hide_after(tau)
        if self._domain is not None:
            hidden = self._domain.on_its_scales(hidden)
        prediction = self._unmapped(self._predict_hidden(self._mapped(hidden), tau), "")
        return self.settle(prediction, hidden, tau)

    def settle(self, prediction: Prediction, curves: CurveSet, tau: int) -> Prediction:
        """The prediction, but of runs that have ended by tau their value (`domain.ended`)."""
        values = np.where(curves.seen(tau), curves.values, np.nan)
        return EndedPrediction.of(
            prediction, ended(curves, tau), feature_blocks.bridge(values, curves.epochs)[:, -1]
        )

    def _unmapped(self, prediction: Prediction, series: str) -> Prediction:
        warp = self._maps[series].warp if series in self._maps else None
        return prediction if warp is None else WarpedPrediction.of(prediction, warp)

    def notes(self, curves: CurveSet, tau: int) -> list[str]:
        """What to know of each run's prediction at `tau`, "" where nothing; see `Domain.notes`."""
        return self._domain.notes(curves, tau) if self._domain else [""] * len(curves)

    def predict_left_out(self, tau: int) -> Prediction | None:
        """Predict every training run with a finite end from the other ones, in their order.

        None for a model that cannot tell without being fitted again.
        """
        return None

    def diagnostics(self) -> dict[str, float]:
        """What the last fit reports about itself, numbers by name; means over its taus."""
        return {}

    @abstractmethod
    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        """`predict` on curves that hold nothing after `tau`."""


class TabularPredictor(Predictor):
    """One regressor per tau on feature frames: a subclass implements `_fit_xy` and `_predict_xy`.

    `diagnostics` gives the means over taus of the dictionaries `self._diagnostics` that `_fit_xy`
    sets.
    """

    blocks = "TS+AP+HP"
    unseen: Prediction | None = None

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self._at_tau: dict[int, Self] = {}
        self._diagnostics: dict[str, float] = {}

    def _fit_curves(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        self._at_tau = {}
        for tau, X in feature_blocks.build(curves, taus).items():
            model = copy.deepcopy(self)
            model._at_tau, model._domain = {}, None
            columns = feature_blocks.select(X, feature_blocks.present(X, self.blocks))
            self._at_tau[tau] = model.fit_xy(columns, curves.final, curves.groups)
        self._taus = tuple(self._at_tau)
        return self

    def _learn_maps(self, curves: CurveSet) -> None:
        """`fit_xy` does it, on frames."""

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        X = feature_blocks.build(curves, [tau])[tau]
        return self._at_tau[tau].predict_xy(X)

    def predict_left_out(self, tau: int) -> Prediction | None:
        """`unseen` of that tau, where a model has it; None where a training run has no such fit."""
        model = self._at_tau[tau]
        if model.unseen is None or not np.isfinite(model.unseen.mean).all():
            return None
        return model._unmapped(model.unseen, "ts_")

    def diagnostics(self) -> dict[str, float]:
        values: dict[str, list[float]] = {}
        for model in self._at_tau.values() or [self]:
            for name, value in model._diagnostics.items():
                values.setdefault(name, []).append(value)
        return {name: float(np.mean(several)) for name, several in values.items()}

    def fit_xy(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray | None = None) -> Self:
        """Fit one tau.

        Parameters
        ----------
        X : features as `features.build` makes them, shape (n_runs, n_features).
        y : final values, shape (n_runs,); rows where it is not finite are passed over.
        groups : equal for repeated configurations, shape (n_runs,); inner folds respect them.

        Raises
        ------
        DataError : fewer than two finite targets, no column, or numbers so large that their
            variance overflows.
        """
        y = np.asarray(y, dtype=np.float64)
        groups = np.arange(len(y)) if groups is None else np.asarray(groups)
        usable = np.isfinite(y)
        X, y, groups = X.loc[usable], y[usable], groups[usable]
        if (len(y) < 2 and self.needs_training) or not len(X.columns):
            raise DataError(
                f"{len(y)} runs with a final value and {len(X.columns)} feature columns are too "
                "few to fit on"
            )
        columns = {"ts_": [], **feature_blocks.series_columns(X)}
        self._maps = {
            name: SeriesMap.of(X[names].to_numpy(np.float64), y if name == "ts_" else None)
            for name, names in columns.items()
        }
        warp = self._maps["ts_"].warp
        return self._fit_xy(self._map_frame(X), y if warp is None else warp(y), groups)

    def _map_frame(self, X: pd.DataFrame) -> pd.DataFrame:
        columns = feature_blocks.series_columns(X)
        changing = {
            name: self._maps[name]
            for name, names in columns.items()
            if name in self._maps and (self._maps[name].warp or X[names].isna().to_numpy().any())
        }
        return feature_blocks.map_series(X, changing) if changing else X

    def predict_xy(self, X: pd.DataFrame) -> Prediction:
        """Predict for rows of features in the unit of the curve; extra columns are ignored.

        Raises
        ------
        DataError : a column that was fitted on is missing, unless it only marks something that
            need not occur here (a category, a diverged run).
        """
        return self._unmapped(self._predict_xy(self._map_frame(X)), "ts_")

    @abstractmethod
    def _fit_xy(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Self:
        """`fit_xy` on finite targets of at least two runs, warped where values explode."""

    @abstractmethod
    def _predict_xy(self, X: pd.DataFrame) -> Prediction:
        """`predict_xy` in the unit of `_fit_xy`."""
