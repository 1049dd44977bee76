"""The robust ensemble: weights, trimmed combination, calibrated distribution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curvecast import CurveSet, make_predictor
from curvecast.features import build
from curvecast.predictors.ensemble import (
    FEWEST,
    LIBRARY,
    SHARES,
    Library,
    trimmed_mean,
    weigh,
)


def test_trimmed_mean_is_the_mean_of_the_middle_half() -> None:
    values = np.array([[1.0], [2.0], [4.0], [1e9]])
    assert trimmed_mean(values, np.full(4, 0.25), 0.25) == pytest.approx([3.0])


def test_trimmed_mean_cuts_inside_a_member() -> None:
    # of the weights .5, .3, .2 the middle 80 % keeps .4, .3 and .1
    values = np.array([[0.0], [1.0], [10.0]])
    weights = np.array([0.5, 0.3, 0.2])
    assert trimmed_mean(values, weights, 0.1) == pytest.approx([(0.3 + 1.0) / 0.8])


def test_trimmed_mean_does_not_depend_on_the_order_of_members() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(6, 9)), rng.dirichlet(np.ones(6))
    order = rng.permutation(6)
    np.testing.assert_allclose(
        trimmed_mean(values, weights, 0.35), trimmed_mean(values[order], weights[order], 0.35)
    )


def test_weights_follow_the_errors_within_the_shares_of_the_forms() -> None:
    # equal errors everywhere: a form has its share, divided evenly within the form
    errors = np.tile([1.0, -1.0], (3, 5))
    np.testing.assert_allclose(weigh(errors, ["level", "level", "gain"]), [1 / 3, 1 / 3, 1 / 3])
    # twice the error is a quarter of the weight within a form, and costs the form nothing
    scaled = errors * np.array([1.0, 2.0, 5.0])[:, None]
    np.testing.assert_allclose(weigh(scaled, ["level", "level", "gain"]), [8 / 15, 2 / 15, 1 / 3])


def test_every_member_asks_for_a_known_form() -> None:
    assert {member.target for member in LIBRARY} == set(SHARES)


def test_finds_the_limit_of_saturating_curves(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(160, noise=0.01, seed=3)
    train, test = curves.take(np.arange(80)), curves.take(np.arange(80, 160))
    prediction = make_predictor("ensemble", seed=1, draws=20).fit(train, [5]).predict(test, 5)
    error = np.sum((prediction.mean - test.final) ** 2)
    assert 1 - error / np.sum((test.final - test.final.mean()) ** 2) > 0.8
    low, high = prediction.quantile([0.1, 0.9]).T
    assert 0.65 <= np.mean((low <= test.final) & (test.final <= high)) <= 0.95


def test_a_curve_far_outside_does_not_run_away(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(60, noise=0.005)
    far = curves.values.copy()
    far[0] = 50.0
    model = make_predictor("ensemble", draws=10).fit(curves, [6])
    one = CurveSet(curves.configs, far, curves.epochs, curves.metric, curves.direction, curves.name)
    assert -50 < model.predict(one, 6).mean[0] < 150


def test_the_unit_does_not_matter(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(50, noise=0.01)
    percent = CurveSet(
        curves.configs,
        100 * curves.values - 7,
        curves.epochs,
        curves.metric,
        curves.direction,
        curves.name,
        log_columns=curves.log_columns,
    )
    p = Library(draws=10).fit(curves, [6]).predict(curves, 6)
    q = Library(draws=10).fit(percent, [6]).predict(percent, 6)
    np.testing.assert_allclose(q.mean, 100 * p.mean - 7, rtol=1e-3)
    np.testing.assert_allclose(q.std, 100 * p.std, rtol=2e-2)


def test_the_same_seed_gives_the_same_bytes(make_curves: Callable[..., CurveSet]) -> None:
    X = build(make_curves(40, noise=0.02), [4])[4]
    y = make_curves(40, noise=0.02).final
    a, b = (Library(seed=5, draws=10).fit_xy(X, y).predict_xy(X) for _ in "ab")
    assert a.quantile([0.1, 0.5]).tobytes() == b.quantile([0.1, 0.5]).tobytes()


def test_without_curves_only_levels_are_left(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(40)
    X = build(curves, [4])[4].filter(regex="^(hp|ap)_")
    model = Library(draws=10).fit_xy(X, curves.final)
    assert len(model._members) == sum(member.target == "level" for member in LIBRARY)
    assert np.isfinite(model.predict_xy(X).mean).all()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_diverged_and_constant_curves_are_legal(
    make_curves: Callable[..., CurveSet], direction: str
) -> None:
    curves = make_curves(40, noise=0.01, direction=direction)
    values = curves.values.copy()
    values[0, 3:] = np.inf
    values[1, 4:] = np.inf
    values[2] = values[2, 0]
    broken = CurveSet(curves.configs, values, curves.epochs, curves.metric, direction, curves.name)
    prediction = make_predictor("ensemble", draws=10).fit(broken, [2, 5]).predict(broken, 5)
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std > 0).all()


def test_left_out_runs_have_intervals_as_wide_as_new_ones(
    make_curves: Callable[..., CurveSet],
) -> None:
    curves = make_curves(260, noise=0.01, seed=3)
    train, test = curves.take(np.arange(80)), curves.take(np.arange(80, 260))
    model = Library(draws=20).fit(train, [5])
    left_out, new = model.predict_left_out(5), model.predict(test, 5)
    assert left_out is not None
    for levels in ([0.1, 0.9], [0.16, 0.84], [0.25, 0.75]):
        own, other = (np.median(np.diff(p.quantile(levels))) for p in (left_out, new))
        assert own == pytest.approx(other, rel=0.15)


@pytest.mark.parametrize("n", [0, 5, FEWEST - 1])
def test_with_few_runs_the_network_is_alone(make_curves: Callable[..., CurveSet], n: int) -> None:
    curves = make_curves(40, noise=0.01)
    train, test = curves.take(np.arange(n)), curves.take(np.arange(20, 40))
    p, q = (make_predictor(name).fit(train, [5]).predict(test, 5) for name in ("ensemble", "pfn"))
    np.testing.assert_array_equal(p.mean, q.mean)
    np.testing.assert_array_equal(p.quantile([0.1, 0.9]), q.quantile([0.1, 0.9]))


@pytest.mark.parametrize("unfinished", [0, 200])
def test_network_and_library_share_by_their_errors(
    make_curves: Callable[..., CurveSet], unfinished: int
) -> None:
    curves = make_curves(60 + unfinished, noise=0.005, seed=3)
    curves.values[60:, 5:] = np.nan
    rows = np.r_[:40, 60 : len(curves)]
    train, test = curves.take(rows), curves.take(np.arange(40, 60))
    model = make_predictor("ensemble", draws=10).fit(train, [5])
    share = model.diagnostics()["weight_pfn"]
    assert 0 < share < 1
    p = model.predict(test, 5)
    parts = [model._pfn.predict(test, 5), model._library.predict(test, 5)]
    np.testing.assert_allclose(p.mean, share * parts[0].mean + (1 - share) * parts[1].mean)


@pytest.mark.parametrize("n", [10, 20, 60])
def test_errors_on_runs_left_out_count_for_more_where_members_were_chosen_on_them(
    make_curves: Callable[..., CurveSet], n: int
) -> None:
    curves = make_curves(n, noise=0.005, seed=3)
    model = make_predictor("ensemble", draws=10).fit(curves, [5])
    left_out = [part.predict_left_out(5).mean for part in (model._pfn, model._library)]
    errors = np.array([mean - curves.final for mean in left_out])
    usual = np.sqrt(np.sqrt((errors**2).mean(axis=1)) * np.abs(errors).mean(axis=1))
    odds = ((1 + 24 / n) * usual[1] / usual[0]) ** 4
    assert model.diagnostics()["weight_pfn"] == pytest.approx(odds / (1 + odds))
