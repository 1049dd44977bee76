"""The feature blocks of Baker et al. (2018, section 3.1) at a truncation epoch tau.

TS: the values at all epochs <= tau with their first and second differences; AP: architecture
parameters; HP: training hyper-parameters. This is the only feature code of the project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from curvecast.curves import CurveSet, DataError

COMBINATIONS = ("TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP")
_PREFIX = {"TS": "ts_", "AP": "ap_", "HP": "hp_"}


def build(curves: CurveSet, taus: Iterable[int]) -> dict[int, pd.DataFrame]:
    """All blocks for every tau.

    Returns a mapping from tau to a frame of shape (n_configs, n_features): columns
    `ts_y_{epoch}`, `ts_d1_{epoch}`, `ts_d2_{epoch}` (and the same with a series' name in front
    of the kind for each further series), `ap_*`, `hp_*`. Text columns are one-hot, columns in
    `curves.log_columns` are natural logarithms. Gaps are bridged (`bridge`); the column
    `ts_diverged` marks runs with a value that overflowed, `ts_gaps` counts the epochs without a
    value; before the first finite value cells are NaN.

    Raises
    ------
    DataError : a tau that lies before the first or after the last epoch.
    """
    settings = static(curves)
    return {int(tau): pd.concat([_time_series(curves, int(tau)), settings], axis=1) for tau in taus}


def select(features: pd.DataFrame, blocks: str) -> pd.DataFrame:
    """Columns of the blocks in a name like "TS+AP". Raises DataError for an unknown block."""
    names = blocks.split("+")
    unknown = [name for name in names if name not in _PREFIX]
    if unknown:
        raise DataError(f"unknown feature block {unknown[0]!r}, known: {', '.join(_PREFIX)}")
    prefixes = tuple(_PREFIX[name] for name in names)
    return features[[c for c in features.columns if c.startswith(prefixes)]]


def present(features: pd.DataFrame, blocks: str) -> str:
    """Those blocks of a name like "TS+AP" that have a column here, as such a name."""
    return "+".join(
        name
        for name in blocks.split("+")
        if any(c.startswith(_PREFIX[name]) for c in features.columns)
    )


def _time_series(curves: CurveSet, tau: int) -> pd.DataFrame:
    if not curves.epochs[0] <= tau <= curves.last_epoch:
        raise DataError(
            f"tau {tau} is outside of the epochs {curves.epochs[0]}..{curves.last_epoch}",
            file=curves.name,
        )
    seen = curves.seen(tau)
    epochs = curves.epochs[seen]
    columns: dict[str, np.ndarray] = {}
    for name, array in {"": curves.values, **curves.series}.items():
        if name == "seconds":
            continue
        label = f"ts_{name}_" if name else "ts_"
        columns |= _with_differences(label, bridge(array[:, seen], epochs), epochs)
    for name, marked in (("ts_diverged", np.isinf), ("ts_gaps", np.isnan)):
        count = marked(curves.values[:, seen]).sum(axis=1).astype(np.float64)
        if count.any():
            columns[name] = np.minimum(count, 1.0) if name == "ts_diverged" else count
    return pd.DataFrame(columns)


def _with_differences(label: str, values: np.ndarray, epochs: Iterable[Any]) -> dict[str, Any]:
    """Columns of values at epochs, shape (n_runs, n), and of their differences."""
    return {
        f"{label}{kind}_{epoch}": column
        for order, kind in enumerate(("y", "d1", "d2"))
        for epoch, column in zip(
            list(epochs)[order:], np.diff(values, n=order, axis=1).T, strict=True
        )
    }


def value_columns(features: pd.DataFrame) -> list[str]:
    """Names of the columns `ts_y_{epoch}` in the order of their epochs; none without TS."""
    return series_columns(features).get("ts_", [])


def series_columns(features: pd.DataFrame) -> dict[str, list[str]]:
    """Names of the columns of values in the order of their epochs, by what stands before `y_`.

    That is "ts_" for the curve itself, "ts_{name}_" for a further series.
    """
    matches = [m for m in (re.fullmatch(r"(ts_.*?)y_(\d+)", str(c)) for c in features) if m]
    names: dict[str, list[str]] = {}
    for match in sorted(matches, key=lambda match: int(match[2])):
        names.setdefault(match[1], []).append(match[0])
    return names


def map_series(
    features: pd.DataFrame, maps: Mapping[str, Callable[[np.ndarray], np.ndarray]]
) -> pd.DataFrame:
    """The features with the values of series mapped, by their labels in `series_columns`.

    Differences follow the mapped values; what is not mapped stays.
    """
    changed: dict[str, Any] = {}
    for label, names in series_columns(features).items():
        if label in maps:
            values = maps[label](features[names].to_numpy(dtype=np.float64))
            epochs = [name.removeprefix(f"{label}y_") for name in names]
            changed |= _with_differences(label, values, epochs)
    return features.assign(**{name: column for name, column in changed.items() if name in features})


def bridge(values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Fill what is not finite: between two finite values of a row along the line through them.

    After the last finite value that value stands; before the first one cells are NaN. `values`
    has shape (n_runs, n), `epochs` shape (n,).
    """
    finite, n = np.isfinite(values), values.shape[1]
    if finite.all():
        return values
    position = np.arange(n)
    before = np.maximum.accumulate(np.where(finite, position, -1), axis=1)
    after = np.where(finite, position, n)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    left = np.maximum(before, 0)
    right = np.where(after < n, after, left)
    start, end = (np.take_along_axis(values, side, axis=1) for side in (left, right))
    share = (epochs - epochs[left]) / np.maximum(epochs[right] - epochs[left], 1)
    with np.errstate(invalid="ignore"):
        filled = start + np.where(right > left, share, 0.0) * (end - start)
    return np.where(before >= 0, filled, np.nan)


def within(values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Values with the gaps between two finite ones bridged; what is after the last one stays."""
    after = np.logical_or.accumulate(np.isfinite(values[:, ::-1]), axis=1)[:, ::-1]
    return np.where(after, bridge(values, epochs), values)


def static(curves: CurveSet) -> pd.DataFrame:
    """The blocks AP and HP alone, which no tau changes; see `build`."""
    columns: dict[str, np.ndarray] = {}
    for column in curves.configs.columns:
        if not column.startswith(("ap_", "hp_")):
            continue
        values = curves.configs[column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            codes = values.cat.codes.to_numpy()
            for code, category in enumerate(values.cat.categories):
                columns[f"{column}={category}"] = (codes == code).astype(np.float64)
            continue
        if not is_numeric_dtype(values.dtype):
            _check_numbers(values, curves.name)
        numbers = values.to_numpy(dtype=np.float64)
        if column in curves.log_columns:
            if len(wrong := np.flatnonzero(numbers <= 0)):
                raise DataError(
                    "a column on a log scale holds a value <= 0",
                    file=curves.name,
                    row=int(wrong[0]),
                    column=column,
                )
            numbers = np.log(numbers)
        columns[column] = numbers
    return pd.DataFrame(columns, index=curves.configs.index)


def _check_numbers(values: pd.Series, source: str) -> None:
    """Raise DataError for text that is no number in a column of `source`."""
    text = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
    if len(text):
        raise DataError(
            f"{text.iloc[0]!r} is no number; text needs a categorical dtype",
            file=source,
            row=text.index[0],
            column=str(values.name),
        )


def noise_floor(features: pd.DataFrame) -> float:
    """The roughness below which `summarise` tells curves apart no longer, from training rows."""
    y = features[value_columns(features)].to_numpy(dtype=np.float64)
    known = np.abs(y[~np.isnan(y)])
    return 1e-9 + 1e-6 * float(np.median(known)) if known.size else 1e-9


def summarise(features: pd.DataFrame, floor: float) -> pd.DataFrame:
    """Replace the TS block by nine summaries of the curve, for models that weigh distances.

    `features` is a frame of `build` at one tau. The columns `ts_y_*` give way to `ts_last`,
    `ts_late` (mean of the last quarter), `ts_middle`, `ts_first`, `ts_slope` (change over the
    last quarter), `ts_max`, `ts_min`, `ts_mean` and `ts_noise` (log of the mean absolute second
    difference plus `floor`, which comes from the training rows; NaN where gaps are bridged); of a
    further series the last value stays. Differences go, everything else stays.
    """
    names = value_columns(features)
    others = [c for c in features.columns if not c.startswith("ts_") or c == "ts_diverged"]
    if not names:
        return features[others]
    # rows contiguous: sums come out the same beside any number of other rows
    y = np.ascontiguousarray(features[names].to_numpy(dtype=np.float64))
    n = y.shape[1]
    quarter = max(1, n // 4)
    before = y[:, -1 - quarter] if n > quarter else y[:, 0]
    rough = np.abs(np.diff(y, n=2, axis=1)).mean(axis=1) if n > 2 else np.zeros(len(y))
    if "ts_gaps" in features:
        rough = np.where(features["ts_gaps"] > 0, np.nan, rough)
    summaries = {
        "ts_last": y[:, -1],
        "ts_late": y[:, -quarter:].mean(axis=1),
        "ts_middle": y[:, n // 2],
        "ts_first": y[:, 0],
        "ts_slope": y[:, -1] - before,
        "ts_max": y.max(axis=1),
        "ts_min": y.min(axis=1),
        "ts_mean": y.mean(axis=1),
        "ts_noise": np.log(rough + floor),
    }
    latest = names[-1].removeprefix("ts_y_")
    series = [c for c in features.columns if c.startswith("ts_") and c.endswith(f"_y_{latest}")]
    frame = pd.DataFrame(summaries, index=features.index)
    return pd.concat([frame, features[[c for c in series if c not in names] + others]], axis=1)
