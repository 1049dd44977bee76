"""The Gaussian process on the remaining gain."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from curvecast import DataError, make_predictor
from curvecast.predictors import gain_gp
from curvecast.predictors.gain_gp import GainGPPredictor, summaries
from curvecast.predictors.gaussian_process import by_solving, negative_log_posterior


def fitted(curves, taus, rows, **options):
    return make_predictor("gain_gp", **options).fit(curves.take(rows), taus)


def test_facts_known_after_a_run_are_no_inputs(make_curves):
    curves = make_curves(40, 20)
    told = replace(curves, configs=curves.configs.assign(end_test=curves.final))
    rows = np.arange(30)
    expected = fitted(curves, [5], rows).predict(curves, 5).mean
    np.testing.assert_array_equal(fitted(told, [5], rows).predict(told, 5).mean, expected)


def test_gradient_of_the_posterior():
    rng = np.random.default_rng(0)
    inputs, y = (rng.normal(size=(20, 4)), rng.normal(size=(20, 3))), rng.normal(size=20)
    rest = (gain_gp.covariance_of(gain_gp._parts(inputs, inputs)), y, gain_gp.PRIOR, by_solving)
    theta = np.array([0.1, -0.2, 0.3, -0.1, -1.0])
    numeric = approx_fprime(theta, lambda t: negative_log_posterior(t, *rest)[0], 1e-6)
    np.testing.assert_allclose(negative_log_posterior(theta, *rest)[1], numeric, atol=1e-4)


def test_left_out_predictions_are_those_of_a_refit(make_curves):
    """Closed form against conditioning on all runs but one, with the same warp and scales."""
    curves = make_curves(30, noise=0.01, seed=1)
    model = fitted(curves, [5], np.arange(30))
    left_out = model.predict_left_out(5)
    process = model._at_tau[5]
    kept = np.arange(30) != 11
    covariance = gain_gp.covariance_of(gain_gp._parts(process._inputs, process._inputs))
    K, _ = covariance(process.theta)
    y = process._y
    weights = np.linalg.solve(K[np.ix_(kept, kept)], K[kept, 11])
    location = process._base[11] + process._shift + process._spread * (weights @ y[kept])
    variance = K[11, 11] - weights @ K[kept, 11]
    assert left_out.inner.mean[11] == pytest.approx(location, abs=1e-8)
    assert left_out.inner.std[11] == pytest.approx(process._spread * np.sqrt(variance), rel=1e-6)


def test_accuracy_and_coverage_on_saturating_curves(make_curves):
    curves = make_curves(200, noise=0.002, seed=4)
    model = fitted(curves, [4], np.arange(60))
    test = curves.take(np.arange(60, 200))
    p = model.predict(test, 4)
    residual = test.final - p.mean
    assert 1 - residual.var() / test.final.var() > 0.9
    inside = np.abs(residual) < 1.645 * p.std
    assert 0.75 < inside.mean() < 0.99
    median = p.quantile([0.5])[:, 0]
    np.testing.assert_allclose(median, p.mean)
    np.testing.assert_allclose(p.cdf(median), 0.5, atol=1e-9)
    np.testing.assert_allclose(p.cdf(p.quantile([0.9])[:, 0]), 0.9, atol=1e-9)


def test_minimised_metric_is_the_mirror_image(make_curves):
    up = make_curves(80, noise=0.01, seed=2)
    down = up.negated()
    rows = np.arange(40)
    a, b = (fitted(c, [2, 6], rows).predict(c, 6) for c in (up, down))
    np.testing.assert_array_equal(a.mean, -b.mean)
    np.testing.assert_array_equal(a.std, b.std)
    np.testing.assert_allclose(a.quantile([0.1, 0.9]), -b.quantile([0.9, 0.1]))
    np.testing.assert_allclose(a.cdf(0.7), 1 - b.cdf(-0.7), atol=1e-12)


def test_nothing_after_tau_matters_and_the_unit_does_not_either(make_curves):
    curves = make_curves(60, noise=0.01, seed=2)
    rows = np.arange(30)
    model = fitted(curves, [4], rows)
    changed = make_curves(60, noise=0.01, seed=2)
    changed.values[:, 4:] = 7.0
    np.testing.assert_array_equal(model.predict(curves, 4).mean, model.predict(changed, 4).mean)
    percent = make_curves(60, noise=0.01, seed=2)
    percent.values[:] = 100 * percent.values - 3
    np.testing.assert_allclose(
        fitted(percent, [4], rows).predict(percent, 4).mean,
        100 * model.predict(curves, 4).mean - 3,
        rtol=1e-4,
    )


def test_one_spike_does_not_move_the_level(make_curves):
    curves = make_curves(5, seed=0)
    spiked = curves.values.copy()
    spiked[:, 9] -= 0.3
    epochs = curves.epochs[:11]
    before, after = (summaries(v[:, :11], epochs)[:, 0] for v in (curves.values, spiked))
    assert np.abs(before - after).max() < 0.03


def test_gaps_constant_columns_and_few_runs(make_curves):
    curves = make_curves(40, noise=0.01, seed=2)
    curves.values[3, :2] = np.nan
    curves.values[4, -1] = np.nan
    curves.configs["ap_layers"] = 2.0
    p = fitted(curves, [1, 5], np.arange(20)).predict(curves, 5)
    assert np.isfinite(p.mean).all()
    assert (p.std > 0).all()
    with pytest.raises(DataError, match="too few"):
        GainGPPredictor().fit(curves.take([0]), [5])
    with pytest.raises(DataError, match="not fitted for tau 7"):
        fitted(curves, [5], np.arange(20)).predict(curves, 7)
