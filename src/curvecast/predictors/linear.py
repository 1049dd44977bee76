"""Linear regression: minimum-norm least squares, and ridge with its penalty chosen by PRESS.

Both predict b + x·w with an intercept that is not penalised. With the singular value
decomposition X = U S V' of the column-centred training matrix, ridge of penalty a is a linear
smoother with hat matrix 11'/n + U diag(s²/(s² + a)) U', and the residual of run i under the fit
without run i is e_i / (1 - h_ii) (Allen 1974, "The relationship between variable selection and
data augmentation and a method for prediction"; Hastie, Tibshirani, Friedman, section 7.10).
Least squares is the limit a -> 0.
"""

from __future__ import annotations

import numpy as np

from curvecast.predictors.distributions import Prediction
from curvecast.predictors.gaussian_process import rowwise
from curvecast.predictors.regressor import Regressor

MODELS = {
    "ols": {
        "class": "OLS",
        "label": "Least squares, of minimum norm where columns outnumber runs.",
        "order": 30,
        "look": ("orange", "o", "solid"),
    },
    "ridge": {
        "class": "Ridge",
        "label": "Ridge regression; the penalty has the smallest leave-one-out error (PRESS).",
        "cite": "Hoerl and Kennard (1970); Allen (1974)",
        "order": 40,
        "look": ("orange", "s", "dashed"),
    },
}

# The differences in TS are sums of values in TS, so the rank is short by construction: what is
# below this share of the largest singular value is rounding error (about 1e-13), not signal.
RANK_TOLERANCE = 1e-10
PENALTIES = 10.0 ** np.linspace(-6, 3, 37)


def thin_svd(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n, r), s (r,) and V (p, r) of a matrix, cut at its numerical rank r."""
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    rank = int((s > RANK_TOLERANCE * s[0]).sum())
    return U[:, :rank], s[:rank], Vt[:rank].T


def least_squares_loo(U: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Leave-one-out residuals of minimum-norm least squares with an intercept.

    A run that only an own direction of the design explains has h_ii = 1 and e_i = 0. The limit
    a -> 0 of the ridge formula then is the ratio of the first-order terms in a,
    sum_k u_ik (u_k'y) / s_k²  over  sum_k u_ik² / s_k²: exactly what the minimum-norm fit
    without the run misses it by.

    Parameters
    ----------
    U, s : of the column-centred design, shapes (n, r) and (r,), without zero singular values.
    y : centred targets, shape (n,).

    Returns
    -------
    array of shape (n,): y_i minus the prediction for run i by the fit on the others.
    """
    projected = U.T @ y
    residuals = y - U @ projected
    freedom = 1.0 - 1.0 / len(y) - (U**2).sum(axis=1)
    interpolated = freedom < 1e-9
    first_order = (U @ (projected / s**2)) / np.maximum((U**2 / s**2).sum(axis=1), 1e-300)
    return np.where(interpolated, first_order, residuals / np.where(interpolated, 1.0, freedom))


def ridge_loo(U: np.ndarray, s: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Leave-one-out residuals of ridge regression for every penalty, shape (n_penalties, n).

    Arguments as in `least_squares_loo`; the penalties are absolute and > 0.
    """
    shrinkage = s**2 / (s**2 + penalties[:, None])
    residuals = y - (shrinkage * (U.T @ y)) @ U.T
    leverage = 1.0 / len(y) + shrinkage @ (U**2).T
    return residuals / (1.0 - leverage)


class OLS(Regressor):
    """Ordinary least squares; of minimum norm where the columns are dependent or outnumber runs.

    The standard deviation is the root mean square of the exact leave-one-out residuals. Takes
    the options of every regressor. Diagnostics: `rank` of the design.
    """

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        U, s, V = thin_svd(X)
        self._weights = V @ ((U.T @ y) / s)
        residuals = least_squares_loo(U, s, y)
        self._std = float(np.sqrt(np.mean(residuals**2)))
        self._diagnostics = {"rank": float(len(s))}
        return residuals

    def _predict(self, X: np.ndarray) -> Prediction:
        return Prediction(rowwise(X, self._weights), np.full(len(X), self._std))


class Ridge(OLS):
    """Ridge regression; the penalty is the one of smallest leave-one-out error (PRESS).

    The penalty a is n times one of 37 values from 1e-6 to 1e3, equally spaced in the logarithm.
    The standard deviation is the root mean square of the leave-one-out residuals at the chosen
    penalty. Takes the options of every regressor. Diagnostics: `penalty` / n as chosen.
    """

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        U, s, V = thin_svd(X)
        residuals = ridge_loo(U, s, y, len(y) * PENALTIES)
        errors = (residuals**2).mean(axis=1)
        best = int(np.argmin(errors))
        self._weights = V @ (s * (U.T @ y) / (s**2 + len(y) * PENALTIES[best]))
        self._std = float(np.sqrt(errors[best]))
        self._diagnostics = {"penalty": float(PENALTIES[best])}
        return residuals[best]
