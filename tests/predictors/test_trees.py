from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from curvecast.predictors import trees


@pytest.mark.parametrize("splitter", ["best", "random"])
@pytest.mark.parametrize(("max_features", "max_depth"), [(2, None), (5, 3)])
def test_compiled_builder_equals_the_public_estimator(
    splitter: str, max_features: int, max_depth: int | None
) -> None:
    """Guards the use of sklearn.tree's compiled classes: fails if arguments or results change."""
    rng = np.random.default_rng(0)
    X = trees.as_tree_input(rng.standard_normal((60, 5)))
    y = rng.standard_normal(60)
    weights = np.bincount(rng.integers(0, 60, 60), minlength=60).astype(float)
    depth = {} if max_depth is None else {"max_depth": max_depth}
    ours = trees.grow(
        X,
        y,
        weights,
        np.random.RandomState(7),
        max_features=max_features,
        splitter=splitter,
        **depth,
    )
    public = DecisionTreeRegressor(
        max_features=max_features, max_depth=max_depth, splitter=splitter, random_state=7
    ).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(ours.feature, public.tree_.feature)
    np.testing.assert_array_equal(ours.threshold, public.tree_.threshold)
    new = rng.standard_normal((30, 5))
    np.testing.assert_array_equal(
        trees.predict(ours, trees.as_tree_input(new)), public.predict(new)
    )


def test_a_full_tree_reproduces_its_targets_and_leaves_out_weightless_runs() -> None:
    rng = np.random.default_rng(1)
    X = trees.as_tree_input(rng.standard_normal((20, 3)))
    y = rng.standard_normal(20)
    weights = np.r_[np.ones(15), np.zeros(5)]
    tree = trees.grow(X, y, weights, np.random.RandomState(0), max_features=3)
    np.testing.assert_allclose(trees.predict(tree, X)[:15], y[:15])
    assert set(trees.predict(tree, X)[15:]) <= set(trees.predict(tree, X)[:15])


def test_values_beyond_single_precision_do_not_overflow() -> None:
    X = trees.as_tree_input(np.array([[1e200, -1e200, 1.5]]))
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert X[0, 2] == 1.5
