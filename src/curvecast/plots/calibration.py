"""Reliability: how often targets fall inside the predicted intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curvecast.plots import style
from curvecast.tables import COLLECTIONS, MODEL_ORDER, group_of, in_order

_NOMINAL = {"cover50": 0.50, "cover80": 0.80, "cover95": 0.95}


@style.styled
def coverage(summary: pd.DataFrame) -> Figure:
    """Observed over nominal coverage of the 50, 80 and 95 % intervals.

    A panel per (collection, fraction), a line per model: the mean over the collection's data sets
    of the coverage on test runs. Below the diagonal a model is too sure, above it too careful.

    Parameters
    ----------
    summary : frame of `tables.summarise` of the main protocol.
    """
    frame = summary.assign(collection=summary["dataset"].map(group_of))
    models = in_order(frame["model"], MODEL_ORDER)
    looks = style.looks(models)
    groups = list(frame.groupby(["collection", "fraction"], sort=True))
    columns = min(frame["fraction"].nunique(), 3)
    figure, axes = style.panels(
        len(groups),
        columns=columns,
        width=2.7 * columns + 0.6,
        height=2.4,
        sharex=True,
        sharey=True,
    )
    nominal = np.array(list(_NOMINAL.values()))
    for axis, (key, part) in zip(axes, groups, strict=True):
        assert isinstance(key, tuple)
        collection, fraction = str(key[0]), float(key[1])
        axis.plot([0.4, 1], [0.4, 1], color="#444444", linewidth=0.8)
        for i, model in enumerate(models):
            of_model = part[part["model"] == model]
            if of_model.empty:
                continue
            observed = of_model[list(_NOMINAL)].mean().to_numpy()
            # Models are set apart sideways, or their markers would hide each other.
            shift = 0.012 * (i - (len(models) - 1) / 2)
            axis.plot(nominal + shift, observed, **{**looks[model].line(), "linewidth": 0.8})
        axis.set_xticks(nominal, [f"{100 * level:g} %" for level in nominal])
        axis.set_xlim(0.4, 1.03)
        axis.set_ylim(0, 1.03)
        axis.set_title(
            f"{COLLECTIONS.get(collection, collection)}, {style.percent(fraction)} of the curve"
        )
    figure.supxlabel("nominal coverage", fontsize=8.5)
    figure.supylabel("observed coverage (mean over data sets)", fontsize=8.5)
    style.legend(figure, [style.handle(model, **looks[model].line()) for model in models])
    return figure
