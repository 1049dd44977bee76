"""Chooses the predictor for a user's runs by its errors on runs that it was not fitted on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.protocol import tau_grid
from curvecast.saved import FRACTIONS, Saved, train

# Those that predict a training run from the others without being fitted again, quick ones first.
CANDIDATES = ("ridge", "pfn", "gp", "extra_trees", "gain_gp")
# Of 80 % intervals; a model whose intervals hold fewer final values is chosen where all do.
LEAST_COVERAGE = 0.65


def choose(
    curves: CurveSet,
    fractions: Sequence[float] = FRACTIONS,
    *,
    seconds: float = 60.0,
    **more: Any,
) -> tuple[Saved, pd.DataFrame]:
    """Fit the candidates, and take the one with the smallest left-out error.

    Parameters
    ----------
    seconds : once they have passed, no further candidate is fitted; the first two always are.
    more : further arguments of `saved.train`.

    Returns
    -------
    The fitted model, and one row per fitted candidate, the chosen one first: `model`, `error` (mean
    absolute error of left-out runs as a share of that of their last value, mean over epochs),
    `cover80` (share of final values in the 80 % intervals) and `seconds`. Candidates that cannot
    be fitted to these runs, or leave them out, have no row.

    Raises
    ------
    DataError : as `saved.train` raises it for all candidates, or none can leave runs out.
    """
    fitted: dict[str, Saved] = {}
    began, rows, refused = time.monotonic(), [], []
    runs = curves.take(np.isfinite(curves.final))
    for name in CANDIDATES:
        start = time.monotonic()
        if len(fitted) >= 2 and start - began > seconds:
            break
        try:
            fitted[name] = train(name, curves, fractions, **more)
        except DataError as error:
            refused.append(error)
            continue
        row = _left_out(fitted[name], runs, fractions)
        rows.append((name, *row, time.monotonic() - start))
    table = pd.DataFrame(rows, columns=["model", "error", "cover80", "seconds"]).dropna()
    if not len(table):
        raise (
            refused[0]
            if refused
            else DataError("no predictor can leave one of these runs out", file=curves.name)
        )
    table["narrow"] = table["cover80"] < LEAST_COVERAGE
    table = table.sort_values(["narrow", "error"], kind="stable", ignore_index=True)
    return fitted[table["model"][0]], table.drop(columns="narrow")


def _left_out(saved: Saved, runs: CurveSet, fractions: Sequence[float]) -> tuple[float, float]:
    """The error of `choose` and the coverage; NaN where the model leaves no run out.

    A run counts from its first finite value on.
    """
    errors, covers = [], []
    for tau in (int(t) for t in tau_grid(runs.epochs, fractions) if t in saved.taus):
        predicted = saved.predictor.predict_left_out(tau)
        if predicted is None:
            return np.nan, np.nan
        values = np.where(np.isfinite(runs.values) & runs.seen(tau), runs.values, np.nan)
        last = pd.DataFrame(values).ffill(axis=1).iloc[:, -1].to_numpy()
        begun = np.isfinite(last)
        if not begun.any():
            continue
        low, high = predicted.quantile([0.1, 0.9]).T
        error, least = (np.abs(ends - runs.final)[begun].mean() for ends in (predicted.mean, last))
        # Where the last value is exact, as good is 1.
        errors.append(error / least if least > 0 else 1.0 if error == 0 else np.inf)
        covers.append(((low <= runs.final) & (runs.final <= high))[begun].mean())
    return (float(np.mean(errors)), float(np.mean(covers))) if errors else (np.nan, np.nan)
