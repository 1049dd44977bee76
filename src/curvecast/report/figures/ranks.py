"""Critical-difference diagrams: average ranks of the models over the data sets of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import scikit_posthocs
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curvecast.benchmark.comparisons import LEVEL, METRICS, nemenyi
from curvecast.report.figures import Inputs, style
from curvecast.report.names import collection_title


def ranks_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """The diagram of one collection; `params`: `collection`."""
    frame = pd.read_csv(inputs["ranks"][0])
    return {"ranks": diagram(frame[frame["collection"] == params["collection"]])}


@style.styled
def diagram(frame: pd.DataFrame) -> Figure:
    """A row of panels per fraction, a panel per metric; 1 is the best rank.

    A bar joins models that do not differ by the Nemenyi test at the level .05. `frame` holds rows
    of `comparisons.average_ranks` for one collection.
    """
    cells = {
        (fraction, metric): frame[(frame["fraction"] == fraction) & (frame["metric"] == metric)]
        for fraction in sorted(set(frame["fraction"]))
        for metric in METRICS
    }
    models = sorted(set(frame["model"]))
    height = 0.9 + 0.11 * len(models)
    figure, axes = style.panels([""] * len(cells), columns=len(METRICS), height=height)
    colours = {model: look["color"] for model, look in style.looks(models).items()}
    for axis, ((fraction, metric), part) in zip(axes, cells.items(), strict=True):
        sets = int(part["sets"].iloc[0])
        axis.set_title(f"{metric} at {style.percent(fraction)}, {sets} data sets", pad=22)
        axis.grid(False)
        if part["critical_difference"].isna().any():
            axis.set_axis_off()
            axis.text(0.0, 0.5, "too few data sets", transform=axis.transAxes)
        else:
            _draw(axis, part, sets, colours)
    collection = collection_title(frame["collection"].iloc[0])
    note = "average rank (1 = best); bars join models that are not told apart"
    style.heading(figure, f"{collection}: {note}", size=9)
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
        crossbar_props={"linewidth": 2.2, "color": style.DARK},
        color_palette={model: colours[model] for model in ranks.index},
    )
