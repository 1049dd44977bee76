from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from curvecast import DataError, make_predictor
from curvecast.predictors.forest import MAX_FEATURES, as_tree_input, unseen_mean


def problem(n: int = 60, p: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, np.sign(X[:, 0]) + 0.5 * np.sign(X[:, 1]) + 0.1 * rng.standard_normal(n)


def test_out_of_bag_means_are_scikit_learns_where_no_configuration_is_repeated() -> None:
    X, y = problem()
    X = as_tree_input(X)
    forest = RandomForestRegressor(60, oob_score=True, bootstrap=True, random_state=0).fit(X, y)
    np.testing.assert_allclose(unseen_mean(forest, X, np.arange(60)), forest.oob_prediction_)


def test_out_of_bag_means_leave_out_whole_configurations() -> None:
    X, y = problem()
    X, groups = as_tree_input(X), np.arange(60) // 3
    forest = RandomForestRegressor(15, max_samples=20, random_state=0).fit(X, y)
    means = unseen_mean(forest, X, groups)
    for i in (0, 7, 59):
        trees = [
            tree.predict(X)[i]
            for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True)
            if groups[i] not in groups[drawn]
        ]
        assert means[i] == pytest.approx(np.mean(trees))
    assert np.isnan(unseen_mean(forest, X, np.zeros(60))).all()


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_learns_steps_and_reports_its_choice(name: str) -> None:
    X, y = problem(200)
    new, target = problem(300, seed=1)
    model = make_predictor(name, max_trees=60).fit_xy(pd.DataFrame(X), y)
    p = model.predict_xy(pd.DataFrame(new))
    r2 = 1 - np.mean((target - p.mean) ** 2) / target.var()
    assert r2 > 0.8
    diagnostics = model.diagnostics()
    assert diagnostics["max_features"] in MAX_FEATURES
    assert diagnostics["oob_r2"] == pytest.approx(r2, abs=0.1)
    assert p.std[0] == pytest.approx(y.std() * np.sqrt(1 - diagnostics["oob_r2"]))


def test_the_mean_is_that_of_the_public_forest_of_full_size() -> None:
    X, y = problem()
    model = make_predictor("random_forest", max_features=0.5, max_trees=80, seed=3)
    p = model.fit_xy(pd.DataFrame(X), y).predict_xy(pd.DataFrame(X))
    assert model.diagnostics()["max_features"] == 0.5
    standard = as_tree_input((X - X.mean(axis=0)) / X.std(axis=0))
    forest = RandomForestRegressor(80, max_features=0.5, max_samples=60, random_state=3)
    forest.fit(standard, (y - y.mean()) / y.std())
    np.testing.assert_allclose(p.mean, y.mean() + y.std() * forest.predict(standard))


def test_out_of_bag_errors_respect_repeated_configurations() -> None:
    """Only the configuration determines the target: unseen ones cannot be predicted."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(15), 4)
    X = pd.DataFrame(np.repeat(rng.standard_normal((15, 3)), 4, axis=0))
    y = np.repeat(rng.standard_normal(15), 4)
    apart = make_predictor("random_forest").fit_xy(X, y, groups).diagnostics()["oob_r2"]
    mixed = make_predictor("random_forest").fit_xy(X, y).diagnostics()["oob_r2"]
    assert mixed > 0.9
    assert apart < 0.3


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
@pytest.mark.parametrize("n", [2, 3])
def test_tiny_training_sets(name: str, n: int) -> None:
    X, y = problem(n)
    p = make_predictor(name).fit_xy(pd.DataFrame(X), y).predict_xy(pd.DataFrame(X))
    assert (p.mean >= y.min()).all()
    assert (p.mean <= y.max()).all()
    assert (p.std > 0).all()


def test_values_beyond_single_precision_do_not_overflow() -> None:
    X = as_tree_input(np.array([[1e200, -1e200, 1.5]]))
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert X[0, 2] == 1.5


def test_one_configuration_has_no_out_of_bag_error() -> None:
    X, y = problem(6)
    with pytest.raises(DataError, match="single configuration"):
        make_predictor("random_forest").fit_xy(pd.DataFrame(X), y, np.zeros(6))


@pytest.mark.parametrize("options", [{"max_trees": 5}, {"max_features": 1.5}])
def test_bad_options_are_data_errors(options: dict[str, float]) -> None:
    with pytest.raises(DataError, match="must be at least"):
        make_predictor("random_forest", **options)
