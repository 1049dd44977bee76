"""Gaussian process: closed-form leave-one-out, recovery, legal oddities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from curvecast import CurveSet, DataError, make_predictor
from curvecast.features import build, summarise


def test_leave_one_out_equals_refits_at_the_same_kernel(
    make_curves: Callable[..., CurveSet],
) -> None:
    curves = make_curves(25, noise=0.02)
    X = build(curves, [5])[5]
    model = make_predictor("gp", target="level").fit_xy(X, curves.final)
    Z = model._standardise(summarise(X))
    y = (curves.final - model._z_center) / model._z_scale
    for i in (0, 7, 24):
        rest = np.arange(25) != i
        refit = GaussianProcessRegressor(model._model.kernel_, alpha=1e-8, optimizer=None)
        alone = refit.fit(Z[rest], y[rest]).predict(Z[[i]])[0]
        expected = model._z_center + model._z_scale * alone
        assert model.unseen.mean[i] == pytest.approx(expected, abs=1e-6)


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
