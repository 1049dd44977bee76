"""Runs that go back to an earlier epoch in their log: begun anew, or on from a checkpoint."""

from __future__ import annotations

import numpy as np
import pandas as pd

_NEVER = np.iinfo(np.int64).max


def without_outdated(
    rows: pd.DataFrame, run: str, epoch: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows of a log without the values that are `outdated`, and a note of how many runs had such.

    `rows` : in the order of the log; the columns `run`, `epoch` and one per metric.
    """
    epochs, back, metrics = rows[epoch].to_numpy(dtype=np.int64), set[str](), rows.columns
    for metric in metrics.drop([run, epoch]) if rows.duplicated([run, epoch]).any() else ():
        values = rows[metric].to_numpy(copy=True)
        known = np.flatnonzero(pd.notna(values))
        left = known[outdated(rows[[run]].iloc[known], epochs[known])]
        back |= set(rows[run].iloc[left])
        values[left] = np.nan
        rows = rows.assign(**{metric: values}) if len(left) else rows
    rows = rows[rows.drop(columns=[run, epoch]).notna().any(axis=1)] if back else rows
    return rows, _note(len(back))


def row_per_epoch(
    table: pd.DataFrame, run: str, epoch: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Entries with `metric` and `value` as rows with a column per metric, without `outdated` ones.

    A value that is missing was logged as NaN. Returns a note as well, see `without_outdated`.
    """
    left = outdated(table[[run, "metric"]], table[epoch].to_numpy(dtype=np.int64))
    back = table.loc[left, run].nunique()
    table = table[~left].fillna({"value": float("inf")})
    wide = table.pivot_table(index=[run, epoch], columns="metric", values="value", aggfunc="last")
    return wide.reset_index().rename_axis(columns=None), _note(back)


def _note(n: int) -> tuple[str, ...]:
    """What to say of n runs that went back."""
    text = "went back to an earlier epoch (begun anew, or on from a checkpoint): what had been"
    return (f"{n} {'runs' if n > 1 else 'run'} {text} logged from there on is left out",) * (n > 0)


def outdated(runs: pd.DataFrame, epochs: np.ndarray) -> np.ndarray:
    """Whether a value is of a course that the run has left; boolean, shape (n,).

    A run has left it where it goes back to an epoch that it had logged and on from there: what it
    had logged before at this and at later epochs is outdated. A single value of an earlier epoch,
    as of the best one after the end, is no way back.

    Parameters
    ----------
    runs : what names the run (and the metric) of each value, in the order of the log, n rows.
    epochs : at which they were logged, int64, shape (n,).
    """
    codes = runs.groupby(list(runs), sort=False).ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1))
    out = np.zeros(len(epochs), dtype=bool)
    for rows in np.split(order, begins[1:]):
        if (np.diff(epochs[rows]) < 0).any():
            out[rows] = _outdated(epochs[rows])
    return out


def _outdated(epochs: np.ndarray) -> np.ndarray:
    """`outdated` of one run."""
    begins = np.flatnonzero(np.diff(epochs, prepend=-1))
    stretches = epochs[begins]  # one per epoch, though it may have several values
    falls = stretches < np.concatenate([[-1], stretches[:-1]])
    goes_on = stretches < np.append(stretches[1:], -1)
    back = np.where(falls & goes_on & pd.Series(stretches).duplicated(), stretches, _NEVER)
    later = np.minimum.accumulate(np.append(back[1:], _NEVER)[::-1])[::-1]
    return np.repeat(stretches >= later, np.diff(np.append(begins, len(epochs))))
