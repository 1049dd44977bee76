from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import make_predictor
from curvecast.predictors.linear import (
    PENALTIES,
    RANK_TOLERANCE,
    least_squares_loo,
    ridge_loo,
    thin_svd,
)

RNG = np.random.default_rng(5)
FULL_RANK = RNG.standard_normal((12, 4))
DESIGNS = {
    "full rank": FULL_RANK,
    "dependent columns": np.column_stack([FULL_RANK, FULL_RANK[:, :2] @ [[1.0], [-2.0]]]),
    "a column of one run": np.column_stack([FULL_RANK, np.eye(12)[:, 3]]),
    "as many columns as runs less one": RNG.standard_normal((12, 11)),
    "more columns than runs": RNG.standard_normal((12, 30)),
    "two runs": RNG.standard_normal((2, 3)),
}


def refit(X: np.ndarray, y: np.ndarray, x: np.ndarray, penalty: float = 0.0) -> float:
    """Prediction at x by a fit with an intercept that is not penalised, from first principles."""
    center = X.mean(axis=0)
    A, b = X - center, y - y.mean()
    if penalty:
        weights = np.linalg.solve(A.T @ A + penalty * np.eye(A.shape[1]), A.T @ b)
    else:
        weights = np.linalg.pinv(A, rcond=RANK_TOLERANCE) @ b
    return float(y.mean() + (x - center) @ weights)


def brute_force(X: np.ndarray, y: np.ndarray, penalty: float = 0.0) -> np.ndarray:
    rows = np.arange(len(y))
    return np.array([y[i] - refit(X[rows != i], y[rows != i], X[i], penalty) for i in rows])


@pytest.mark.parametrize("name", DESIGNS)
def test_least_squares_leave_one_out_equals_refits(name: str) -> None:
    X = DESIGNS[name]
    y = np.random.default_rng(1).standard_normal(len(X))
    U, s, _ = thin_svd(X - X.mean(axis=0))
    np.testing.assert_allclose(
        least_squares_loo(U, s, y - y.mean()), brute_force(X, y), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("name", DESIGNS)
def test_ridge_leave_one_out_equals_refits(name: str) -> None:
    X = DESIGNS[name]
    y = np.random.default_rng(1).standard_normal(len(X))
    U, s, _ = thin_svd(X - X.mean(axis=0))
    penalties = np.array([0.01, 3.0])
    loo = ridge_loo(U, s, y - y.mean(), penalties)
    for residuals, penalty in zip(loo, penalties, strict=True):
        np.testing.assert_allclose(residuals, brute_force(X, y, penalty), rtol=1e-8)


def test_rank_leaves_out_the_differences(make_curves) -> None:
    model = make_predictor("ols").fit(make_curves(n=60, noise=0.01), taus=[5])
    # 5 values, hp_lr, one independent column of the optimizer, ap_layers; not the 7 differences
    assert model.diagnostics() == {"rank": 8.0}


@pytest.mark.parametrize("name", ["ols", "ridge"])
def test_recovers_a_linear_law(name: str) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((50, 3)), columns=["ts_y_1", "hp_a", "ap_b"])
    y = 0.3 + X.to_numpy() @ [0.5, -0.2, 0.0] + 0.01 * rng.standard_normal(50)
    new = pd.DataFrame(10 * rng.standard_normal((20, 3)), columns=X.columns)
    p = make_predictor(name).fit_xy(X, y).predict_xy(new)
    np.testing.assert_allclose(p.mean, 0.3 + new.to_numpy() @ [0.5, -0.2, 0.0], atol=0.1)
    assert 0.008 < p.std[0] < 0.013


@pytest.mark.parametrize("name", ["ols", "ridge"])
def test_std_is_the_leave_one_out_error_in_the_unit_of_the_curve(name: str) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((15, 4)) * [1.0, 1e3, 1e-3, 1.0], columns=list("abcd"))
    y = 50.0 + 20.0 * rng.standard_normal(15)
    model = make_predictor(name).fit_xy(X, y)
    penalty = 15 * model.diagnostics().get("penalty", 0.0)
    standard = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    residuals = brute_force(standard, y, penalty)
    np.testing.assert_allclose(model.predict_xy(X).std, np.sqrt(np.mean(residuals**2)))


def test_ridge_takes_a_large_penalty_for_noise_and_a_small_one_for_signal() -> None:
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.standard_normal((40, 10)))
    noise = make_predictor("ridge").fit_xy(X, rng.standard_normal(40))
    signal = make_predictor("ridge").fit_xy(X, X.to_numpy() @ np.ones(10))
    assert signal.diagnostics()["penalty"] == PENALTIES[0]
    assert noise.diagnostics()["penalty"] > 0.1


def test_least_squares_of_more_columns_than_runs_interpolates() -> None:
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.standard_normal((10, 25)))
    y = rng.standard_normal(10)
    p = make_predictor("ols").fit_xy(X, y).predict_xy(X)
    np.testing.assert_allclose(p.mean, y)
    assert p.std[0] > 0.1
