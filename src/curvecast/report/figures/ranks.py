"""Critical-difference diagrams: average ranks of the models over the data sets of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import scikit_posthocs
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curvecast.benchmark.ranks import LEVEL, METRICS, nemenyi
from curvecast.report.figures import Inputs, style
from curvecast.report.tables.results import COLLECTIONS


@style.styled
def diagram(frame: pd.DataFrame) -> Figure:
    """A row of panels per fraction, a panel per metric; 1 is the best rank.

    Models that a bar joins are not told apart by the Nemenyi test at the level .05. A panel with
    too few data sets says so.

    Parameters
    ----------
    frame : rows of `ranks.average_ranks` for one collection and one number of training runs.
    """
    fractions = sorted(set(frame["fraction"]))
    n_models = frame["model"].nunique()
    figure, axes = style.panels(
        len(fractions) * len(METRICS), columns=len(METRICS), height=0.9 + 0.11 * n_models
    )
    cells = [(fraction, metric) for fraction in fractions for metric in METRICS]
    looks = style.looks(sorted(set(frame["model"])))
    colours = {model: look.colour for model, look in looks.items()}
    for axis, (fraction, metric) in zip(axes, cells, strict=True):
        part = frame[(frame["fraction"] == fraction) & (frame["metric"] == metric)]
        sets = int(part["sets"].iloc[0])
        axis.set_title(f"{metric} at {style.percent(fraction)}, {sets} data sets", pad=22)
        axis.grid(False)
        if part["critical_difference"].isna().any():
            axis.set_axis_off()
            axis.text(0.0, 0.5, "too few data sets", transform=axis.transAxes)
        else:
            _draw(axis, part, sets, colours)
    collection = frame["collection"].iloc[0]
    figure.suptitle(
        f"{COLLECTIONS.get(collection, collection)}: average rank (1 = best); bars join models "
        "that are not told apart",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    return figure


def _draw(axis: Axes, part: pd.DataFrame, sets: int, colours: dict[str, str]) -> None:
    ranks = part.set_index("model")["average_rank"]
    p = pd.DataFrame(nemenyi(ranks.to_numpy(), sets), index=ranks.index, columns=ranks.index)
    scikit_posthocs.critical_difference_diagram(
        ranks,
        p,
        alpha=LEVEL,
        ax=axis,
        label_fmt_left="{label} ({rank:.1f})",
        label_fmt_right="({rank:.1f}) {label}",
        label_props={"fontsize": 7},
        marker_props={"s": 14},
        elbow_props={"linewidth": 0.9},
        crossbar_props={"linewidth": 2.2, "color": "#444444"},
        color_palette={model: colours[model] for model in ranks.index},
    )


def ranks_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """The diagram of one collection; `params`: `collection`."""
    frame = pd.read_csv(inputs["ranks"][0])
    return {"ranks": diagram(frame[frame["collection"] == params["collection"]])}
