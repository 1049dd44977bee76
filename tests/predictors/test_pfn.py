"""The prior-fitted network: contexts from none on, units, directions, bad values, its histogram."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curvecast import CurveSet, DataError, make_predictor
from curvecast.curves import concat
from curvecast.files import write_arrays
from curvecast.predictors import pfn
from curvecast.predictors.distributions import Prediction
from curvecast.testing import saturating_curves

LEVELS = [0.05, 0.1, 0.5, 0.9, 0.95]
TAU = 6


def predict(curves: CurveSet, n: int, tau: int = TAU) -> Prediction:
    """The runs from number 60 on, from the first n runs."""
    model = make_predictor("pfn").fit(curves.take(np.arange(n)), [tau])
    return model.predict(curves.take(np.arange(60, len(curves))), tau)


def losses(n: int = 100) -> CurveSet:
    """Losses between .3 and 3 that fall as powers."""
    curves = saturating_curves(n)
    rng = np.random.default_rng(3)
    end, rate = rng.uniform(0.3, 1.0, (2, n, 1))
    values = end + 2 * (curves.epochs + 0.0) ** -rate
    return replace(curves, values=values, direction="minimize", metric="loss")


@pytest.mark.parametrize("n", [0, 1, 2, 3, 30])
def test_any_number_of_finished_runs_is_a_context(n: int) -> None:
    for curves in (saturating_curves(), losses()):
        p, y = predict(curves, n), curves.final[60:]
        last = curves.values[60:, TAU - 1]
        assert np.isfinite(p.quantile(LEVELS)).all()
        assert np.abs(y - p.mean).mean() < np.abs(y - last).mean()


def test_a_context_that_is_larger_than_allowed_is_drawn_with_the_seed() -> None:
    curves = saturating_curves(pfn.MAX_CONTEXT + 150)
    train, test = curves.take(np.arange(pfn.MAX_CONTEXT + 100)), curves.take([-1, -2])
    one, same, other = (
        make_predictor("pfn", seed=seed).fit(train, [TAU]).predict(test, TAU) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.mean, same.mean)
    assert (one.mean != other.mean).all()


def test_finished_runs_come_first_into_a_full_context() -> None:
    curves = saturating_curves(pfn.MAX_CONTEXT + 150)
    late = replace(curves, values=np.where(curves.epochs < TAU, curves.values, np.nan))
    late.values[:20] = curves.values[:20]
    train, test = late.take(np.arange(pfn.MAX_CONTEXT + 100)), curves.take([-1, -2])
    # those that have not come to tau say nothing there
    alone = make_predictor("pfn").fit(train.take(np.arange(20)), [TAU]).predict(test, TAU)
    np.testing.assert_array_equal(
        make_predictor("pfn").fit(train, [TAU]).predict(test, TAU).mean, alone.mean
    )


@pytest.mark.parametrize("n", [50, pfn.MAX_CONTEXT + 50])
def test_left_out_runs_are_predicted_from_the_others(n: int) -> None:
    curves = saturating_curves(n + 50)
    model = make_predictor("pfn").fit(curves.take(np.arange(n)), [TAU])
    left_out = model.predict_left_out(TAU)
    assert left_out is not None
    changed = curves.take(np.arange(n))
    changed.values[8, -1] += 0.3
    again = make_predictor("pfn").fit(changed, [TAU]).predict_left_out(TAU)
    assert again is not None
    assert again.mean[8] == left_out.mean[8]
    assert (again.mean != left_out.mean).sum() > 30
    assert make_predictor("pfn").fit(curves.take([0]), [TAU]).predict_left_out(TAU) is None


@pytest.mark.parametrize("n", [0, 5, 50])
def test_a_prediction_depends_on_its_run_and_the_context_alone(n: int) -> None:
    curves = losses(400)
    curves.values[70, 2] = 1e18
    curves.values[71, :] *= -1
    model = make_predictor("pfn").fit(curves.take(np.arange(n)), [TAU])
    together = model.predict(curves.take(np.arange(60, 400)), TAU)
    for row in (60, 70, 71, 333):
        alone = model.predict(curves.take([row]), TAU)
        np.testing.assert_allclose(alone.mean, together.mean[[row - 60]], rtol=1e-12)
        np.testing.assert_allclose(
            alone.quantile(LEVELS), together.quantile(LEVELS)[[row - 60]], rtol=1e-12
        )


@pytest.mark.parametrize("n", [0, 20])
@pytest.mark.parametrize("make", [saturating_curves, losses])
def test_the_sign_does_not_matter(n: int, make: Callable[[], CurveSet]) -> None:
    curves = make()
    expected, turned = predict(curves, n), predict(curves.negated(), n)
    np.testing.assert_allclose(turned.mean, -expected.mean, rtol=1e-12)
    np.testing.assert_allclose(
        turned.quantile([0.1, 0.9]), -expected.quantile([0.9, 0.1]), rtol=1e-9
    )


@pytest.mark.parametrize("n", [0, 20])
def test_per_cent_are_shares(n: int) -> None:
    curves = saturating_curves()
    percent = predict(replace(curves, values=100 * curves.values), n)
    np.testing.assert_allclose(percent.mean, 100 * predict(curves, n).mean, rtol=1e-9)


@pytest.mark.parametrize("n", [0, 20])
def test_unfinished_runs_inform_and_runs_that_have_not_reached_tau_do_not(n: int) -> None:
    curves = saturating_curves()
    running = curves.take(np.arange(30, 40)).hide_after(TAU + 3)
    young = curves.take(np.arange(30, 40)).hide_after(TAU - 3)
    context, test = curves.take(np.arange(n)), curves.take(np.arange(60, 70))
    base, with_running, with_young = (
        make_predictor("pfn").fit(c, [TAU]).predict(test, TAU)
        for c in (context, concat([context, running]), concat([context, young]))
    )
    assert (with_running.mean != base.mean).all()
    np.testing.assert_array_equal(with_young.mean, base.mean)


@pytest.mark.parametrize("n", [0, 20])
def test_explosions_give_finite_predictions(n: int) -> None:
    for curves in (losses(), saturating_curves(), saturating_curves().negated()):
        curves.values[[3, 64], 3:] = 1e18
        curves.values[[5, 66], 2] = -1e18 if curves.direction == "maximize" else 1e18
        curves.values[[7, 68], 4] = np.inf
        curves.values[[8, 69], :4] = np.nan
        p = predict(curves, n)
        assert np.isfinite(p.mean).all()
        assert np.isfinite(p.quantile(LEVELS)).all()
        assert (np.diff(p.quantile(LEVELS), axis=1) >= 0).all()


@pytest.mark.parametrize("n", [0, 20])
def test_the_distribution_function_undoes_the_quantiles(n: int) -> None:
    levels = np.array([0.003, 0.02, 0.2, 0.5, 0.8, 0.98, 0.997])
    for curves in (losses(), saturating_curves()):
        p = predict(curves, n)
        for level, value in zip(levels, p.quantile(levels).T, strict=True):
            np.testing.assert_allclose(p.cdf(value), level, atol=1e-9)


def test_settings_with_other_categories_or_order_are_legal() -> None:
    curves = saturating_curves()
    train, test = curves.take(np.arange(30)), curves.take(np.arange(60, 100))
    model = make_predictor("pfn").fit(train, [TAU])
    expected = model.predict(test, TAU).mean
    turned = replace(test, configs=test.configs[test.configs.columns[::-1]])
    np.testing.assert_array_equal(model.predict(turned, TAU).mean, expected)
    changed = test.configs.assign(hp_optimizer="sgd").astype({"hp_optimizer": "category"})
    assert np.isfinite(model.predict(replace(test, configs=changed), TAU).mean).all()
    with pytest.raises(DataError, match="hp_lr"):
        model.predict(replace(test, configs=test.configs.drop(columns="hp_lr")), TAU)


def test_runs_without_settings_and_with_many_are_legal() -> None:
    curves = saturating_curves()
    bare = replace(curves, configs=curves.configs[["id", "group"]])
    rng = np.random.default_rng(0)
    many = curves.configs.assign(**{f"hp_{i}": rng.random(len(curves)) for i in range(30)})
    for one in (bare, replace(curves, configs=many)):
        assert np.isfinite(predict(one, 30).mean).all()


def test_weights_that_are_none_or_damaged_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no weights"):
        make_predictor("pfn", weights=str(tmp_path / "none"))
    damaged, other = tmp_path / "damaged", tmp_path / "other"
    content = bytearray(pfn.WEIGHTS.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        make_predictor(f"pfn:{damaged}")
    write_arrays({"x": np.zeros(3)}, other)
    with pytest.raises(DataError, match="not weights"):
        make_predictor(f"ensemble:{other}")
    monkeypatch.setattr(pfn, "WEIGHTS", damaged)
    with pytest.raises(DataError, match="another checksum"):
        pfn.shipped.__wrapped__()


def test_shipped_weights_are_small() -> None:
    assert pfn.WEIGHTS.stat().st_size < 10e6
