"""Gaussian-process regression, by default on summaries of the curve and all static columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist

from curvecast.curves import DataError
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.gaussian_process import (
    Covariance,
    Gradient,
    Prior,
    by_inverting,
    leave_one_out,
    matern,
    matern_slope,
    most_probable,
    rowwise,
)
from curvecast.predictors.regressor import Regressor

MODELS = {
    "gp": {
        "class": "GaussianProcess",
        "label": "Gaussian process on summaries of the curve and the settings, "
        "a length scale per column.",
        "cite": "Rasmussen and Williams (2006)",
        "order": 100,
        "look": ("purple", "o", "solid"),
        "cheap": {"target": "level"},
    },
}
KERNELS = ("matern", "matern+linear")

# Weak log-normal priors for standardised arrays. With as many length scales as a sixth of the
# runs, the bare marginal likelihood makes columns matter that do not.
LENGTH, LENGTH_SPREAD = np.log(6.0), 0.7
SIGNAL, NOISE, LINEAR, VARIANCE_SPREAD = 0.0, np.log(0.1), np.log(0.1), 2.0
_BOUNDS = {"length": (0.1, 1e3), "signal": (1e-3, 1e3), "noise": (1e-5, 1e1), "linear": (1e-5, 1e2)}
_JITTER = 1e-8
_ROOT5 = np.sqrt(5.0)
# No standardised input of data is as large, and squares of distances stay finite.
_LARGEST = 1e150


@dataclass(frozen=True)
class Kernel:
    """Matern 5/2 with a length scale per column (ARD), plus a linear part where asked for.

    Attributes
    ----------
    length : shape (p,). signal, noise, linear : variances; `linear` is 0 without that part.
    """

    length: np.ndarray
    signal: float
    noise: float
    linear: float

    def between(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        """Covariance of the noise-free values at the rows of A and B, shape (len(A), len(B))."""
        r = _ROOT5 * cdist(A / self.length, B / self.length)
        return matern(r, np.exp(-r), self.signal) + self.linear * np.einsum("ik,jk->ij", A, B)


def unpack(theta: np.ndarray, n_columns: int) -> Kernel:
    """Kernel of the logarithms (length scales, signal, noise and, if there is one, linear)."""
    values = np.exp(theta)
    linear = float(values[n_columns + 2]) if len(theta) > n_columns + 2 else 0.0
    return Kernel(
        values[:n_columns], float(values[n_columns]), float(values[n_columns + 1]), linear
    )


def covariance_at(X: np.ndarray) -> Covariance:
    """Covariance of noisy values at the rows of X, shape (n, p), for the logarithms of `unpack`.

    With W_ij symmetric, sum_ij W_ij (z_ik - z_jk)² = 2 (sum_i W_i. z_ik² - z_k' W z_k), so that
    the gradient of p length scales costs one matrix product and no array of shape (n, n, p).
    """
    n, p = X.shape

    def covariance(theta: np.ndarray) -> tuple[np.ndarray, Gradient]:
        kernel = unpack(theta, p)
        Z = X / kernel.length
        r = _ROOT5 * cdist(Z, Z)
        decay = kernel.signal * np.exp(-r)
        smooth = matern(r, decay)
        line = kernel.linear * (X @ X.T) if kernel.linear else np.zeros((n, n))
        K = smooth + line
        K[np.diag_indices(n)] += kernel.noise + _JITTER

        def gradient(slope: np.ndarray) -> np.ndarray:
            W = matern_slope(slope, r, decay)
            by_length = 2 * (W.sum(axis=1) @ (Z * Z) - (Z * (W @ Z)).sum(axis=0))
            parts = [(slope * smooth).sum(), kernel.noise * np.trace(slope), (slope * line).sum()]
            return np.r_[by_length, parts[: len(theta) - p]]

        return K, gradient

    return covariance


class GaussianProcess(Regressor):
    """GP with automatic relevance determination (Rasmussen and Williams 2006, section 5.1).

    The hyper-parameters maximise the marginal likelihood times weak priors; leave-one-out
    predictions are the closed form of ibid. section 5.4.2 at those hyper-parameters. The
    predictive standard deviation is that of a new run, noise included, times the root mean square
    of the left-out errors over theirs.

    Options
    -------
    kernel : "matern" (falls back to the mean far from the training runs) or "matern+linear"
        (extrapolates along a line).
    iterations : at most so many steps of L-BFGS for the hyper-parameters.

    Diagnostics: `noise` (share of the variance) and `log_posterior` of the hyper-parameters.

    Raises
    ------
    DataError : unknown kernel.
    """

    USED_UP = 4

    def __init__(
        self,
        *,
        kernel: str = "matern",
        iterations: int = 60,
        seed: int = 0,
        target: str = "auto",
        summaries: bool = True,
    ) -> None:
        super().__init__(seed=seed, target=target, summaries=summaries)
        if kernel not in KERNELS:
            raise DataError(f"unknown kernel {kernel!r}, known: {', '.join(KERNELS)}")
        self.kernel, self.iterations = kernel, iterations

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        p = X.shape[1]
        parts = ["signal", "noise", *(["linear"] if self.kernel == "matern+linear" else [])]
        means = {"signal": SIGNAL, "noise": NOISE, "linear": LINEAR}
        prior = Prior(
            np.r_[np.full(p, LENGTH), [means[part] for part in parts]],
            np.r_[np.full(p, LENGTH_SPREAD), np.full(len(parts), VARIANCE_SPREAD)],
        )
        best = most_probable(
            covariance_at(X),
            y,
            prior,
            prior.mean,
            bounds=[np.log(_BOUNDS[name]) for name in [*["length"] * p, *parts]],
            iterations=self.iterations,
            tolerance=1e-5,
            invert=by_inverting,
        )
        self._X, self._kernel = X, unpack(best.x, p)
        K = self._kernel.between(X, X)
        K[np.diag_indices_from(K)] += self._kernel.noise + _JITTER
        self._lower = cholesky(K, lower=True)
        self._alpha, precision = by_inverting(self._lower, y)
        self._spread = 1.0 / np.sqrt(np.diag(precision))
        self._diagnostics = {"noise": self._kernel.noise, "log_posterior": -float(best.fun)}
        return leave_one_out(self._alpha, precision)[0]

    def _unseen_std(self) -> np.ndarray:
        return self._spread

    def _predict(self, X: np.ndarray) -> Prediction:
        X = np.clip(X, -_LARGEST, _LARGEST)
        cross = self._kernel.between(X, self._X)
        explained = (solve_triangular(self._lower, cross.T, lower=True) ** 2).sum(axis=0)
        kernel = self._kernel
        prior = kernel.signal + kernel.linear * (X * X).sum(axis=1) + kernel.noise
        variance = np.maximum(prior - explained, kernel.noise)
        return Prediction(rowwise(cross, self._alpha), np.sqrt(variance))
