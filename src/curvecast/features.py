"""The feature blocks of Baker et al. (2018, section 3.1) at a truncation epoch tau.

TS: the values at all epochs <= tau with their first and second differences; AP: architecture
parameters; HP: training hyper-parameters. This is the only feature code of the project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError

COMBINATIONS = ("TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP")
_PREFIX = {"TS": "ts_", "AP": "ap_", "HP": "hp_"}


def build(curves: CurveSet, taus: Iterable[int]) -> dict[int, pd.DataFrame]:
    """All blocks for every tau.

    Returns a mapping from tau to a frame of shape (n_configs, n_features): columns
    `ts_y_{epoch}`, `ts_d1_{epoch}`, `ts_d2_{epoch}` (and the same with a series' name in front
    of the kind for each further series), `ap_*`, `hp_*`. Text columns are one-hot, columns in
    `curves.log_columns` are natural logarithms. A value that is not finite is replaced by the
    last finite one before it, and the column `ts_diverged` marks such runs; where no value is
    finite yet the cell stays NaN.

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
        filled = forward_fill(array[:, seen])
        for order, kind in enumerate(("y", "d1", "d2")):
            difference = np.diff(filled, n=order, axis=1)
            columns |= {
                f"{label}{kind}_{epoch}": difference[:, i] for i, epoch in enumerate(epochs[order:])
            }
    broken = ~np.isfinite(curves.values[:, seen]).all(axis=1)
    if broken.any():
        columns["ts_diverged"] = broken.astype(np.float64)
    return pd.DataFrame(columns)


def value_columns(features: pd.DataFrame) -> list[str]:
    """Names of the columns `ts_y_{epoch}` in the order of their epochs; none without TS."""
    names = [name for name in map(str, features) if re.fullmatch(r"ts_y_\d+", name)]
    return sorted(names, key=lambda name: int(name.removeprefix("ts_y_")))


def forward_fill(values: np.ndarray) -> np.ndarray:
    """Replace what is not finite by the last finite value of the same row; leading gaps: NaN."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    position = np.where(finite, np.arange(values.shape[1]), -1)
    last = np.maximum.accumulate(position, axis=1)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    return np.where(last >= 0, filled, np.nan)


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


def summarise(features: pd.DataFrame) -> pd.DataFrame:
    """Replace the TS block by nine summaries of the curve, for models that weigh distances.

    `features` is a frame of `build` at one tau. The columns `ts_y_*` give way to `ts_last`,
    `ts_late` (mean of the last quarter), `ts_middle`, `ts_first`, `ts_slope` (change over the
    last quarter), `ts_max`, `ts_min`, `ts_mean` and `ts_noise` (log of the mean absolute second
    difference); of a further series the last value stays. Differences go, everything else stays.
    """
    names = value_columns(features)
    others = [c for c in features.columns if not c.startswith("ts_") or c == "ts_diverged"]
    if not names:
        return features[others]
    y = features[names].to_numpy(dtype=np.float64)
    n = y.shape[1]
    quarter = max(1, n // 4)
    before = y[:, -1 - quarter] if n > quarter else y[:, 0]
    rough = np.abs(np.diff(y, n=2, axis=1)).mean(axis=1) if n > 2 else np.zeros(len(y))
    floor = 1e-9 + 1e-6 * float(np.nanmedian(np.abs(y)))
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
