from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingRegressor

from curvecast import DataError, make_predictor
from curvecast.predictors.forest import as_tree_input
from curvecast.protocol import grouped_folds


def problem(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    y = X[:, 0] + np.abs(X[:, 1]) + 0.1 * rng.standard_normal(n)
    return X, (y - y.mean()) / y.std()


def test_stages_std_and_mean_are_those_of_grouped_cross_validation() -> None:
    X, y = problem()
    groups = np.arange(60) // 2
    model = make_predictor("gradient_boosting", stages=30, seed=5)
    p = model.fit_xy(pd.DataFrame(X), y, groups).predict_xy(pd.DataFrame(X))
    standard = as_tree_input((X - X.mean(axis=0)) / X.std(axis=0))
    options = {"subsample": 0.5, "max_features": 0.3, "random_state": 5}
    folds = grouped_folds(groups, 7, seed=5)
    errors = np.zeros((30, 60))
    for fold in range(7):
        test = folds == fold
        boosted = GradientBoostingRegressor(n_estimators=30, **options)
        boosted.fit(standard[~test], y[~test])
        errors[:, test] = [(y[test] - z) ** 2 for z in boosted.staged_predict(standard[test])]
    curve = errors.mean(axis=1)
    best = int(curve.argmin()) + 1
    assert model.diagnostics()["stages"] == best
    np.testing.assert_allclose(p.std, np.sqrt(curve.min()))
    whole = GradientBoostingRegressor(n_estimators=best, **options).fit(standard, y)
    np.testing.assert_allclose(p.mean, whole.predict(standard), atol=1e-12)


def test_learns_a_curved_law() -> None:
    X, y = problem(200)
    model = make_predictor("gradient_boosting").fit_xy(pd.DataFrame(X[:150]), y[:150])
    p = model.predict_xy(pd.DataFrame(X[150:]))
    assert 1 - np.mean((y[150:] - p.mean) ** 2) / y[150:].var() > 0.75


@pytest.mark.parametrize("n", [2, 3, 5])
def test_tiny_training_sets(n: int) -> None:
    X, y = problem(n)
    model = make_predictor("gradient_boosting").fit_xy(pd.DataFrame(X), y)
    p = model.predict_xy(pd.DataFrame(X))
    assert np.isfinite(p.mean).all()
    assert (p.std > 0).all()


def test_bad_options_are_data_errors() -> None:
    with pytest.raises(DataError, match="stages is 0"):
        make_predictor("gradient_boosting", stages=0)
    X, y = problem(6)
    with pytest.raises(DataError, match="single configuration"):
        make_predictor("gradient_boosting").fit_xy(pd.DataFrame(X), y, np.zeros(6))
