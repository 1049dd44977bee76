"""Figures of coverage: how often final values fall inside the predicted intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import ndtri

from curvecast.benchmark.comparisons import load_scores
from curvecast.benchmark.scores import INTERVALS
from curvecast.curves import collection_of
from curvecast.predictors.quantiles import LEVELS
from curvecast.report.figures import Inputs, style
from curvecast.report.names import collection_title, in_order

_NOMINAL = {"cover50": 0.50, "cover80": 0.80, "cover95": 0.95}


def coverage_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Coverage over the fraction of the curve."""
    return {"coverage": over_fraction(pd.read_csv(inputs["summary"][0]))}


def reliability_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Actual against nominal coverage."""
    return {"reliability": reliability(load_scores(inputs["scores"]))}


@style.styled
def over_fraction(summary: pd.DataFrame) -> Figure:
    """Observed coverage of the 50, 80 and 95 % intervals over the fraction of the curve.

    A row of panels per collection, a panel per nominal level (the dark line), a line per model:
    the mean over the data sets of a frame of `comparisons.summarise`.
    """
    frame = summary.assign(collection=summary["dataset"].map(collection_of))
    looks = style.looks(in_order(frame["model"]))
    cells = [(c, column) for c in sorted(set(frame["collection"])) for column in _NOMINAL]
    titles = [f"{collection_title(c)}, {style.percent(_NOMINAL[i])} intervals" for c, i in cells]
    figure, axes = style.panels(
        titles,
        columns=len(_NOMINAL),
        label="fraction of the curve seen",
        ylabel="observed coverage (mean over data sets)",
        sharex=True,
    )
    for axis, (collection, column) in zip(axes, cells, strict=True):
        part = frame[frame["collection"] == collection]
        level = _NOMINAL[column]
        axis.axhline(level, color=style.DARK, linewidth=1.2)
        for model, look in looks.items():
            mean = part[part["model"] == model].groupby("fraction", sort=True)[column].mean()
            axis.plot(mean.index, mean, **look, linewidth=1.0)
        # Panels reach at least .1 below and .05 above the nominal level, or small departures
        # would seem large.
        low, high = min(level - 0.1, frame[column].min()), max(level + 0.05, frame[column].max())
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    style.legend(figure, looks)
    return figure


@style.styled
def reliability(scores: pd.DataFrame) -> Figure:
    """Actual against nominal coverage of the central intervals: a panel per fraction.

    A point is the mean over repeats and data sets of the scores of one collection. Below the
    diagonal a model is too sure, above it too careful. Both axes are in normal scores of one
    tail, so that .95 and .99 stand apart.
    """
    nominal = {name: LEVELS[high] - LEVELS[low] for name, (low, high) in INTERVALS.items()}
    fractions = sorted(set(scores["fraction"]))
    looks = style.looks(in_order(scores["model"]))
    figure, axes = style.panels(
        [f"{style.percent(fraction)} of the curve seen" for fraction in fractions],
        columns=3,
        height=2.9,
        label="nominal coverage",
        ylabel="actual coverage on test runs",
        sharey=True,
    )
    by_set = scores.groupby(["fraction", "model", "dataset"])[list(nominal)].mean()
    actual = by_set.groupby(level=["fraction", "model"]).mean()
    ticks = [0.2, *nominal.values()]
    labels = [style.percent(tick) for tick in ticks]
    for axis, fraction in zip(axes, fractions, strict=True):
        axis.plot([0, 4], [0, 4], color=style.DARK, linewidth=1.2)
        for model, look in looks.items():
            at = _scores(actual.loc[(fraction, model)])
            axis.plot(_scores(list(nominal.values())), at, **look, linewidth=1.0)
        axis.set_xticks(_scores(ticks), labels)
        axis.set_yticks(_scores(ticks), labels)
        axis.set(xlim=_scores([0.45, 0.995]), ylim=_scores([0.15, 0.998]))
    style.legend(figure, looks)
    return figure


def _scores(coverage: Any) -> np.ndarray:
    """Half-width, in standard deviations, of a Gaussian's central interval; 1 is drawn at .999."""
    return ndtri(0.5 + np.minimum(np.asarray(coverage), 0.999) / 2)
