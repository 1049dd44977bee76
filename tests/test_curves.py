from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError
from curvecast.curves import concat, group_equal_rows
from curvecast.files import read_parquet, write_parquet

Make = Callable[..., CurveSet]


def test_round_trip_through_parquet_is_exact(make_curves: Make, tmp_path: Path) -> None:
    curves = make_curves(n=7, last_epoch=5, first_epoch=0, noise=0.1)
    values = curves.values.copy()
    values[2, 3], values[3, 1] = np.nan, np.inf
    curves = replace(
        curves, values=values, series={"loss": 1 - values}, notes=("two rows dropped",)
    )
    curves.to_parquet(tmp_path / "a" / "curves.parquet")
    back = CurveSet.from_parquet(tmp_path / "a" / "curves.parquet")

    np.testing.assert_array_equal(back.values, curves.values)
    np.testing.assert_array_equal(back.series["loss"], curves.series["loss"])
    np.testing.assert_array_equal(back.epochs, np.arange(6))
    pd.testing.assert_frame_equal(
        back.configs, curves.configs, check_dtype=False, check_categorical=False
    )
    assert isinstance(back.configs["hp_optimizer"].dtype, pd.CategoricalDtype)
    for name in ("metric", "direction", "name", "source", "log_columns", "notes"):
        assert getattr(back, name) == getattr(curves, name)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["curves.parquet"]


def test_from_parquet_refuses_truncated_and_foreign_files(
    make_curves: Make, tmp_path: Path
) -> None:
    path = tmp_path / "curves.parquet"
    make_curves(n=5).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"curves\.parquet: the file is damaged"):
        CurveSet.from_parquet(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(DataError, match=r"curves\.parquet: not a curve file"):
        CurveSet.from_parquet(path)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    mixed = pd.DataFrame({"a": [1, "x", object()]}, dtype=object)
    with pytest.raises((ValueError, TypeError)):
        write_parquet(mixed, tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


def test_metadata_travels(tmp_path: Path) -> None:
    write_parquet(pd.DataFrame({"a": [1, 2]}), tmp_path / "out.parquet", {"key": ["value"]})
    frame, meta = read_parquet(tmp_path / "out.parquet")
    assert meta == {"key": ["value"]}
    assert frame["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": "up"}, "direction is 'up'"),
        ({"values": np.zeros((3, 4))}, r"values have shape \(3, 4\)"),
        ({"epochs": np.array([1, 1, 2])}, "epochs are not increasing"),
        ({"epochs": np.array([-1, 0, 1])}, "epochs are not increasing"),
        ({"log_columns": ("hp_depth",)}, "column hp_depth: log column is not in configs"),
        ({"series": {"loss": np.zeros((2, 3))}}, r"column loss: series has shape \(2, 3\)"),
    ],
)
def test_inconsistent_sets_are_refused(
    make_curves: Make, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        replace(make_curves(n=4, last_epoch=3), **changes)  # type: ignore[arg-type]


def test_configs_are_checked(make_curves: Make) -> None:
    curves = make_curves(n=3, last_epoch=3)
    with pytest.raises(DataError, match="row 2, column id: duplicate id 'run0'"):
        replace(curves, configs=curves.configs.assign(id=["run0", "run1", "run0"]))
    with pytest.raises(DataError, match="column group: missing column"):
        replace(curves, configs=curves.configs.drop(columns="group"))
    with pytest.raises(DataError, match="column depth: configs columns are"):
        replace(curves, configs=curves.configs.assign(depth=1))


def test_hide_after_hides_values_and_series_and_leaves_the_original(make_curves: Make) -> None:
    curves = make_curves(n=4, last_epoch=6, first_epoch=0)
    curves = replace(curves, series={"loss": 1 - curves.values})
    hidden = curves.hide_after(2)
    np.testing.assert_array_equal(hidden.values[:, :3], curves.values[:, :3])
    assert np.isnan(hidden.values[:, 3:]).all()
    assert np.isnan(hidden.series["loss"][:, 3:]).all()
    np.testing.assert_array_equal(hidden.series["loss"][:, :3], 1 - curves.values[:, :3])
    assert np.isfinite(curves.values).all()
    assert hidden.last_epoch == 6


def test_until_cuts_values_and_series(make_curves: Make) -> None:
    curves = make_curves(5, 9)
    curves = replace(curves, series={"loss": curves.values + 1})
    cut = curves.until(4)
    assert cut.last_epoch == 4
    np.testing.assert_array_equal(cut.final, curves.values[:, 3])
    np.testing.assert_array_equal(cut.series["loss"], cut.values + 1)


def test_take_by_position_and_by_mask(make_curves: Make) -> None:
    curves = make_curves(n=5, last_epoch=4)
    curves = replace(curves, series={"loss": 1 - curves.values})
    chosen = curves.take([3, 1])
    assert chosen.configs["id"].tolist() == ["run3", "run1"]
    assert chosen.configs.index.tolist() == [0, 1]
    assert chosen.groups.tolist() == [3, 1]
    np.testing.assert_array_equal(chosen.values, curves.values[[3, 1]])
    np.testing.assert_array_equal(chosen.series["loss"], 1 - curves.values[[3, 1]])
    mask = np.array([False, True, False, True, False])
    assert curves.take(mask).configs["id"].tolist() == ["run1", "run3"]
    assert len(curves.take([])) == 0


def test_negated_turns_the_direction_round(make_curves: Make) -> None:
    curves = make_curves(n=3, last_epoch=3)
    negated = curves.negated()
    assert (curves.direction, curves.sign) == ("maximize", 1.0)
    assert (negated.direction, negated.sign) == ("minimize", -1.0)
    np.testing.assert_array_equal(negated.final, -curves.values[:, -1])
    assert negated.negated().direction == "maximize"


def test_seen_and_final(make_curves: Make) -> None:
    curves = make_curves(n=3, last_epoch=4, first_epoch=0)
    assert curves.seen(2).tolist() == [True, True, True, False, False]
    np.testing.assert_array_equal(curves.final, curves.values[:, 4])


def test_concat(make_curves: Make) -> None:
    curves = make_curves(n=5, last_epoch=4)
    both = concat([curves.take([0, 1]), curves.take([2, 3, 4])])
    np.testing.assert_array_equal(both.values, curves.values)
    assert both.configs["id"].tolist() == curves.configs["id"].tolist()
    with pytest.raises(DataError, match="duplicate id"):
        concat([curves, curves])
    with pytest.raises(DataError, match="different epochs"):
        concat([curves, make_curves(n=5, last_epoch=5)])


def test_group_equal_rows_numbers_in_order_and_counts_missing_as_equal() -> None:
    frame = pd.DataFrame({"a": [2.0, 1.0, 2.0, np.nan, np.nan], "b": ["x", "x", "x", "y", "y"]})
    assert group_equal_rows(frame).tolist() == [0, 1, 0, 2, 2]
    assert group_equal_rows(pd.DataFrame(index=range(3))).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("metric", "values", "limits"),
    [
        ("val_acc", [0.1, 0.9], (0, 1)),
        ("metrics/mAP50(B)", [0.0, np.nan, 1.0], (0, 1)),
        ("top5", [12.0, 88.0], (0, 100)),
        ("val_acc", [0.1, 0.4], (-np.inf, np.inf)),  # or per cent
        ("val_acc", [0.9, 101.0], (-np.inf, np.inf)),
        ("f1", [-0.1, 0.9], (-np.inf, np.inf)),
        ("reward", [0.1, 0.9], (-np.inf, np.inf)),
        ("accumulated_reward", [1.0, 80.0], (-np.inf, np.inf)),
        ("previous", [1.0, 80.0], (-np.inf, np.inf)),
        ("balanced_accuracy", [0.1, 0.9], (0, 1)),
        ("val_mIoU", [0.1, 0.9], (0, 1)),
        ("test top-5", [0.1, 0.9], (0, 1)),
        ("mape", [0.1, 0.9], (-np.inf, np.inf)),
        ("accuracy", [np.nan, np.inf], (-np.inf, np.inf)),
    ],
)
def test_a_share_lies_between_its_limits(
    metric: str, values: list[float], limits: tuple[float, float]
) -> None:
    configs = pd.DataFrame({"id": ["a"], "group": [0]})
    epochs = np.arange(1, len(values) + 1)
    curves = CurveSet(configs, np.array([values]), epochs, metric, "maximize", "x")
    assert curves.limits == limits
    assert replace(curves, direction="minimize").limits == (-np.inf, np.inf)
