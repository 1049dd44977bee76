"""Collections that the project trained: the target, and which series become features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curvecast import CurveSet, DataError
from curvecast.data import readers


def read(path: Path, keys: dict[str, Any]) -> CurveSet:
    """The set as a stanza with these keys reads it."""
    return readers.read(
        "my/set", {"reader": "curveset", "files": [{"local": str(path)}], **keys}, [path]
    )


@pytest.fixture
def written(make_curves: Callable[..., CurveSet], tmp_path: Path) -> Path:
    curves = make_curves(10)
    series = {"loss": 1 - curves.values, "norm": 0 * curves.values, "seconds": curves.values + 3}
    replace(curves, series=series).to_parquet(tmp_path / "set.parquet")
    return tmp_path / "set.parquet"


def test_logged_series_are_no_features_unless_asked_for(written: Path) -> None:
    assert set(read(written, {}).series) == {"seconds"}
    both = read(written, {"series": ["norm"]})
    assert set(both.series) == {"seconds", "norm"}
    assert both.name == "my/set"


def test_another_series_can_be_the_target(written: Path) -> None:
    values = read(written, {})
    losses = read(written, {"target": "loss", "direction": "minimize"})
    np.testing.assert_array_equal(losses.values, 1 - values.values)
    assert (losses.metric, losses.direction) == ("loss", "minimize")
    with pytest.raises(DataError, match="column loss: is a larger value better"):
        read(written, {"target": "loss"})


def test_an_unknown_series_is_named_with_what_there_is(written: Path) -> None:
    with pytest.raises(DataError, match=r"column los: no such series, there are loss, norm"):
        read(written, {"series": ["los"]})


def test_runs_that_were_not_trained_to_the_end_can_be_left_out(
    make_curves: Callable[..., CurveSet], tmp_path: Path
) -> None:
    curves = make_curves(4)
    values = curves.values.copy()
    values[1, 5:] = np.nan
    values[2, 4:] = [np.inf, *[np.nan] * (values.shape[1] - 5)]
    path = tmp_path / "set.parquet"
    replace(curves, values=values).to_parquet(path)
    assert len(read(path, {})) == 4
    kept = read(path, {"complete": True})
    assert kept.configs["id"].tolist() == ["run0", "run2", "run3"]
    assert kept.notes[-1] == "1 runs that were not trained to the end are left out"
    values[:, -1] = np.nan
    replace(curves, values=values).take([0, 1]).to_parquet(path)
    with pytest.raises(DataError, match="no run was trained to the end"):
        read(path, {"complete": True})
