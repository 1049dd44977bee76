from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError, features, make_predictor


def test_last_value_predicts_the_value_at_tau(make_curves) -> None:
    curves = make_curves(n=30, noise=0.02)
    p = make_predictor("last_value").fit(curves, taus=[6]).predict(curves, tau=6)
    np.testing.assert_array_equal(p.mean, curves.values[:, 5])
    drift = curves.final - curves.values[:, 5]
    np.testing.assert_allclose(p.std, np.sqrt(np.mean(drift**2)))


def test_last_value_takes_the_latest_epoch_wherever_its_column_stands() -> None:
    X = pd.DataFrame(
        {"ts_y_10": [1.0, 2.0], "ts_y_9": [3.0, 4.0], "ts_y_2": [5.0, 6.0], "ts_loss_y_11": 0.0}
    )
    model = make_predictor("last_value").fit_xy(X, np.array([1.5, 2.5]))
    np.testing.assert_array_equal(model.predict_xy(X).mean, [1.0, 2.0])
    np.testing.assert_allclose(model.predict_xy(X).std, 0.5)


def test_last_value_of_a_diverged_run_is_the_last_finite_one(make_curves) -> None:
    curves = make_curves(n=30)
    curves.values[2, 3:] = np.inf
    p = make_predictor("last_value").fit(curves, taus=[6]).predict(curves, tau=6)
    assert p.mean[2] == curves.values[2, 2]
    assert np.isfinite(p.std).all()


def test_last_value_without_the_block_ts_says_so(make_curves) -> None:
    curves = make_curves(n=10)
    X = features.select(features.build(curves, [3])[3], "AP+HP")
    with pytest.raises(DataError, match="ts_y_"):
        make_predictor("last_value").fit_xy(X, curves.final)


def test_mean_and_its_leave_one_out_error(make_curves) -> None:
    curves = make_curves(n=25, noise=0.05)
    p = make_predictor("mean").fit(curves, taus=[4]).predict(curves, tau=4)
    y = curves.final
    errors = [y[i] - np.delete(y, i).mean() for i in range(len(y))]
    np.testing.assert_allclose(p.mean, y.mean())
    np.testing.assert_allclose(p.std, np.sqrt(np.mean(np.square(errors))))


def test_the_mean_is_the_same_for_all_runs_where_some_explode(make_curves) -> None:
    curves = make_curves(n=60, noise=0.02, direction="minimize")
    curves.values[:6, 4:] = 10.0 ** np.linspace(3, 18, 6)[:, None] * np.arange(1, 17)
    model = make_predictor("mean").fit(curves.take(range(40)), taus=[6])
    p = model.predict(curves.take(range(40, 60)), tau=6)
    assert np.ptp(p.mean) == 0
    median = np.median(curves.final[:40])
    assert abs(p.mean[0] - median) < np.ptp(curves.final[6:])
    assert 0.6 < np.mean(np.abs(p.cdf(curves.final[40:]) - 0.5) < 0.4) <= 1
