"""Reliability: how often targets fall inside the predicted intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import ndtri

from curvecast.benchmark.scores import INTERVALS
from curvecast.curves import collection_of
from curvecast.predictors.quantiles import LEVELS
from curvecast.report.figures import Inputs, style
from curvecast.report.tables.results import COLLECTIONS, MODEL_ORDER, in_order, load_scores

_NOMINAL = {"cover50": 0.50, "cover80": 0.80, "cover95": 0.95}


@style.styled
def over_fraction(summary: pd.DataFrame) -> Figure:
    """Observed coverage of the 50, 80 and 95 % intervals over the fraction of the curve.

    A row of panels per collection, a panel per nominal level (the solid line), a line per model:
    the mean over the collection's data sets of the coverage on test runs. Below the nominal level
    a model is too sure, above it too careful.

    Parameters
    ----------
    summary : frame of `tables.summarise` of the main protocol.
    """
    frame = summary.assign(collection=summary["dataset"].map(collection_of))
    collections = sorted(set(frame["collection"]))
    models = in_order(frame["model"], MODEL_ORDER)
    looks = style.looks(models)
    figure, axes = style.panels(
        len(collections) * len(_NOMINAL),
        columns=len(_NOMINAL),
        label="fraction of the curve seen",
        sharex=True,
    )
    cells = [(collection, column) for collection in collections for column in _NOMINAL]
    # Panels reach at least .1 below and .05 above the nominal level, or small departures would
    # look large.
    ends = {
        column: (min(level - 0.1, frame[column].min()), max(level + 0.05, frame[column].max()))
        for column, level in _NOMINAL.items()
    }
    for axis, (collection, column) in zip(axes, cells, strict=True):
        part = frame[frame["collection"] == collection]
        axis.axhline(_NOMINAL[column], color="#444444", linewidth=1.2)
        for model in models:
            mean = part[part["model"] == model].groupby("fraction", sort=True)[column].mean()
            axis.plot(mean.index, mean, **{**looks[model].line(), "linewidth": 1.0})
        low, high = ends[column]
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        name = COLLECTIONS.get(collection, collection)
        axis.set_title(f"{name}, {style.percent(_NOMINAL[column])} intervals")
    figure.supylabel("observed coverage (mean over data sets)", fontsize=8.5)
    style.legend(figure, [style.handle(model, **looks[model].line()) for model in models])
    return figure


@style.styled
def reliability(scores: pd.DataFrame) -> Figure:
    """Actual against nominal coverage of the central intervals: a panel per fraction.

    A point is the mean over repeats and data sets of the share of test runs inside the interval.
    On the diagonal intervals keep what they promise; below it a model is too sure, above it too
    careful. Both axes are in normal scores of one tail, so that .95 and .99 stand apart.

    Parameters
    ----------
    scores : scores of the main protocol for one collection and one number of training runs.
    """
    nominal = {name: LEVELS[high] - LEVELS[low] for name, (low, high) in INTERVALS.items()}
    fractions = sorted(set(scores["fraction"]))
    models = in_order(scores["model"], MODEL_ORDER)
    looks = style.looks(models)
    figure, axes = style.panels(
        len(fractions), columns=3, height=2.9, label="nominal coverage", sharey=True
    )
    by_set = scores.groupby(["fraction", "model", "dataset"])[list(nominal)].mean()
    actual = by_set.groupby(level=["fraction", "model"]).mean()
    wanted = _wide(np.array(list(nominal.values())))
    ticks = [0.2, *nominal.values()]
    for axis, fraction in zip(axes, fractions, strict=True):
        axis.plot([0, 4], [0, 4], color="#444444", linewidth=1.2)
        for model in models:
            at = _wide(actual.loc[(fraction, model)].to_numpy())
            axis.plot(wanted, at, **{**looks[model].line(), "linewidth": 1.0})
        axis.set_xticks(_wide(np.array(ticks)), [style.percent(tick) for tick in ticks])
        axis.set_yticks(_wide(np.array(ticks)), [style.percent(tick) for tick in ticks])
        axis.set_xlim(*_wide(np.array([0.45, 0.995])))
        axis.set_ylim(*_wide(np.array([0.15, 0.998])))
        axis.set_title(f"{style.percent(fraction)} of the curve seen")
    figure.supylabel("actual coverage on test runs", fontsize=8.5)
    style.legend(figure, [style.handle(model, **looks[model].line()) for model in models])
    return figure


def _wide(coverage: np.ndarray) -> np.ndarray:
    """Half-width, in standard deviations, of a Gaussian's central interval; 1 is drawn at .999."""
    return ndtri(0.5 + np.minimum(coverage, 0.999) / 2)


def coverage_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Coverage over the fraction of the curve."""
    return {"coverage": over_fraction(pd.read_csv(inputs["summary"][0]))}


def reliability_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Actual against nominal coverage."""
    return {"reliability": reliability(load_scores(inputs["scores"]))}
