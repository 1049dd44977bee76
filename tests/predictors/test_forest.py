from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError, make_predictor
from curvecast.predictors import trees
from curvecast.predictors.forest import MAX_FEATURES, bag


def problem(n: int = 60, p: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, np.sign(X[:, 0]) + 0.5 * np.sign(X[:, 1]) + 0.1 * rng.standard_normal(n)


def bagged(n_trees: int, groups: np.ndarray | None = None, splitter: str = "best"):
    X, y = problem()
    groups = np.arange(len(y)) if groups is None else groups
    tree_input = trees.as_tree_input(X)
    return bag(tree_input, y, groups, n_trees, max_features=2, splitter=splitter, seed=4), y


def test_a_small_forest_is_a_prefix_of_a_large_one() -> None:
    small, _ = bagged(5)
    large, _ = bagged(12)
    np.testing.assert_array_equal(small.predictions, large.predictions[:5])
    np.testing.assert_array_equal(small.out_of_bag, large.out_of_bag[:5])


def test_out_of_bag_residuals_of_every_prefix_equal_a_loop() -> None:
    forest, y = bagged(15)
    residuals = forest.residuals(y)
    for k in (0, 3, 14):
        for i in range(len(y)):
            unseen = forest.out_of_bag[: k + 1, i]
            if not unseen.any():
                assert np.isnan(residuals[k, i])
            else:
                expected = y[i] - forest.predictions[: k + 1, i][unseen].mean()
                assert residuals[k, i] == pytest.approx(expected)
    assert 0.3 < forest.out_of_bag.mean() < 0.43


def test_bags_hold_whole_groups() -> None:
    groups = np.arange(60) // 3
    forest, _ = bagged(10, groups)
    for group in range(20):
        assert (forest.out_of_bag[:, groups == group].sum(axis=1) % 3 == 0).all()


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_learns_steps_and_reports_its_choice(name: str) -> None:
    X, y = problem(200)
    new, target = problem(300, seed=1)
    model = make_predictor(name, max_trees=60).fit_xy(pd.DataFrame(X), y)
    p = model.predict_xy(pd.DataFrame(new))
    r2 = 1 - np.mean((target - p.mean) ** 2) / target.var()
    assert r2 > 0.8
    found = model.diagnostics()
    assert 10 <= found["n_estimators"] <= 60
    assert found["max_features"] in MAX_FEATURES
    assert found["oob_r2"] == pytest.approx(r2, abs=0.1)
    assert p.std[0] == pytest.approx(y.std() * np.sqrt(1 - found["oob_r2"]))


def test_without_a_search_all_trees_are_grown_with_half_of_the_columns() -> None:
    X, y = problem(60)
    found = make_predictor("extra_trees", draws=0, max_trees=25).fit_xy(pd.DataFrame(X), y)
    assert found.diagnostics()["n_estimators"] == 25
    assert found.diagnostics()["max_features"] == MAX_FEATURES[-1]


def test_the_mean_is_that_of_the_chosen_trees() -> None:
    X, y = problem()
    model = make_predictor("random_forest", draws=1, max_trees=10, seed=3)
    p = model.fit_xy(pd.DataFrame(X), y).predict_xy(pd.DataFrame(X))
    share = model.diagnostics()["max_features"]
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    forest = bag(
        trees.as_tree_input(standard),
        (y - y.mean()) / y.std(),
        np.arange(len(y)),
        10,
        max_features=max(1, int(share * 6)),
        splitter="best",
        seed=3,
    )
    np.testing.assert_allclose(p.mean, y.mean() + y.std() * forest.predictions.mean(axis=0))


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
@pytest.mark.parametrize("n", [2, 3])
def test_tiny_training_sets(name: str, n: int) -> None:
    X, y = problem(n)
    p = make_predictor(name).fit_xy(pd.DataFrame(X), y).predict_xy(pd.DataFrame(X))
    assert (p.mean >= y.min()).all()
    assert (p.mean <= y.max()).all()
    assert (p.std > 0).all()


def test_one_configuration_has_no_out_of_bag_error() -> None:
    X, y = problem(6)
    with pytest.raises(DataError, match="single configuration"):
        make_predictor("random_forest").fit_xy(pd.DataFrame(X), y, np.zeros(6))


def test_bad_options_are_data_errors() -> None:
    with pytest.raises(DataError, match="max_trees 5"):
        make_predictor("random_forest", max_trees=5)
