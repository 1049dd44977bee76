from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, features


def small(values: np.ndarray, epochs: np.ndarray | None = None, **columns: object) -> CurveSet:
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    configs = pd.DataFrame({"id": [f"r{i}" for i in range(n)], "group": np.arange(n), **columns})
    return CurveSet(
        configs=configs,
        values=values,
        epochs=np.arange(1, values.shape[1] + 1) if epochs is None else epochs,
        metric="accuracy",
        direction="maximize",
        name="synthetic/small",
        log_columns=tuple(c for c in columns if c.endswith("_log")),
    )


def test_values_and_differences_by_hand() -> None:
    X = features.build(small([[1, 2, 4, 8, 16], [5, 4, 4, 3, 0]]), [4])[4]
    assert list(X.columns) == [
        *("ts_y_1", "ts_y_2", "ts_y_3", "ts_y_4"),
        *("ts_d1_2", "ts_d1_3", "ts_d1_4"),
        *("ts_d2_3", "ts_d2_4"),
    ]
    np.testing.assert_array_equal(
        X.to_numpy(), [[1, 2, 4, 8, 1, 2, 4, 1, 2], [5, 4, 4, 3, -1, 0, -1, 1, -1]]
    )


def test_epoch_zero_and_gaps_between_epochs_keep_their_numbers() -> None:
    X = features.build(small([[1, 2, 4, 8]], epochs=np.array([0, 1, 5, 10])), [5])[5]
    assert list(X.columns) == ["ts_y_0", "ts_y_1", "ts_y_5", "ts_d1_1", "ts_d1_5", "ts_d2_5"]


def test_several_taus_are_the_single_ones(make_curves) -> None:
    curves = make_curves(n=8)
    many = features.build(curves, [2, 5, 20])
    assert list(many) == [2, 5, 20]
    for tau, frame in many.items():
        pd.testing.assert_frame_equal(frame, features.build(curves, [tau])[tau])
        assert sum(c.startswith("ts_y_") for c in frame) == tau


@pytest.mark.parametrize("tau", [0, 21])
def test_tau_outside_of_the_epochs_is_a_data_error(make_curves, tau: int) -> None:
    with pytest.raises(DataError, match=f"tau {tau} is outside of the epochs 1..20"):
        features.build(make_curves(n=3), [tau])


def test_nothing_after_tau_is_seen(make_curves) -> None:
    curves = make_curves(n=10)
    X = features.build(curves, [6])[6]
    changed = curves.take(np.arange(10))
    changed.values[:, 6:] = np.random.default_rng(0).standard_normal((10, 14))
    changed.values[2, 9] = np.nan
    pd.testing.assert_frame_equal(features.build(changed, [6])[6], X)
    pd.testing.assert_frame_equal(features.build(curves.hide_after(6), [6])[6], X)


def test_log_columns_text_columns_and_their_blocks() -> None:
    curves = small(
        [[1, 2]] * 3,
        hp_rate_log=[0.1, 1.0, 10.0],
        hp_decay=[1.0, 2.0, 3.0],
        hp_optimizer=pd.Categorical(["sgd", "adam", "sgd"]),
        ap_layers=[1, 2, 3],
    )
    X = features.build(curves, [1])[1]
    np.testing.assert_allclose(X["hp_rate_log"], np.log([0.1, 1.0, 10.0]))
    np.testing.assert_array_equal(X["hp_decay"], [1, 2, 3])
    np.testing.assert_array_equal(X["hp_optimizer=adam"], [0, 1, 0])
    np.testing.assert_array_equal(X["hp_optimizer=sgd"], [1, 0, 1])
    assert list(features.select(X, "AP").columns) == ["ap_layers"]
    assert list(features.select(X, "TS").columns) == ["ts_y_1"]
    assert set(features.select(X, "AP+HP").columns) == set(X.columns) - {"ts_y_1"}
    assert list(features.select(X, "TS+AP+HP").columns) == list(X.columns)


def test_categories_without_a_run_keep_their_column(make_curves) -> None:
    curves = make_curves(n=20)
    only = curves.take(np.flatnonzero(curves.configs["hp_optimizer"] == "sgd"))
    assert "hp_optimizer=adam" in features.build(only, [2])[2]


def test_unknown_and_missing_blocks(make_curves) -> None:
    X = features.build(make_curves(n=3), [2])[2]
    with pytest.raises(DataError, match="unknown feature block 'XX'"):
        features.select(X, "TS+XX")
    bare = features.build(small([[1, 2]]), [2])[2]
    assert features.present(X, "TS+AP+HP") == "TS+AP+HP"
    assert features.present(bare, "TS+HP") == "TS"


@pytest.mark.parametrize("dtype", [object, "str"])
def test_text_without_a_categorical_dtype_names_row_and_column(dtype: object) -> None:
    curves = small([[1, 2]] * 2, hp_optimizer=pd.Series(["1", "adam"], dtype=dtype))
    with pytest.raises(DataError, match="row 1, column hp_optimizer: 'adam' is no number"):
        features.build(curves, [1])


def test_log_of_a_number_that_is_not_positive_names_row_and_column() -> None:
    with pytest.raises(DataError, match="row 1, column hp_rate_log"):
        features.build(small([[1, 2]] * 2, hp_rate_log=[0.1, 0.0]), [1])


def test_gaps_are_bridged_and_what_overflowed_is_marked() -> None:
    nan, inf = np.nan, np.inf
    curves = small([[1, 2, 3], [4, inf, 1], [nan, 5, 6], [2, nan, 4], [-inf, nan, 7]])
    X = features.build(curves, [3])[3]
    np.testing.assert_array_equal(
        X[["ts_y_1", "ts_y_2", "ts_y_3", "ts_d2_3", "ts_diverged", "ts_gaps"]].to_numpy(),
        [
            [1, 2, 3, 0, 0, 0],
            [4, 2.5, 1, 0, 1, 0],
            [nan, 5, 6, nan, 0, 1],
            [2, 3, 4, 0, 0, 1],
            [nan, nan, 7, nan, 1, 1],
        ],
    )
    assert not {"ts_diverged", "ts_gaps"} & {*features.build(curves.take([0]), [2])[2]}
    # nothing beyond tau
    assert features.build(curves, [2])[2]["ts_y_2"].tolist()[1:4] == [4, 5, 2]


def test_bridge_by_hand() -> None:
    filled = features.bridge(
        np.array([[np.nan, 1, np.inf, np.nan, 4, np.nan]]), np.array([1, 2, 3, 4, 8, 9])
    )
    np.testing.assert_array_equal(filled, [[np.nan, 1, 1.5, 2, 4, 4]])


def test_a_map_of_values_reaches_their_differences() -> None:
    curves = small([[1, 2, 4, 8], [3, 3, 3, 3]])
    curves.series["loss"] = 10 * curves.values
    X = features.build(curves, [4])[4]
    mapped = features.map_series(X, {"ts_loss_": np.log})
    np.testing.assert_allclose(mapped.loc[0, "ts_loss_d1_2":"ts_loss_d1_4"], np.log(2))
    np.testing.assert_allclose(mapped.loc[0, "ts_loss_d2_3":"ts_loss_d2_4"], 0, atol=1e-12)
    pd.testing.assert_frame_equal(mapped.filter(regex="ts_[yd]"), X.filter(regex="ts_[yd]"))


def test_a_flat_run_has_the_same_summaries_alone_and_beside_others() -> None:
    X = features.build(small([[0.1] * 8, *np.random.default_rng(0).random((9, 8))]), [8])[8]
    floor = features.noise_floor(X.iloc[1:])
    pd.testing.assert_frame_equal(
        features.summarise(X.iloc[[0]], floor), features.summarise(X, floor).iloc[[0]]
    )


def test_further_series_get_their_own_columns_but_time_does_not(make_curves) -> None:
    curves = make_curves(n=4)
    loss = 1.0 - curves.values
    curves.series["loss"] = loss
    curves.series["seconds"] = np.cumsum(np.ones_like(loss), axis=1)
    X = features.build(curves, [3])[3]
    np.testing.assert_array_equal(X["ts_loss_y_3"], loss[:, 2])
    np.testing.assert_allclose(X["ts_loss_d1_3"], loss[:, 2] - loss[:, 1])
    assert not any("seconds" in c for c in X)


def test_affine_change_of_unit_moves_values_and_scales_differences(make_curves) -> None:
    curves = make_curves(n=6)
    X = features.build(curves, [5])[5]
    curves.values[:] = 100 * curves.values + 3
    Z = features.build(curves, [5])[5]
    for column in X:
        scale, shift = (100, 3) if column.startswith("ts_y") else (100, 0)
        if not column.startswith("ts_"):
            scale, shift = 1, 0
        np.testing.assert_allclose(Z[column], shift + scale * X[column], atol=1e-10)
