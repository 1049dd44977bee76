"""Reliability: how often targets fall inside the predicted intervals."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from curvecast.plots import style
from curvecast.tables import COLLECTIONS, MODEL_ORDER, group_of, in_order

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
    frame = summary.assign(collection=summary["dataset"].map(group_of))
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
