"""Gaussian-process regression on summaries of the curve, architecture and hyper-parameters."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Kernel, Matern, WhiteKernel

from curvecast.curves import DataError
from curvecast.features import summarise
from curvecast.predictors.base import Prediction, Regressor

MODELS = {"gp": {"class": "GaussianProcess"}}
KERNELS = ("matern", "matern+linear")


def make_kernel(name: str, n_columns: int) -> Kernel:
    """Matern 5/2 with a length scale per column (ARD) and noise, plus a linear part if named."""
    if name not in KERNELS:
        raise DataError(f"unknown kernel {name!r}, known: {', '.join(KERNELS)}")
    smooth = Matern(np.full(n_columns, 3.0), (1e-1, 1e3), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * smooth + WhiteKernel(0.1, (1e-5, 1e1))
    if name == "matern+linear":
        kernel = kernel + ConstantKernel(0.1, (1e-4, 1e2)) * DotProduct(1.0, "fixed")
    return kernel


class GaussianProcess(Regressor):
    """GP with automatic relevance determination (Rasmussen and Williams 2006, section 5.1).

    The hyper-parameters maximise the marginal likelihood; leave-one-out predictions are the
    closed form of ibid. section 5.4.2 at those hyper-parameters. The predictive standard
    deviation is that of a new run, noise included, times the root mean square of the left-out
    errors over theirs.

    Parameters
    ----------
    kernel : "matern" (falls back to the mean far from the training runs) or "matern+linear"
        (extrapolates along a line).
    """

    def __init__(self, *, kernel: str = "matern", seed: int = 0, target: str = "auto") -> None:
        super().__init__(seed=seed, target=target)
        self.kernel = kernel

    def _inputs(self, X: pd.DataFrame) -> pd.DataFrame:
        return summarise(X)

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        self._model = GaussianProcessRegressor(make_kernel(self.kernel, X.shape[1]), alpha=1e-8)
        with warnings.catch_warnings():
            # a length scale at its bound means an irrelevant column, which is what ARD is for
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(X, y)
        covariance = self._model.kernel_(X) + 1e-8 * np.eye(len(X))
        precision = np.linalg.inv(covariance)
        self._found = {"log_marginal_likelihood": float(self._model.log_marginal_likelihood_value_)}
        self._left_out_std = 1.0 / np.sqrt(np.diag(precision))
        return (precision @ y) / np.diag(precision)

    def _unseen_std(self) -> np.ndarray:
        return self._left_out_std

    def _predict(self, X: np.ndarray) -> Prediction:
        mean, std = self._model.predict(X, return_std=True)
        return Prediction(mean, std)
