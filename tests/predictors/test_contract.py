"""What every predictor promises, whatever its method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curvecast import CurveSet, DataError, make_predictor
from curvecast.curves import concat

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
# The ensemble, which holds a dozen models, has its other tests in test_ensemble.py.
MODELS = (*TABULAR, "gp", "gain_gp", "lce", "lcnet", "cnn", "lstm", "cnn_lstm")
NETWORK = {"epochs": 12, "members": 2}
CHEAP = {
    "nusvr_linear": {"draws": 25},
    "nusvr_rbf": {"draws": 60},
    "random_forest": {"max_trees": 30},
    "extra_trees": {"max_trees": 30},
    "gradient_boosting": {"stages": 30},
    "gp": {"target": "level"},
    "ensemble": {"draws": 5},
    "gain_gp": {"n_tune": 40},
    "lcnet": {"chains": 2, "epochs": 15, "burn_in": 5, "samples": 2, "every": 2},
    **dict.fromkeys(("cnn", "lstm", "cnn_lstm"), NETWORK),
}
# lce extrapolates every curve by itself: nothing to forget, and no target to learn.
LEARNED = tuple(name for name in MODELS if name != "lce")
# Invariant up to rounding. Elsewhere rounding has larger effects: libsvm stops within a
# tolerance or at its cap, and trees choose among equal cuts by order.
EXACT = ("last_value", "mean", "ols", "ridge")


def make(name: str, seed: int = 0):
    return make_predictor(name, seed=seed, **CHEAP.get(name, {}))


def fit_predict(name: str, curves: CurveSet, tau: int = 6, n_train: int = 60, seed: int = 0):
    train = curves.take(np.arange(n_train))
    test = curves.take(np.arange(n_train, len(curves)))
    return make(name, seed).fit(train, taus=[tau]).predict(test, tau=tau)


@pytest.fixture
def curves(make_curves: Callable[..., CurveSet]) -> CurveSet:
    return make_curves(n=160, noise=0.004, seed=11)


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


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_gives_the_same_bytes(name: str, curves: CurveSet) -> None:
    first, second = fit_predict(name, curves), fit_predict(name, curves)
    assert first.mean.tobytes() == second.mean.tobytes()
    assert first.std.tobytes() == second.std.tobytes()


@pytest.mark.parametrize("name", LEARNED)
def test_fitting_again_forgets_the_first_fit(name: str, curves: CurveSet) -> None:
    model = make(name)
    model.fit(curves.take(np.arange(100, 160)), taus=[3, 6])
    again = model.fit(curves.take(np.arange(60)), taus=[6]).predict(curves, tau=6)
    fresh = make(name).fit(curves.take(np.arange(60)), taus=[6]).predict(curves, tau=6)
    np.testing.assert_array_equal(again.mean, fresh.mean)
    with pytest.raises(DataError, match="not fitted for tau 3"):
        model.predict(curves, tau=3)


@pytest.mark.parametrize("name", LEARNED)
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


@pytest.mark.parametrize("name", MODELS)
def test_diverged_runs_are_passed_over_in_training_and_predicted_in_testing(
    name: str, curves: CurveSet
) -> None:
    reference = fit_predict(name, curves, n_train=60)
    broken = curves.take(np.arange(160))
    extra = curves.take(np.arange(5))
    extra.values[:, 4:] = [[np.nan], [np.inf], [-np.inf], [np.nan], [np.nan]]
    extra.configs["id"] = [f"broken{i}" for i in range(5)]
    model = make(name)
    model.fit(concat([broken.take(np.arange(60)), extra]), taus=[6])
    np.testing.assert_array_equal(
        model.predict(broken.take(np.arange(60, 160)), tau=6).mean, reference.mean
    )
    p = model.predict(extra, tau=6)
    assert np.isfinite(p.mean).all()
    assert np.isfinite(p.std).all()


@pytest.mark.parametrize("name", [*MODELS, "ensemble"])
def test_nan_in_training_features_is_survived(name: str, curves: CurveSet) -> None:
    curves.values[::7, 0] = np.nan
    curves.values[3, 2:5] = np.inf
    p = fit_predict(name, curves)
    assert np.isfinite(p.mean).all()
    assert (p.std > 0).all()


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


@pytest.mark.parametrize("name", MODELS)
def test_nothing_after_tau_and_no_test_target_is_seen(name: str, curves: CurveSet) -> None:
    p = fit_predict(name, curves, tau=6)
    changed = curves.take(np.arange(160))
    rng = np.random.default_rng(0)
    changed.values[60:, 6:] = 1e3 * rng.standard_normal((100, 14))
    if name not in ("lce", "lcnet"):  # their training curves may be read to the end
        changed.values[:60, 6:-1] = rng.standard_normal((60, 13))
    q = fit_predict(name, changed, tau=6)
    np.testing.assert_array_equal(q.mean, p.mean)
    np.testing.assert_array_equal(q.std, p.std)


@pytest.mark.parametrize("name", MODELS)
def test_a_prediction_does_not_depend_on_the_other_test_runs(name: str, curves: CurveSet) -> None:
    model = make(name).fit(curves.take(np.arange(60)), taus=[6])
    alone = model.predict(curves.take([100]), tau=6)
    among = model.predict(curves.take(np.arange(60, 160)), tau=6)
    # networks compute in single precision, lcnet passes the result through an inverse
    rel = {"lcnet": 1e-3, "cnn": 1e-5, "lstm": 1e-5, "cnn_lstm": 1e-5}.get(name, 1e-9)
    assert among.mean[40] == pytest.approx(alone.mean[0], rel=rel)


@pytest.mark.parametrize("name", [*MODELS, "ensemble"])
@pytest.mark.parametrize(("first", "last", "tau"), [(1, 2, 1), (0, 1, 1), (0, 3, 2)])
def test_very_short_curves(
    name: str, first: int, last: int, tau: int, make_curves: Callable[..., CurveSet]
) -> None:
    curves = make_curves(n=70, first_epoch=first, last_epoch=last, noise=0.01, seed=5)
    p = fit_predict(name, curves, tau=tau, n_train=50)
    y = curves.final[50:]
    assert np.isfinite(p.quantile([0.05, 0.5, 0.95])).all()
    # nothing is worse than twice the spread of what there is to predict
    assert np.sqrt(np.mean((y - p.mean) ** 2)) < 2 * curves.final.std() + np.ptp(curves.values)


@pytest.mark.parametrize("name", [*MODELS, "ensemble"])
def test_curves_that_are_constant_and_all_alike(
    name: str, make_curves: Callable[..., CurveSet]
) -> None:
    curves = make_curves(n=70)
    curves.values[:] = 0.4
    p = fit_predict(name, curves, n_train=50)
    np.testing.assert_allclose(p.mean, 0.4, rtol=1e-5)
    np.testing.assert_allclose(p.quantile([0.1, 0.9]), 0.4, atol=1e-3)
