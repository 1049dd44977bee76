"""The core of all Gaussian processes: Matérn kernel, hyper-parameters, leave-one-out.

Equations are those of Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import OptimizeResult, minimize
from scipy.spatial.distance import cdist

# From the covariance's slope S = K^-1 - a a' to twice the gradient, sum_ij S_ij dK_ij / dtheta.
Gradient = Callable[[np.ndarray], np.ndarray]
# From hyper-parameters to the covariance of the noisy targets, and that.
Covariance = Callable[[np.ndarray], tuple[np.ndarray, Gradient]]
# From the Cholesky factor L of K and targets y to a = K^-1 y and K^-1.
Inverter = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Prior:
    """Independent normal distributions of hyper-parameters on a log scale; shapes (n_theta,)."""

    mean: np.ndarray
    std: np.ndarray


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between the rows of (n, p) and (m, p), shape (n, m)."""
    return cdist(a, b, "sqeuclidean")


def rowwise(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """rows @ weights, (n, m) and (m,), each row as alone: BLAS sums by the size of the batch."""
    return np.einsum("ij,j->i", rows, weights)


def matern(r: np.ndarray, decay: np.ndarray, variance: float = 1.0) -> np.ndarray:
    """Matérn 5/2 of distances r that are scaled by the root of 5; `decay` is exp(-r)."""
    return variance * (1 + r + r * r / 3) * decay


def matern_slope(weights: np.ndarray, r: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """`weights` times the derivative of `matern` by the logarithm of a length scale.

    That of coordinate k is this times (z_ik - z_jk)², with z in units of the length.
    """
    return weights * (5 / 3) * (1 + r) * decay


def by_solving(lower: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K^-1 y and K^-1 by triangular solves."""
    return cho_solve((lower, True), y), cho_solve((lower, True), np.eye(len(y)))


def by_inverting(lower: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by LAPACK's inverse: a third of the work, other last bits."""
    half, _ = dpotri(lower, lower=1)
    half = np.tril(half)
    precision = half + np.tril(half, -1).T
    return precision @ y, precision


def negative_log_posterior(
    theta: np.ndarray, covariance: Covariance, y: np.ndarray, prior: Prior, invert: Inverter
) -> tuple[float, np.ndarray]:
    """Of the hyper-parameters, up to a constant, with its gradient (equations 5.8 and 5.9).

    Parameters
    ----------
    theta : logarithms of the hyper-parameters, shape (n_theta,).
    y : targets of mean 0, shape (n,).
    """
    K, gradient = covariance(theta)
    try:
        lower = cholesky(K, lower=True, check_finite=False)
    except LinAlgError:  # the search steps back from where rounding breaks the matrix
        return 1e10, np.zeros(len(theta))
    alpha, precision = invert(lower, y)
    deviation = (theta - prior.mean) / prior.std
    value = 0.5 * y @ alpha + np.log(np.diag(lower)).sum() + 0.5 * (deviation**2).sum()
    slope = precision - np.outer(alpha, alpha)
    return float(value), 0.5 * gradient(slope) + deviation / prior.std


def most_probable(
    covariance: Covariance,
    y: np.ndarray,
    prior: Prior,
    start: np.ndarray,
    *,
    bounds: Sequence[np.ndarray | tuple[float, float]],
    iterations: int,
    tolerance: float,
    invert: Inverter = by_solving,
) -> OptimizeResult:
    """Hyper-parameters `x` of the largest posterior density that L-BFGS finds from `start`.

    Parameters
    ----------
    tolerance : relative change of the log density at which the search ends.
    """
    return minimize(
        negative_log_posterior,
        start,
        args=(covariance, y, prior, invert),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": iterations, "ftol": tolerance},
    )


def leave_one_out(alpha: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors y_i minus the prediction from the other runs, and the precisions of these.

    Equations 5.10 to 5.12, at given hyper-parameters; `alpha` is K^-1 y, `precision` K^-1.
    """
    diagonal = np.diag(precision)
    return alpha / diagonal, diagonal
