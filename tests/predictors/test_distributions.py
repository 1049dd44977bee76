"""Predictive distributions: quantiles and distribution functions undo each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from curvecast.predictors.distributions import Prediction, Residuals
from curvecast.predictors.transforms import Warp, WarpedPrediction

ASINH = Warp("asinh", 0.0, 1.0)
LEVELS = [0.001, 0.025, 0.1, 0.5, 0.75, 0.975, 0.999]


def local_residuals(n: int = 400) -> Residuals:
    """Runs predicted high end lower than predicted and spread three times as much as others."""
    rng = np.random.default_rng(1)
    predicted = rng.uniform(size=n)
    high = predicted > 0.8
    return Residuals.of(np.where(high, -1.0, 0.0) + (1 + 2 * high) * rng.normal(size=n), predicted)


def distributions() -> dict[str, Prediction]:
    mean, std = np.array([0.2, -3.0]), np.array([0.1, 2.0])
    return {
        "gaussian": Prediction(mean, std),
        "warped": WarpedPrediction.of(Prediction(mean, std), ASINH),
        "mirrored": WarpedPrediction.of(Prediction(mean, std), ASINH, -1.0),
        "residual": Residuals.of(np.random.default_rng(0).normal(size=99)).around(mean, std),
        "local": local_residuals().around(mean, std),
    }


@pytest.mark.parametrize("name", ["gaussian", "warped", "mirrored", "residual", "local"])
def test_cdf_undoes_quantile(name: str) -> None:
    prediction = distributions()[name]
    quantiles = prediction.quantile(LEVELS)
    for level, column in zip(LEVELS, quantiles.T, strict=True):
        np.testing.assert_allclose(prediction.cdf(column), level, atol=1e-9)
    assert (np.diff(quantiles, axis=1) > 0).all()


@pytest.mark.parametrize("name", ["gaussian", "residual", "local"])
def test_affine_moves_everything(name: str) -> None:
    prediction = distributions()[name]
    shift = np.array([10.0, 20.0])
    moved = prediction.affine(shift, 3.0)
    np.testing.assert_allclose(moved.mean, shift + 3 * prediction.mean)
    np.testing.assert_allclose(moved.std, 3 * prediction.std)
    expected = shift[:, None] + 3 * prediction.quantile(LEVELS)
    np.testing.assert_allclose(moved.quantile(LEVELS), expected)
    np.testing.assert_allclose(moved.cdf(expected[:, 2]), LEVELS[2], atol=1e-9)


def test_a_warped_distribution_is_not_moved_as_if_it_were_gaussian() -> None:
    with pytest.raises(NotImplementedError, match="WarpedPrediction"):
        distributions()["warped"].affine(1.0, 2.0)


def test_residual_levels_are_those_of_split_conformal_prediction() -> None:
    # of 9 residuals the i-th smallest has the level i / 10
    prediction = Residuals.of(np.arange(9.0)[::-1]).around(np.zeros(1), np.ones(1))
    np.testing.assert_allclose(prediction.quantile([0.1, 0.5, 0.9])[0], [0.0, 4.0, 8.0], atol=1e-12)


def test_many_gaussian_residuals_give_a_gaussian() -> None:
    residuals = norm.ppf(np.arange(1, 2000) / 2000)
    prediction = Residuals.of(residuals).around(np.zeros(1), np.ones(1))
    np.testing.assert_allclose(prediction.quantile(LEVELS)[0], norm.ppf(LEVELS), atol=1e-3)


def test_no_scale_is_a_step() -> None:
    prediction = Residuals.of(np.array([-1.0, 1.0])).around(np.ones(2), np.array([0.0, 1.0]))
    assert prediction.cdf(np.array([0.999, 1.0])).tolist() == [0.0, pytest.approx(0.5)]
    assert prediction.cdf(1.0)[0] == 1.0


def test_gaussian_keeps_location_and_spread_and_forgets_the_shape() -> None:
    mean, scale = np.array([0.2, -3.0]), np.array([0.1, 2.0])
    skewed = Residuals.of(np.array([-0.2, -0.1, -0.1, 0.0, 0.1, 3.0])).around(mean, scale)
    plain = skewed.gaussian()
    np.testing.assert_array_equal(plain.mean, mean)
    np.testing.assert_array_equal(plain.std, skewed.std)
    expected = norm.ppf(LEVELS, mean[:, None], skewed.std[:, None])
    np.testing.assert_allclose(plain.quantile(LEVELS), expected)
    assert plain.gaussian() is plain
    warped = WarpedPrediction.of(skewed, ASINH).gaussian()
    np.testing.assert_allclose(warped.quantile(LEVELS), np.sinh(expected))


def test_the_shape_is_that_of_runs_which_are_predicted_alike() -> None:
    prediction = local_residuals(4000).around(np.array([0.3, 0.97]), np.ones(2))
    low, high = prediction.quantile([0.1, 0.9]).T
    # .1 of the weight is everybody's, which widens the narrow shape and narrows the wide one
    np.testing.assert_allclose(high - low, [2.56, 7.0], rtol=0.12)
    assert low[1] + high[1] < 2 * 0.97 - 1
    np.testing.assert_array_equal(prediction.std, np.full(2, prediction.std[0]))


def test_equal_predictions_give_one_shape() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=50)
    same = Residuals.of(values, np.full(50, 3.0)).around(np.array([3.0]), np.ones(1))
    plain = Residuals.of(values).around(np.array([3.0]), np.ones(1))
    np.testing.assert_allclose(same.quantile(LEVELS), plain.quantile(LEVELS))
    assert len(Residuals.of(np.zeros(0), np.zeros(0)).levels) == 1
