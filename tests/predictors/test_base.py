from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError, features, make_predictor
from curvecast.predictors import options_of
from curvecast.predictors.base import Prediction
from curvecast.predictors.linear import OLS, Ridge
from curvecast.predictors.nusvr import NuSVRSearch
from curvecast.testing import saturating_curves


def test_gaussian_quantiles_and_cdf_are_inverse() -> None:
    p = Prediction(np.array([0.5, -1.0]), np.array([0.1, 2.0]))
    quantiles = p.quantile([0.05, 0.5, 0.9])
    assert quantiles.shape == (2, 3)
    np.testing.assert_allclose(quantiles[:, 1], p.mean)
    np.testing.assert_allclose(quantiles[:, 0], p.mean - 1.6448536 * p.std, rtol=1e-7)
    np.testing.assert_allclose(p.cdf(quantiles[:, 2]), 0.9)


def test_cdf_without_spread_is_a_step() -> None:
    p = Prediction(np.array([0.5, 0.5, 0.5]), np.zeros(3))
    np.testing.assert_array_equal(p.cdf(np.array([0.4, 0.5, 0.6])), [0.0, 1.0, 1.0])


def test_affine_moves_mean_and_scales_std() -> None:
    p = Prediction(np.array([0.5]), np.array([0.1])).affine(2.0, 10.0)
    assert (p.mean[0], p.std[0]) == (7.0, 1.0)


def test_a_predictor_tells_its_options_and_its_score() -> None:
    curves = saturating_curves(60)
    model = make_predictor("extra_trees", seed=3, max_trees=20)
    assert repr(model) == "Forest(seed=3, kind='extra_trees', max_trees=20)"
    assert repr(make_predictor("cnn")) == "CNN(seed=0)"
    assert model.get_params()["max_trees"] == 20
    assert make_predictor("cnn", members=2).get_params()["members"] == 2
    assert type(model)(**model.get_params()).get_params() == model.get_params()
    train, test = curves.take(np.arange(40)), curves.take(np.arange(40, 60))
    fitted = model.fit(train, [5])
    errors = test.final - fitted.predict(test, 5).mean
    expected = 1 - np.mean(errors**2) / np.var(test.final)
    assert fitted.score(test, 5) == pytest.approx(expected)
    with pytest.raises(DataError, match="different final values"):
        fitted.score(test.take([0, 0][:1]), 5)


def test_options_are_the_keywords_without_seed() -> None:
    assert options_of(OLS) == {"target": "level", "summaries": False}
    assert options_of(NuSVRSearch)["draws"] == 200
    with pytest.raises(DataError, match="no option 'drawz'"):
        make_predictor("nusvr_rbf", drawz=3)
    with pytest.raises(DataError, match="unknown model"):
        make_predictor("svm")


def test_predict_names_the_fitted_taus_and_the_empty_run(make_curves) -> None:
    curves = make_curves(n=20)
    model = make_predictor("ols").fit(curves, taus=[5])
    with pytest.raises(DataError, match="not fitted for tau 7, only for \\[5\\]"):
        model.predict(curves, tau=7)
    curves.values[3, :5] = np.nan
    with pytest.raises(DataError, match="row run3"):
        model.predict(curves, tau=5)


def test_a_missing_column_is_named_but_a_missing_category_is_absent() -> None:
    X = pd.DataFrame({"ts_y_1": [1.0, 2.0, 4.0, 3.0], "hp_optimizer=sgd": [0.0, 1.0, 1.0, 0.0]})
    model = OLS().fit_xy(X, np.array([1.0, 3.0, 5.0, 3.0]))
    np.testing.assert_allclose(
        model.predict_xy(X[["ts_y_1"]]).mean,
        model.predict_xy(X.assign(**{"hp_optimizer=sgd": 0.0})).mean,
    )
    with pytest.raises(DataError, match="column ts_y_1"):
        model.predict_xy(X[["hp_optimizer=sgd"]])


def test_nan_cells_take_the_median_of_the_training_runs() -> None:
    X = pd.DataFrame({"ts_y_1": [1.0, 2.0, 3.0, np.nan, 10.0]})
    y = np.array([1.0, 2.0, 3.0, 2.5, 10.0])
    model = OLS().fit_xy(X, y)
    np.testing.assert_allclose(
        model.predict_xy(X.iloc[[3]]).mean, model.predict_xy(X.fillna(2.5).iloc[[3]]).mean
    )


def test_too_few_runs_and_overflow_are_data_errors() -> None:
    X = pd.DataFrame({"ts_y_1": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="1 runs with a final value"):
        OLS().fit_xy(X, np.array([1.0, np.nan, np.inf]))
    with pytest.raises(DataError, match="0 feature columns"):
        OLS().fit_xy(X[[]], np.array([1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match=r"column ts_y_1: .*overflows"):
        OLS().fit_xy(1e200 * X, np.array([1.0, 2.0, 3.0]))


def test_constant_features_give_the_mean_with_its_leave_one_out_error() -> None:
    X = pd.DataFrame({"ts_y_1": [7.0, 7.0, 7.0, 7.0]})
    y = np.array([1.0, 2.0, 3.0, 6.0])
    p = Ridge().fit_xy(X, y).predict_xy(X)
    errors = [y[i] - np.delete(y, i).mean() for i in range(4)]
    np.testing.assert_allclose(p.mean, 3.0)
    np.testing.assert_allclose(p.std, np.sqrt(np.mean(np.square(errors))))


def test_fit_on_curves_equals_fit_on_feature_frames(make_curves) -> None:
    curves = make_curves(n=40, noise=0.01)
    train, test = curves.take(np.arange(30)), curves.take(np.arange(30, 40))
    from_curves = make_predictor("ridge").fit(train, taus=[4, 8]).predict(test, tau=8)
    X = features.build(curves, [8])[8]
    model = make_predictor("ridge").fit_xy(X.iloc[:30], curves.final[:30], curves.groups[:30])
    from_frames = model.predict_xy(X.iloc[30:])
    np.testing.assert_array_equal(from_curves.mean, from_frames.mean)
    np.testing.assert_array_equal(from_curves.std, from_frames.std)


@pytest.mark.parametrize("name", ["ols", "extra_trees", "gradient_boosting", "nusvr_rbf", "gp"])
def test_any_regressor_can_be_given_summaries_alone(name: str, make_curves) -> None:
    X = features.build(make_curves(30, noise=0.01), [6])[6]
    y = X["ts_y_6"].to_numpy() + 0.1
    model = make_predictor(name, target="level", summaries=True).fit_xy(X, y)
    jump = X.assign(ts_d1_6=99.0)  # differences are not among the summaries
    np.testing.assert_array_equal(model.predict_xy(jump).mean, model.predict_xy(X).mean)


def test_diagnostics_average_over_taus(make_curves) -> None:
    model = make_predictor("ols").fit(make_curves(n=40, noise=0.01), taus=[2, 4])
    ranks = [model._at_tau[tau].diagnostics()["rank"] for tau in (2, 4)]
    assert model.diagnostics() == {"rank": np.mean(ranks)}
    assert make_predictor("mean").diagnostics() == {}


def test_left_out_predictions_are_those_of_a_fit_without_the_run(make_curves) -> None:
    curves = make_curves(25, 8, noise=0.01)
    model = make_predictor("ols").fit(curves, [3])
    left_out = model.predict_left_out(3)
    assert left_out is not None
    for run in (0, 13, 24):
        others = np.delete(np.arange(25), run)
        alone = make_predictor("ols").fit(curves.take(others), [3])
        expected = alone.predict(curves.take([run]), 3).mean[0]
        assert left_out.mean[run] == pytest.approx(expected, abs=1e-9)
    assert make_predictor("lce").fit(curves, [3]).predict_left_out(3) is None


def test_the_scale_of_a_setting_is_that_of_the_training_runs(make_curves) -> None:
    curves = make_curves(60)
    model = make_predictor("ridge").fit(curves, [5])
    without = replace(curves, log_columns=())
    np.testing.assert_array_equal(model.predict(without, 5).mean, model.predict(curves, 5).mean)
