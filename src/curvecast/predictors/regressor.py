"""What the regressors share: a standardised target in some form, and errors on unseen runs."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Self

import numpy as np
import pandas as pd

from curvecast import features as feature_blocks
from curvecast.curves import DataError
from curvecast.predictors.base import TabularPredictor
from curvecast.predictors.distributions import MIN_RESIDUALS, Prediction, Residuals
from curvecast.predictors.scaling import Columns
from curvecast.predictors.transforms import FEATURE_FORMS, Form, best_share


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
        error on runs that a fit did not see, within the training runs. Where values explode, gain
        is tried beside a given form, the median error counts, and the prediction is a mixture
        with the last value (`transforms.best_share`).
    summaries : regress on the summaries of `features.summarise` instead of all values seen.

    Attributes
    ----------
    unseen : after `_fit_xy`, predictions for its training rows by fits that did not see them
        (leave-one-out, out-of-bag or cross-validated, as the subclass says), in the unit of its
        targets; the mean is NaN where no such fit exists.
    """

    _std: float
    # The last value and the weight of the own prediction beside it, where values explode.
    _last: Form | None = None
    _share = 1.0
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
        self._last = None
        if exploded and feature_blocks.value_columns(X) and not self.CONSTANT:
            self._last = Form.of("gain", X, y)
            forms = tuple(dict.fromkeys((*forms, "gain")))
        tried = [copy.deepcopy(self) for _ in forms]
        for model, name in zip(tried, forms, strict=True):
            model._fit_form(Form.of(name, X, y), X, y, groups)
        means = [p.mean for model in tried if (p := model.unseen) is not None]
        error = (lambda e: np.nanmedian(np.abs(e))) if exploded else (lambda e: np.nanmean(e**2))
        errors = [float(error(mean - y)) for mean in means]
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
        if self._last is not None:
            naive = z - form.forward(self._last.seen(X), seen)
            self._share = best_share(residuals, naive)
            residuals = self._share * residuals + (1 - self._share) * naive
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
        if self._last is not None:
            last = self._form.forward(self._last.seen(X), seen)
            z = Prediction(self._share * z.mean + (1 - self._share) * last, z.std)
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
