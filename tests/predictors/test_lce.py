"""The parametric families, their least-squares fits, and the predictions made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curvecast import CurveSet, DataError, make_predictor
from curvecast.predictors import lce
from curvecast.predictors._curve_families import FAMILIES, Family, fit

LAST = 50
EPOCHS = np.arange(1, LAST + 1)
MakeCurves = Callable[..., CurveSet]

# theta and a rising curve inside of every family's box
TRUTH = {
    "vapor_pressure": (-2.0, 0.1),
    "pow3": (np.log(0.7),),
    "loglog_linear": (np.log(2.0),),
    "hill3": (np.log(6.0), np.log(1.8)),
    "log_power": (np.log(4.0), np.log(0.6)),
    "pow4": (np.log(3.0), np.log(1.2)),
    "mmf": (np.log(5.0), np.log(1.3)),
    "exp4": (np.log(0.2), np.log(0.6)),
    "janoschek": (np.log(0.1), np.log(1.3)),
    "weibull": (np.log(0.15), np.log(0.9)),
    "ilog2": (),
}


def noiseless(family: Family, *, offset: float = 0.3, amplitude: float = 0.5) -> np.ndarray:
    """A curve of the family over all epochs, scaled to rise by `amplitude`."""
    g, _ = family.shape(EPOCHS.astype(float), np.array(TRUTH[family.name]))
    return offset + amplitude * (g - g[0]) / (g[-1] - g[0])


@pytest.fixture
def as_set(make_curves: MakeCurves) -> Callable[..., CurveSet]:
    """Wrap values of shape (n, n_epochs) into a CurveSet."""

    def wrap(values: np.ndarray, epochs: np.ndarray = EPOCHS) -> CurveSet:
        values = np.atleast_2d(values)
        template = make_curves(len(values), int(epochs[-1]), first_epoch=int(epochs[0]))
        return replace(template, values=values)

    return wrap


def predict(curves: CurveSet, tau: int, **options: object) -> lce.MixturePrediction:
    prediction = make_predictor("lce", **options).predict(curves, tau)
    assert isinstance(prediction, lce.MixturePrediction)
    return prediction


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_derivatives_of_the_shape(family: Family) -> None:
    x = np.arange(1.0, 30.0)
    lower, upper = family.bounds(LAST)
    theta = lower + (upper - lower) * np.random.default_rng(0).uniform(0.1, 0.9, (7, len(lower)))
    _, slopes = family.shape(x, theta)
    assert slopes.shape == (7, len(x), len(lower))
    for i in range(len(lower)):
        h = np.zeros(len(lower))
        h[i] = 1e-5
        numeric = (family.shape(x, theta + h)[0] - family.shape(x, theta - h)[0]) / 2e-5
        np.testing.assert_allclose(
            slopes[..., i], numeric, rtol=1e-4, atol=1e-6 * np.abs(numeric).max()
        )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_grid_nodes_lie_in_their_own_cells(family: Family) -> None:
    grid = family.grid(LAST)
    np.testing.assert_array_equal(family.cell_of(grid, LAST), np.arange(len(grid)))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_family_recovers_its_own_curve(family: Family, sign: float) -> None:
    truth = sign * noiseless(family)
    seen = truth[None, :20]
    fits = fit(family, EPOCHS[:20].astype(float), seen, LAST)
    assert fits.rss[0] < 1e-12
    np.testing.assert_allclose(fits.theta[0], TRUTH[family.name], atol=1e-2)
    g, _ = family.shape(EPOCHS.astype(float), fits.theta[0])
    amplitude, offset = np.polyfit(g[:20], seen[0], 1)
    np.testing.assert_allclose(offset + amplitude * g, truth, atol=1e-4)


def test_fits_stay_inside_their_bounds_and_beat_every_grid_node() -> None:
    rng = np.random.default_rng(3)
    x = np.arange(1.0, 11.0)
    curves = np.cumsum(rng.standard_normal((40, 10)), axis=1)
    for family in FAMILIES:
        fits = fit(family, x, curves, LAST)
        lower, upper = family.bounds(LAST)
        assert (fits.theta >= lower).all()
        assert (fits.theta <= upper).all()
        for theta in family.grid(LAST):
            design = np.stack([np.ones(10), family.shape(x, theta)[0]], axis=1)
            residual = curves.T - design @ np.linalg.lstsq(design, curves.T, rcond=None)[0]
            assert (fits.rss <= (residual**2).sum(axis=0) * (1 + 1e-6)).all()


def test_information_is_that_of_numeric_differences() -> None:
    family = next(f for f in FAMILIES if f.name == "weibull")
    x = np.arange(1.0, 21.0)
    curve = noiseless(family)[:20] + 0.01 * np.random.default_rng(0).standard_normal(20)
    fits = fit(family, x, curve[None, :], LAST)

    def residual(theta: np.ndarray) -> np.ndarray:
        design = np.stack([np.ones(20), family.shape(x, theta)[0]], axis=1)
        return curve - design @ np.linalg.lstsq(design, curve, rcond=None)[0]

    step = 1e-5 * np.eye(2)
    jacobian = np.stack(
        [(residual(fits.theta[0] + h) - residual(fits.theta[0] - h)) / 2e-5 for h in step], axis=1
    )
    # Kaufman's Jacobian leaves out a term that vanishes with the residuals
    np.testing.assert_allclose(fits.information[0], jacobian.T @ jacobian, rtol=0.1)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_prediction_of_a_noiseless_curve(family: Family, as_set: Callable[..., CurveSet]) -> None:
    truth = noiseless(family)
    prediction = predict(as_set(truth), 20)
    to_come = truth[-1] - truth[19]
    assert abs(prediction.mean[0] - truth[-1]) < 0.25 * to_come + 0.005
    low, high = prediction.quantile([0.025, 0.975])[0]
    assert low < truth[-1] < high


def test_the_unit_of_time_changes_nothing(make_curves: MakeCurves) -> None:
    curves = make_curves(5, 20)
    tokens = replace(curves, epochs=curves.epochs * 5 * 10**10)
    one, other = predict(curves, 5), predict(tokens, 25 * 10**10)
    np.testing.assert_array_equal(one.mean, other.mean)


def test_beats_the_last_value_on_noisy_curves(make_curves: MakeCurves) -> None:
    curves = make_curves(300, 50, noise=0.002)
    for tau in (5, 13, 25):
        prediction = predict(curves, tau)
        last = curves.values[:, tau - 1]
        errors = np.abs(prediction.mean - curves.final).mean()
        assert errors < 0.7 * np.abs(last - curves.final).mean()


@pytest.mark.parametrize("tau", [1, 2, 3, 10])
def test_equivariant_under_sign_and_unit(make_curves: MakeCurves, tau: int) -> None:
    curves = make_curves(20, 30, noise=0.02)
    plain = predict(curves, tau)
    mirrored = predict(curves.negated(), tau)
    np.testing.assert_allclose(mirrored.mean, -plain.mean, rtol=1e-9)
    np.testing.assert_allclose(mirrored.std, plain.std, rtol=1e-9)
    np.testing.assert_allclose(
        mirrored.quantile([0.1, 0.9]), -plain.quantile([0.9, 0.1]), rtol=1e-7
    )
    # a single value shows no unit but its own size, so only a scale can be followed
    shift = 0.0 if tau == 1 else 7.0
    moved = predict(replace(curves, values=shift + 250.0 * curves.values), tau)
    np.testing.assert_allclose(moved.mean, shift + 250.0 * plain.mean, rtol=1e-7)
    np.testing.assert_allclose(moved.std, 250.0 * plain.std, rtol=1e-6)


def test_short_curves_stay_near_their_last_value(make_curves: MakeCurves) -> None:
    curves = make_curves(50, 40)
    for tau in (1, 2, 3):
        prediction = predict(curves, tau)
        seen = curves.values[:, :tau]
        shown = np.ptp(seen, axis=1) if tau > 1 else 0.1 * np.abs(seen[:, 0])
        ahead = prediction.mean - seen[:, -1]
        assert (ahead > 0).all()
        assert (ahead < 2.5 * shown).all()
        assert (prediction.std > 0.2 * ahead).all()


def test_constant_curves_stay_where_they_are(as_set: Callable[..., CurveSet]) -> None:
    levels = np.array([0.1, 0.9, -3.0, 0.0])
    curves = as_set(np.repeat(levels[:, None], LAST, axis=1))
    prediction = make_predictor("lce").predict(curves, 10)
    np.testing.assert_allclose(prediction.mean, levels, atol=0.01 * np.abs(levels).max())
    assert prediction.mean[3] == 0
    assert prediction.std[3] == 0
    assert (prediction.std[:3] > 0).all()
    assert (prediction.std[:3] < 0.1 * np.abs(levels[:3])).all()
    np.testing.assert_array_equal(prediction.cdf(0.0)[[1, 2]].round(6), [0, 1])


def test_a_curve_of_zeros_takes_its_unit_from_the_training_curves(
    make_curves: MakeCurves, as_set: Callable[..., CurveSet]
) -> None:
    zeros = as_set(np.zeros((1, LAST)))
    model = make_predictor("lce").fit(make_curves(40, LAST), taus=[10])
    prediction = model.predict(zeros, 10)
    assert 0 < prediction.std[0] < 0.1
    assert abs(prediction.mean[0]) < 0.02


def test_the_untrained_value_takes_no_part(make_curves: MakeCurves) -> None:
    curves = make_curves(10, 30, first_epoch=0)
    other = curves.values.copy()
    other[:, 0] = 40.0
    np.testing.assert_array_equal(
        predict(curves, 8).mean, predict(replace(curves, values=other), 8).mean
    )
    alone = curves.values.copy()
    alone[:, 1:] = np.inf
    prediction = predict(replace(curves, values=alone), 8)
    gap = np.abs(prediction.mean - alone[:, 0])
    assert (gap < 0.2 * np.abs(alone[:, 0]) + 1e-9).all()


def test_values_that_are_not_finite_are_left_out(make_curves: MakeCurves) -> None:
    curves = make_curves(6, 30, noise=0.01)
    values = curves.values.copy()
    values[0, 5:] = np.inf
    values[1, 7] = np.inf
    values[2, :4] = -np.inf
    broken = predict(replace(curves, values=values), 12)
    assert np.isfinite(broken.mean).all()
    np.testing.assert_allclose(broken.mean[3:], predict(curves, 12).mean[3:], rtol=1e-9)
    # of a run that broke off after epoch 5 nothing but its age differs from what tau = 5 sees
    np.testing.assert_allclose(broken.mean[0], predict(curves, 5).mean[0], rtol=1e-9)
    assert np.abs(broken.mean[1] - predict(curves, 12).mean[1]) < 0.05
    values[4] = np.nan
    with pytest.raises(DataError, match="row run4"):
        predict(replace(curves, values=values), 12)


def test_heavy_tailed_losses_do_not_run_away(as_set: Callable[..., CurveSet]) -> None:
    rng = np.random.default_rng(1)
    losses = 0.5 + 2.0 * np.exp(-0.2 * EPOCHS) + 0.01 * rng.standard_normal((3, LAST))
    losses[0, 0] = 34.0
    losses[1, 4] = 34.0
    losses[2, 7:] = 34.0
    curves = replace(as_set(losses), direction="minimize")
    prediction = predict(curves, 10)
    assert 0.3 < prediction.mean[0] < 1.0
    assert -2.0 < prediction.mean[1] < 4.0
    assert 10.0 < prediction.mean[2] < 45.0


def test_the_last_epoch_itself_is_known(make_curves: MakeCurves) -> None:
    curves = make_curves(8, 12, noise=0.02)
    prediction = predict(curves, 12)
    np.testing.assert_allclose(prediction.mean, curves.final, atol=1e-9)
    assert (prediction.std < 1e-6).all()


def test_same_bytes_in_any_company(make_curves: MakeCurves) -> None:
    curves = make_curves(30, 40, noise=0.02)
    values, epochs = curves.values[:, :10], curves.epochs[:10]
    together = lce.extrapolate(values, epochs, 40)
    assert lce.extrapolate(values, epochs, 40).tobytes() == together.tobytes()
    turned = lce.extrapolate(values[::-1][:17], epochs, 40)[:, ::-1]
    np.testing.assert_allclose(turned, together[:, 13:], rtol=1e-8, atol=1e-12)


def test_cdf_and_quantile_are_inverse(make_curves: MakeCurves) -> None:
    curves = make_curves(40, 40, noise=0.02)
    prediction = predict(curves, 6)
    levels = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    quantiles = prediction.quantile(levels)
    assert quantiles.shape == (40, 7)
    assert (np.diff(quantiles, axis=1) > 0).all()
    for level, q in zip(levels, quantiles.T, strict=True):
        np.testing.assert_allclose(prediction.cdf(q), level, atol=1e-7)


def test_mixture_moments_match_its_samples(make_curves: MakeCurves) -> None:
    prediction = predict(make_curves(3, 40, noise=0.05), 5)
    draws = prediction.quantile((np.arange(4000) + 0.5) / 4000)
    np.testing.assert_allclose(draws.mean(axis=1), prediction.mean, atol=0.01)
    np.testing.assert_allclose(draws.std(axis=1), prediction.std, rtol=0.1)


def test_calibration_gives_the_intervals_their_level(make_curves: MakeCurves) -> None:
    train, test = make_curves(150, 40, seed=1), make_curves(300, 40, seed=2)
    model = make_predictor("lce").fit(train, taus=[4])
    calibrated = model.predict(test, 4)
    raw = make_predictor("lce", calibrate=False).fit(train, taus=[4]).predict(test, 4)
    np.testing.assert_array_equal(calibrated.mean, raw.mean)

    for tail in (0.025, 0.1, 0.25):
        low, high = calibrated.quantile([tail, 1 - tail]).T
        covered = np.mean((test.final >= low) & (test.final <= high))
        assert abs(covered - (1 - 2 * tail)) < 0.08
    low, high = raw.quantile([0.1, 0.9]).T
    assert abs(np.mean((test.final >= low) & (test.final <= high)) - 0.8) > 0.08


def test_too_few_training_curves_leave_the_spread_alone(make_curves: MakeCurves) -> None:
    curves = make_curves(30, 40)
    for n_train in (0, 10):
        model = make_predictor("lce").fit(curves.take(np.arange(n_train)), taus=[5])
        np.testing.assert_array_equal(model.predict(curves, 5).std, predict(curves, 5).std)
    assert model.predict(curves.take(np.arange(0)), 5).mean.shape == (0,)


@pytest.mark.real_data
def test_not_behind_the_last_value_where_that_is_good(mirror: Path) -> None:
    losses = np.load(mirror / "lcbench" / "Australian.npz")["Y"][:400, :51].astype(float)
    components = lce.extrapolate(-losses[:, :26], np.arange(26), 50)
    mean = -(components[0] * components[1]).sum(axis=1)
    final, last = losses[:, 50], losses[:, 25]
    r2_last = 1 - np.mean((last - final) ** 2) / final.var()
    assert r2_last > 0.9
    assert 1 - np.mean((mean - final) ** 2) / final.var() > r2_last - 0.01
