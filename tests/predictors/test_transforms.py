"""Target forms: what a regressor is asked for, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from curvecast import CurveSet, DataError, make_predictor, protocol
from curvecast.features import build
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.transforms import FEATURE_FORMS as FORMS
from curvecast.predictors.transforms import (
    Form,
    SeriesMap,
    Warp,
    WarpedPrediction,
    best_share,
    explosions,
)

EMBEDDED = Path(__file__).parents[2] / "resources" / "embedded"


@pytest.mark.parametrize("name", FORMS)
def test_back_undoes_forward(make_curves: Callable[..., CurveSet], name: str) -> None:
    curves = make_curves(30)
    X = build(curves, [4])[4]
    form = Form.of(name, X, curves.final)
    seen = form.seen(X)
    z = form.forward(curves.final, seen)
    back = form.back(Prediction(z, np.full(len(z), 1e-6)), seen)
    np.testing.assert_allclose(back.mean, curves.final)


def test_gain_is_what_remains(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(30)
    X = build(curves, [4])[4]
    form = Form.of("gain", X, curves.final)
    np.testing.assert_allclose(
        form.forward(curves.final, form.seen(X)), curves.final - curves.values[:, 3]
    )


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_equivariant(make_curves: Callable[..., CurveSet], name: str) -> None:
    curves = make_curves(60, noise=0.01)
    X, y = build(curves, [4])[4], curves.final
    moved = build(curves.negated(), [4])[4]
    p = make_predictor("ridge", target=name).fit_xy(X, y).predict_xy(X)
    q = make_predictor("ridge", target=name).fit_xy(moved, -y).predict_xy(moved)
    np.testing.assert_allclose(q.mean, -p.mean, rtol=1e-6)


@pytest.mark.parametrize("scalar", [True, False])
def test_nothing_lies_beyond_the_limits_of_a_warp(scalar: bool) -> None:
    """What a quantile never passes has the probability 0 or 1."""
    warp = replace(Warp("asinh_twice", 2.0, 0.5), limits=(-0.5, 3.0))
    p = WarpedPrediction.of(Prediction(np.array([-1.0, 1.0, 2.9]), np.ones(3)), warp)
    least, most = (warp.inverse(limit) for limit in warp.limits)
    for value, expected in ((least - 1e-9, 0.0), (most, 1.0), (1e30, 1.0), (-np.inf, 0.0)):
        np.testing.assert_array_equal(p.cdf(value if scalar else np.full(3, value)), expected)
    at_least = p.cdf(least)
    assert at_least.min() > 0
    assert at_least[0] > 0.5
    assert p.quantile([at_least[0] - 0.01])[0, 0] == least


def test_a_gain_needs_the_curve(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(30)
    X = build(curves, [4])[4].filter(regex="^hp_")
    with pytest.raises(DataError, match="value at tau"):
        make_predictor("ols", target="gain").fit_xy(X, curves.final)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_gain_counts_from_the_best_value_so_far(
    make_curves: Callable[..., CurveSet], direction: str
) -> None:
    curves = make_curves(30, noise=0.05, direction=direction)
    X = build(curves, [6])[6]
    form = Form.of("best_gain", X, curves.final)
    best = (
        curves.values[:, :6].max(axis=1)
        if direction == "maximize"
        else (curves.values[:, :6].min(axis=1))
    )
    np.testing.assert_allclose(form.forward(curves.final, form.seen(X)), curves.final - best)


def test_the_best_gain_forgives_a_jump(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(80, noise=0.002)
    jump = curves.values.copy()
    jump[0, 5] -= 20.0
    X, torn = build(curves, [6])[6], build(replace(curves, values=jump), [6])[6]
    rest = np.arange(1, 80)
    errors = {}
    for target in ("gain", "best_gain"):
        model = make_predictor("gp", target=target).fit_xy(X.iloc[rest], curves.final[rest])
        errors[target] = abs(model.predict_xy(torn.iloc[[0]]).mean[0] - curves.final[0])
    assert errors["best_gain"] < 0.5
    assert errors["gain"] > 5.0


def test_auto_takes_the_form_that_errs_least_on_unseen_runs(
    make_curves: Callable[..., CurveSet],
) -> None:
    # ends that equal the value at tau plus noise, whatever the level: the gain is constant
    curves = make_curves(40, noise=0.0)
    values = curves.values.copy()
    levels = np.random.default_rng(0).standard_cauchy(40)
    values[:] = levels[:, None] + 0.01 * np.random.default_rng(1).normal(size=values.shape)
    X = build(
        CurveSet(curves.configs, values, curves.epochs, "m", "maximize", "synthetic/levels"), [4]
    )[4]
    model = make_predictor("extra_trees", target="auto", max_trees=30).fit_xy(X, values[:, -1])
    assert FORMS[int(model.diagnostics()["target"])] in ("gain", "best_gain")


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(DataError, match="target is 'slope'"):
        make_predictor("ridge", target="slope")


def test_the_warp_of_gains_is_linear_above_the_centre_and_logarithmic_below() -> None:
    warp = Warp.to_best("log_below", np.array([-50.0, 1.0, 2.0, 3.0, 4.0]))
    assert (warp.center, warp.scale) == (2.0, 2.0)
    gains = np.array([-1e6, -50.0, 0.0, 1.999, 2.0, 2.001, 4.0, 5.0])
    z = warp(gains)
    assert np.all(np.diff(z) > 0)
    np.testing.assert_allclose(z[-4:], [0.0, 0.0005, 1.0, 1.5], atol=1e-12)
    np.testing.assert_allclose(warp.inverse(z), gains, rtol=1e-9)
    assert Warp.to_best("log_below", np.full(5, 3.0)).scale == 3.0


def test_a_warp_can_be_logarithmic_on_both_sides() -> None:
    warp = Warp.to_best("log_both", np.array([1.0, 2.0, 4.0]))
    gains = np.array([-20.0, 0.0, 2.0, 4.0, 22.0])
    np.testing.assert_allclose(warp(gains), [-np.log(12), -np.log(2), 0, np.log(2), np.log(11)])
    np.testing.assert_allclose(warp.inverse(warp(gains)), gains)


def test_a_robust_warp_per_column_is_that_of_each_column() -> None:
    values = np.random.default_rng(0).standard_cauchy((40, 3))
    values[:, 2] = 7.0  # no spread: the scale is 1
    values[0, 0] = np.nan
    warp = Warp.robust(values)
    for j in range(3):
        alone = Warp.robust(values[:, j])
        np.testing.assert_array_equal(warp(values)[:, j], alone(values[:, j]))
    np.testing.assert_allclose(warp.inverse(warp(values)), values)
    assert np.asarray(warp.scale)[2] == 1.0


def test_ordinary_tails_are_left_alone_and_explosions_are_warped() -> None:
    values = np.random.default_rng(0).standard_normal((100, 5))
    values[7, 2] = 60.0
    assert explosions(values) is None
    values[7, 2] = 1e15
    values[9, 4] = -1e28
    warp = explosions(values)
    assert warp is not None
    z = warp(values)
    assert np.abs(z).max() < 6
    np.testing.assert_allclose(warp.inverse(z), values, rtol=1e-6)
    assert np.isfinite(warp.inverse(np.array([-1e9, 1e9]))).all()
    assert explosions(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 9.0]])) is None


def test_missing_first_values_follow_from_the_next_ones() -> None:
    rng = np.random.default_rng(0)
    rate, limit = rng.uniform(0.5, 2, (40, 1)), rng.uniform(1, 2, (40, 1))
    values = limit - limit * 0.5 ** (rate * np.arange(6))
    series = SeriesMap.of(values[:30])
    torn = values[30:].copy()
    torn[:, :2] = np.nan
    torn[3, 4] = np.nan
    filled = series(torn)
    np.testing.assert_allclose(filled[:, :2], values[30:, :2], atol=0.15)
    assert np.isnan(filled[3, 4])
    assert series(torn[:, :3]).shape == (10, 3)


def test_auto_chooses_by_a_robust_error_where_values_explode(make_curves) -> None:
    curves = make_curves(80, noise=0.004).negated()
    bad = np.arange(80) % 10 == 3
    curves.values[bad] += 10.0 ** np.arange(1, 21)
    y, calm = curves.final[60:], ~bad[60:]
    for name in ("ridge", "gp", "extra_trees"):
        model = make_predictor(name, target="auto").fit(curves.take(np.arange(60)), [8])
        p = model.predict(curves.take(np.arange(60, 80)), 8)
        assert np.median(np.abs(p.mean - y)[calm]) < 0.05
        assert (p.mean[~calm] > 1e3).all()


def test_the_share_of_the_last_value_is_the_one_with_the_smallest_median_error() -> None:
    naive = np.linspace(-1, 1, 41)
    assert best_share(0.1 * naive, naive) == 1.0
    assert best_share(10 * naive, naive) == 0.0
    assert best_share(-naive, naive) == 0.5
    exploded = np.where(np.arange(41) == 0, 1e9, -naive)
    assert best_share(exploded, naive) == 0.5
    assert best_share(np.where(np.arange(41) % 2, np.nan, -naive), naive) == 0.5


@pytest.mark.parametrize("name", ["ridge", "random_forest", "gp", "nusvr_linear", "nusvr_rbf"])
def test_real_runs_that_explode_are_ranked_like_their_last_values_or_better(name: str) -> None:
    curves = CurveSet.from_parquet(EMBEDDED / "digits_unstable_mlp.parquet")
    ranks, errors = [], []
    for nth, fraction in product(range(3), (0.25, 0.5)):
        split = protocol.split(curves, 100, nth, reserve=100)
        test, tau = curves.take(split.test), protocol.tau_of(fraction, curves.epochs)
        y, last = test.final, test.values[:, test.seen(tau)][:, -1]
        p = make_predictor(name).fit(curves.take(split.train), [tau]).predict(test, tau)
        ranks.append(spearmanr(p.mean, y).statistic - spearmanr(last, y).statistic)
        errors.append(np.median(np.abs(p.mean - y)) / np.median(np.abs(last - y)))
    assert np.mean(ranks) > -0.02
    assert np.mean(errors) < 1
