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
from curvecast.predictors.distributions import (
    MIN_RESIDUALS,
    EndedPrediction,
    Prediction,
    Residuals,
)
from curvecast.predictors.domain import Domain, ended, reached
from curvecast.predictors.scaling import Columns
from curvecast.predictors.transforms import FEATURE_FORMS, Form, SeriesMap, WarpedPrediction


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

        Raises
        ------
        DataError : `tau` was not fitted, or a run has not come so far (`domain.reached`).
        """
        if self._taus is not None and tau not in self._taus:
            raise DataError(f"not fitted for tau {tau}, only for {sorted(self._taus)}")
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
        if self._domain is not None:  # a few runs do not tell on which scale a setting was drawn
            log = (name for name in self._domain.log_columns if name in curves.configs)
            hidden = replace(hidden, log_columns=tuple(log))
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


class Regressor(TabularPredictor):
    """A tabular predictor on standardised arrays that knows its errors on runs it did not see.

    A subclass implements `_fit(X, y)` and `_predict(X)` on finite arrays: the columns of X and y
    have mean 0 and standard deviation 1 over the training runs (constant columns are dropped).
    Results are given back in the unit of the curve. Nothing is clipped to the training range.

    The distribution around a mean has the scale that `_predict` gives and the shape of the
    residuals of unseen training runs over their scales (`Residuals`; Vovk 2015, Cross-conformal
    predictors), widened as if `USED_UP` runs were spent on hyper-parameters that the left-out fits
    share; with fewer than MIN_RESIDUALS of them it is Gaussian. Under a warped target that is the
    distribution of the warped value.
    NaN cells take the median of the training runs. A constant target, or constant features, give
    the mean of the training runs with its leave-one-out standard deviation.

    Options
    -------
    target : what is regressed, a form of `transforms.Form`, or "auto": the form with the smallest
        error on runs that a fit did not see, within the training runs.
    summaries : regress on the summaries of `features.summarise` instead of all values seen.

    Attributes
    ----------
    unseen : after `_fit_xy`, predictions for its training rows by fits that did not see them
        (leave-one-out, out-of-bag or cross-validated, as the subclass says), in the unit of its
        targets; the mean is NaN where no such fit exists.
    """

    _std: float
    USED_UP = 0
    # Whether all runs are predicted alike: the left-out ones, which mirror the runs, have no ranks.
    CONSTANT = False

    # Known of the training runs alone, and not needed to predict.
    NOT_SAVED = ("unseen", "_groups", "_spread")

    def __init__(self, *, seed: int = 0, target: str = "level", summaries: bool = False) -> None:
        super().__init__(seed=seed)
        if target not in (*FEATURE_FORMS, "auto"):
            raise DataError(f"target is {target!r}, not auto or one of {', '.join(FEATURE_FORMS)}")
        self.target, self.summaries = target, summaries

    def _fit_xy(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Self:
        self._floor = feature_blocks.noise_floor(X)
        forms: tuple[str, ...] = FEATURE_FORMS if self.target == "auto" else (self.target,)
        exploded = "ts_" in self._maps and self._maps["ts_"].warp is not None
        if exploded and feature_blocks.value_columns(X) and not self.CONSTANT:
            forms = tuple(dict.fromkeys((*forms, "gain")))
        tried = [copy.deepcopy(self) for _ in forms]
        for model, name in zip(tried, forms, strict=True):
            model._fit_form(Form.of(name, X, y), X, y, groups)
        power = 1 if exploded else 2
        means = [p.mean for model in tried if (p := model.unseen) is not None]
        errors = [float(np.nanmean(np.abs(mean - y) ** power)) for mean in means]
        best = int(np.argmin(errors)) if len(forms) > 1 else 0
        self.__dict__.update(tried[best].__dict__)
        if len(forms) > 1:
            self._diagnostics = {
                **self._diagnostics,
                "target": float(FEATURE_FORMS.index(forms[best])),
            }
        return self

    def _fit_form(self, form: Form, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> None:
        seen = form.seen(X)
        z = form.forward(y, seen)
        inputs = self._inputs(X)
        self._form, self._columns = form, Columns.of(inputs)
        with np.errstate(over="ignore", invalid="ignore"):
            self._z_center, self._z_scale = float(z.mean()), float(z.std())
        if not np.isfinite(self._z_scale):
            raise DataError("values so large that their variance overflows", column="target")
        flat = self._z_scale <= 1e-12 * max(1.0, abs(self._z_center))
        self._constant = flat or not self._columns.names
        self._diagnostics = {}
        self._groups = groups
        if self._constant:
            # the mean without run i misses z_i by n / (n - 1) times what the mean of all misses
            residuals = (z - self._z_center) * len(z) / (len(z) - 1)
            self._mean_std = self._z_scale * len(z) / (len(z) - 1)
            scale: float | np.ndarray = self._mean_std
        else:
            standard = (z - self._z_center) / self._z_scale
            residuals = self._z_scale * self._fit(self._columns.apply(inputs), standard)
            scale = self._z_scale * self._unseen_std()
        finite = np.isfinite(residuals)
        spread = np.sqrt(np.mean(residuals[finite] ** 2)) if finite.any() else self._z_scale
        self.unseen = form.back(Prediction(z - residuals, np.full(len(z), spread)), seen)
        widened = len(z) / max(len(z) - self.USED_UP, 1)
        errors = (widened * residuals / np.maximum(scale, 1e-300))[finite]
        self._errors = Residuals.of(errors, None if self.CONSTANT else self.unseen.mean[finite])

    def _predict_xy(self, X: pd.DataFrame) -> Prediction:
        if self._constant:
            z = Prediction(np.full(len(X), self._z_center), np.full(len(X), self._mean_std))
        else:
            standard = self._predict(self._columns.apply(self._inputs(X)))
            z = standard.affine(self._z_center, self._z_scale)
        seen = self._form.seen(X)
        if len(self._errors.values) >= MIN_RESIDUALS:
            z = self._errors.around(z.mean, z.std, self._form.back(z, seen).mean)
        return self._form.back(z, seen)

    def _inputs(self, X: pd.DataFrame) -> pd.DataFrame:
        """The columns to regress on, made from those of `features.build`."""
        if self.summaries:
            return feature_blocks.summarise(X, self._floor)
        return X.drop(columns="ts_gaps", errors="ignore")

    @abstractmethod
    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Fit on standardised arrays (n, p) and (n,); `self._groups` has shape (n,).

        Returns y minus predictions of fits that did not see the run, (n,); NaN where there is none.
        """

    @abstractmethod
    def _predict(self, X: np.ndarray) -> Prediction:
        """Mean and scale of the error on the standardised scale; X has shape (n, p)."""

    def _unseen_std(self) -> np.ndarray | float:
        """The standard deviation of `_predict` for the unseen runs of `_fit`, (n,) or a number."""
        return self._std
