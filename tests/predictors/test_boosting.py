from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError, make_predictor
from curvecast.predictors import trees
from curvecast.predictors.boosting import boost
from curvecast.protocol import grouped_folds


def problem(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    y = X[:, 0] + np.abs(X[:, 1]) + 0.1 * rng.standard_normal(n)
    return X, (y - y.mean()) / y.std()


def run(X: np.ndarray, y: np.ndarray, train: np.ndarray, stages: int):
    return boost(trees.as_tree_input(X), y, train, stages, learning_rate=0.2, max_depth=2, seed=1)


def test_staged_predictions_are_the_sum_of_the_trees() -> None:
    X, y = problem()
    grown, staged = run(X, y, np.ones(60, dtype=bool), 7)
    steps = [0.2 * trees.predict(tree, trees.as_tree_input(X)) for tree in grown]
    np.testing.assert_allclose(staged, y.mean() + np.cumsum(steps, axis=0), atol=1e-12)


def test_held_out_targets_are_never_looked_at() -> None:
    X, y = problem()
    train = np.arange(60) < 45
    changed = np.where(train, y, 1e6)
    np.testing.assert_array_equal(run(X, y, train, 10)[1], run(X, changed, train, 10)[1])


def test_training_error_falls() -> None:
    X, y = problem()
    _, staged = run(X, y, np.ones(60, dtype=bool), 80)
    errors = ((y - staged) ** 2).mean(axis=1)
    assert errors[0] > 0.7
    assert errors[-1] < 0.1


def test_stages_and_std_come_from_grouped_cross_validation() -> None:
    X, y = problem()
    groups = np.arange(60) // 2
    model = make_predictor("gradient_boosting", stages=30, seed=5)
    p = model.fit_xy(pd.DataFrame(X), y, groups).predict_xy(pd.DataFrame(X))
    tree_input = trees.as_tree_input((X - X.mean(axis=0)) / X.std(axis=0))
    folds = grouped_folds(groups, 10, seed=5)
    errors = np.zeros((30, 60))
    for fold in range(10):
        _, staged = boost(tree_input, y, folds != fold, 30, learning_rate=0.1, max_depth=3, seed=5)
        errors[:, folds == fold] = (staged - y)[:, folds == fold] ** 2
    curve = errors.mean(axis=1)
    assert model.diagnostics()["stages"] == curve.argmin() + 1
    np.testing.assert_allclose(p.std, np.sqrt(curve.min()))


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
