"""Gaussian process: closed-form leave-one-out, recovery, legal oddities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, Matern, WhiteKernel

from curvecast import CurveSet, DataError, make_predictor
from curvecast.features import build, noise_floor, summarise
from curvecast.predictors.gaussian_process import (
    Prior,
    by_inverting,
    by_solving,
    negative_log_posterior,
)
from curvecast.predictors.gp import Kernel, covariance_at
from curvecast.predictors.scaling import Columns


def _toy(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(n, p))
    return X, X[:, 0] + np.sin(X[:, 1])


@pytest.mark.parametrize("linear", [0, 1])
@pytest.mark.parametrize("invert", [by_solving, by_inverting])
def test_the_gradient_is_that_of_the_value(linear: int, invert: Any) -> None:
    X, y = _toy(30, 4)
    k = 6 + linear
    theta = 0.3 * np.random.default_rng(1).normal(size=k)
    rest = (covariance_at(X), y, Prior(np.full(k, 0.1), np.full(k, 0.8)), invert)
    error = check_grad(
        lambda t: negative_log_posterior(t, *rest)[0],
        lambda t: negative_log_posterior(t, *rest)[1],
        theta,
    )
    assert error < 1e-5


def test_the_kernel_is_that_of_scikit_learn() -> None:
    X, y = _toy(20, 3)
    kernel = Kernel(np.array([0.5, 2.0, 9.0]), signal=1.3, noise=0.2, linear=0.4)
    public = 1.3 * Matern(kernel.length, nu=2.5) + WhiteKernel(0.2)
    public = public + 0.4 * DotProduct(0.0, "fixed")
    np.testing.assert_allclose(
        kernel.between(X, X), public(X) - kernel.noise * np.eye(20), atol=1e-12
    )
    reference = GaussianProcessRegressor(public, alpha=1e-8, optimizer=None).fit(X, y)
    theta = np.log([0.5, 2.0, 9.0, 1.3, 0.2, 0.4])
    prior = Prior(theta, np.ones(6))
    value, _ = negative_log_posterior(theta, covariance_at(X), y, prior, by_inverting)
    expected = reference.log_marginal_likelihood_value_ + 10 * np.log(2 * np.pi)
    assert -value == pytest.approx(expected)


def test_leave_one_out_equals_refits_at_the_same_kernel(
    make_curves: Callable[..., CurveSet],
) -> None:
    curves = make_curves(25, noise=0.02)
    X = build(curves, [5])[5]
    model = make_predictor("gp", target="level").fit_xy(X, curves.final)
    Z = Columns.of(summary := summarise(X, noise_floor(X))).apply(summary)
    y = (curves.final - model._z_center) / model._z_scale
    for i in (0, 7, 24):
        rest = np.arange(25) != i
        K = model._kernel.between(Z[rest], Z[rest]) + (model._kernel.noise + 1e-8) * np.eye(24)
        alone = model._kernel.between(Z[[i]], Z[rest]) @ np.linalg.solve(K, y[rest])
        expected = model._z_center + model._z_scale * alone[0]
        assert model.unseen.mean[i] == pytest.approx(expected, abs=1e-6)


def test_a_column_that_does_not_matter_gets_a_long_scale() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=["hp_a", "hp_b", "hp_c"])
    y = np.sin(2 * X["hp_a"].to_numpy())
    length = make_predictor("gp", target="level").fit_xy(X, y)._kernel.length
    assert 5 * length[0] < length[1:].min()


def test_learns_the_limit(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(120, noise=0.005)
    train, test = curves.take(np.arange(80)), curves.take(np.arange(80, 120))
    p = make_predictor("gp").fit(train, [6]).predict(test, 6)
    assert np.sum((p.mean - test.final) ** 2) < 0.1 * np.sum((test.final - train.final.mean()) ** 2)


def test_the_linear_part_extrapolates(make_curves: Callable[..., CurveSet]) -> None:
    rng = np.random.default_rng(0)
    curves = make_curves(60)
    level = rng.normal(size=60)
    level[:3] = [8.0, -8.0, 12.0]
    values = level[:, None] + 0.02 * rng.normal(size=curves.values.shape)
    lines = CurveSet(curves.configs, values, curves.epochs, "m", "maximize", "synthetic/lines")
    train, far = lines.take(np.arange(3, 60)), lines.take(np.arange(3))
    options = {"target": "level", "kernel": "matern+linear"}
    p = make_predictor("gp", **options).fit(train, [5]).predict(far, 5)
    np.testing.assert_allclose(p.mean, far.final, rtol=0.15)


def test_unknown_kernel_is_an_error(make_curves: Callable[..., CurveSet]) -> None:
    with pytest.raises(DataError, match="unknown kernel 'cubic'"):
        make_predictor("gp", kernel="cubic").fit(make_curves(20), [4])


def test_a_covariance_that_rounding_breaks_turns_the_search_back() -> None:
    def broken(theta: np.ndarray) -> Any:
        return -np.eye(3), lambda slope: theta

    prior = Prior(np.zeros(2), np.ones(2))
    value, gradient = negative_log_posterior(np.ones(2), broken, np.ones(3), prior, by_solving)
    assert value == 1e10
    np.testing.assert_array_equal(gradient, 0.0)
