"""What every predictor promises, whatever its method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from curvecast import CurveSet, DataError, make_predictor
from curvecast.predictors import registry
from curvecast.testing import check_predictor

TABULAR = (
    "last_value",
    "mean",
    "ols",
    "ridge",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "nusvr_linear",
    "nusvr_rbf",
)
# lce extrapolates every curve by itself: no target to learn. lkgp needs packages of its own:
# see test_lkgp.py.
LEARNED = sorted(set(registry()) - {"lce", "lkgp", "ensemble"})
# Invariant up to rounding. Elsewhere rounding has larger effects: libsvm stops within a
# tolerance or at its cap, and trees choose among equal cuts by order.
EXACT = ("last_value", "mean", "ols", "ridge")


def make(name: str, seed: int = 0):
    return make_predictor(name, seed=seed, **registry()[name].cheap)


def fit_predict(name: str, curves: CurveSet, tau: int = 6, n_train: int = 60, seed: int = 0):
    train = curves.take(np.arange(n_train))
    test = curves.take(np.arange(n_train, len(curves)))
    return make(name, seed).fit(train, taus=[tau]).predict(test, tau=tau)


@pytest.fixture
def curves(make_curves: Callable[..., CurveSet]) -> CurveSet:
    return make_curves(n=160, noise=0.004, seed=11)


@pytest.mark.parametrize("name", sorted(set(registry()) - {"lkgp"}))
def test_every_registered_model_keeps_the_contract(name: str) -> None:
    check_predictor(name)


@pytest.mark.parametrize("name", TABULAR)
def test_r2_and_coverage_on_saturating_curves(name: str, curves: CurveSet) -> None:
    p = fit_predict(name, curves, n_train=100)
    y = curves.final[100:]
    r2 = 1 - np.mean((y - p.mean) ** 2) / y.var()
    if name in ("last_value", "mean"):
        assert r2 < 0.1
    else:
        assert r2 > 0.8
    low, high = p.quantile([0.1, 0.9]).T
    assert 0.6 < np.mean((low <= y) & (y <= high)) <= 1
    np.testing.assert_allclose(p.cdf(high), 0.9)


# pfn does not take ends that are all the same for a law of the task: a search has such beginnings
@pytest.mark.parametrize("name", sorted({*LEARNED} - {"pfn"}))
def test_constant_target_is_predicted_without_spread(name: str, curves: CurveSet) -> None:
    if name == "last_value":
        curves.values[:, 5:] = 0.7
    else:
        curves.values[:, -1] = 0.7
    p = fit_predict(name, curves)
    # gain_gp knows the scale of metrics, not of this target: it keeps a noise of its own
    tolerance = 5e-3 if name == "gain_gp" else 1e-12
    np.testing.assert_allclose(p.mean, 0.7, rtol=tolerance)
    np.testing.assert_allclose(p.std, 0.0, atol=tolerance)


@pytest.mark.parametrize("name", TABULAR)
def test_a_doubled_unit_doubles_the_prediction(name: str, curves: CurveSet) -> None:
    """A power of two leaves standardised numbers as they are, bit by bit."""
    p = fit_predict(name, curves)
    doubled = curves.take(np.arange(160))
    doubled.values[:] *= 2
    q = fit_predict(name, doubled)
    np.testing.assert_array_equal(q.mean, 2 * p.mean)
    np.testing.assert_array_equal(q.std, 2 * p.std)


@pytest.mark.parametrize("name", EXACT)
def test_affine_change_of_unit(name: str, curves: CurveSet) -> None:
    p = fit_predict(name, curves)
    changed = curves.take(np.arange(160))
    changed.values[:] = 40 + 30 * changed.values
    q = fit_predict(name, changed)
    np.testing.assert_allclose(q.mean, 40 + 30 * p.mean, rtol=1e-8)
    np.testing.assert_allclose(q.std, 30 * p.std, rtol=1e-6)


@pytest.mark.parametrize("name", EXACT)
def test_negation_turns_predictions_round(name: str, curves: CurveSet) -> None:
    p = fit_predict(name, curves)
    q = fit_predict(name, curves.negated())
    np.testing.assert_allclose(q.mean, -p.mean, rtol=1e-8)
    np.testing.assert_allclose(q.std, p.std, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(TABULAR) - set(EXACT)))
def test_affine_change_and_negation_keep_the_accuracy(name: str, curves: CurveSet) -> None:
    y = curves.final[60:]
    changed = curves.negated()
    changed.values[:] = 40 + 30 * changed.values
    errors = [
        np.mean((y - fit_predict(name, curves).mean) ** 2),
        np.mean((y - (40 - fit_predict(name, changed).mean) / 30) ** 2),
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.3)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("name", sorted(set(registry()) - {"lkgp"}))
def test_runs_without_settings_that_vary_are_predicted(
    name: str, constant: bool, curves: CurveSet
) -> None:
    configs = curves.configs[["id", "group"]]
    configs = configs.assign(hp_lr=0.1) if constant else configs
    curves = replace(curves, configs=configs, log_columns=())
    p, y = fit_predict(name, curves), curves.final[60:]
    assert np.isfinite(p.quantile([0.1, 0.9])).all()
    assert np.sqrt(np.mean((y - p.mean) ** 2)) < np.ptp(curves.values)


@pytest.mark.parametrize("name", sorted({*LEARNED} - {"mean", "last_value"}))
def test_a_setting_that_was_fitted_on_and_is_missing_is_named(name: str, curves: CurveSet) -> None:
    model = make(name).fit(curves.take(np.arange(60)), [6])
    without = replace(curves, configs=curves.configs.drop(columns="ap_layers"))
    with pytest.raises(DataError, match="column ap_layers: a column that was fitted on is missing"):
        model.predict(without, 6)


# lce and pfn are about the length of the curves that they are asked about
@pytest.mark.parametrize("name", sorted(set(registry()) - {"lkgp", "lce", "pfn"}))
def test_curves_at_other_epochs_are_read_at_those_of_the_training_runs(
    name: str, curves: CurveSet
) -> None:
    train, test = curves.take(np.arange(60)), curves.take(np.arange(60, 90))
    model = make(name).fit(train, [6])
    usual = model.predict(test, 6)
    untrained = np.column_stack([np.full(30, 0.1), test.values])
    further = replace(test, values=untrained, epochs=np.arange(21))
    for other in (further, test.until(6), further.until(6)):
        np.testing.assert_array_equal(model.predict(other, 6).mean, usual.mean)
    every_other = replace(test, values=test.values[:, 1::2], epochs=test.epochs[1::2])
    gaps = replace(test, values=np.where(test.epochs % 2, np.nan, test.values))
    np.testing.assert_array_equal(model.predict(every_other, 6).mean, model.predict(gaps, 6).mean)


@pytest.mark.parametrize("name", sorted(set(registry()) - {"lkgp"}))
def test_no_run_at_all_may_be_asked_about(name: str, curves: CurveSet) -> None:
    """At a late decision epoch of a replay no run may be left."""
    p = make(name).fit(curves.take(np.arange(60)), [6]).predict(curves.take([]), 6)
    assert p.quantile([0.1, 0.9]).shape == (0, 2)
    assert len(p.cdf(0.5)) == len(p.gaussian().std) == 0


@pytest.mark.parametrize("name", sorted({*LEARNED} - {"lcnet"}))
def test_training_curves_are_read_up_to_tau_and_at_their_end(name: str, curves: CurveSet) -> None:
    p = fit_predict(name, curves, tau=6)
    changed = curves.take(np.arange(160))
    changed.values[:, 6:-1] = np.random.default_rng(0).standard_normal((160, 13))
    q = fit_predict(name, changed, tau=6)
    np.testing.assert_array_equal(q.mean, p.mean)
    np.testing.assert_array_equal(q.std, p.std)
