"""Input scaling: what is imputed, dropped and refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.predictors.scaling import Columns, Scaling, WarpScaling


def test_columns_are_standardised_and_gaps_take_the_median() -> None:
    matrix = np.array([[1.0, 5.0, 0.0], [2.0, 5.0, np.nan], [6.0, 5.0, 4.0], [np.inf, 5.0, 8.0]])
    scaling = Scaling.of(matrix)
    scaled = scaling(matrix)
    assert scaled.shape == (4, 2)  # the constant column is dropped
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1.0)
    filled = matrix.copy()
    filled[3, 0], filled[1, 2] = 2.0, 4.0
    np.testing.assert_array_equal(scaling(filled), scaled)


def test_minmax_gives_the_range_from_0_to_1() -> None:
    frame = pd.DataFrame({"hp_a": [3.0, 5.0, 4.0], "hp_b": [np.nan] * 3})
    columns = Columns.of(frame, "minmax")
    assert columns.names == ("hp_a",)
    np.testing.assert_allclose(columns.apply(frame)[:, 0], [0.0, 1.0, 0.5])


def test_columns_are_known_by_name_and_only_marks_may_be_missing() -> None:
    frame = pd.DataFrame(
        {"hp_a": [1.0, 2.0, 4.0], "hp_o=sgd": [0.0, 1.0, 0.0], "ts_diverged": [0.0, 0.0, 1.0]}
    )
    columns = Columns.of(frame)
    np.testing.assert_array_equal(columns.apply(frame[frame.columns[::-1]]), columns.apply(frame))
    rest = columns.apply(frame[["hp_a"]])
    np.testing.assert_array_equal(rest[0], columns.apply(frame)[0])
    with pytest.raises(DataError, match="column hp_a: a column that was fitted on is missing"):
        columns.apply(frame[["hp_o=sgd"]])


def test_a_variance_that_overflows_is_refused() -> None:
    with pytest.raises(DataError, match=r"column hp_a: .*overflows"):
        Columns.of(pd.DataFrame({"hp_a": [1e200, -1e200]}))


def test_warped_columns_are_standardised_and_gaps_are_zero() -> None:
    values = np.random.default_rng(0).standard_cauchy((50, 3))
    values[4, 1] = np.nan
    scaling = WarpScaling.of(values)
    scaled = scaling.apply(values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-12)
    assert scaled[4, 1] == 0.0
    np.testing.assert_array_equal(scaling.apply(values[:, :2]), scaled[:, :2])
