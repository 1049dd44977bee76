"""Style of all figures: sizes, colours per model, panels, legends, saving.

Colours are those of Okabe and Ito (2008, Color universal design), which stay apart under all
common forms of colour blindness; models that share a hue differ in marker and line style.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curvecast.files import write_bytes
from curvecast.predictors import registry

# Keyword arguments of `Axes.plot`.
Look = dict[str, Any]

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT, DARK = "#7F7F7F", "#D9D9D9", "#444444"
DASHED, DOTTED = (0, (4.0, 1.5)), (0, (1.2, 1.2))
WIDTH = 9.0
RASTER_DPI = 160
# Panels of more data sets than these are small.
MANY = 12

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "figure.titlesize": 8.5,
    "figure.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": DARK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "savefig.dpi": RASTER_DPI,
    "svg.fonttype": "path",
    "svg.hashsalt": "curvecast",
}
# Decorates a function that makes a figure: everything in it is drawn in this style.
styled = matplotlib.rc_context(_RC)


def look(colour: str, marker: str = "None", dash: Any = "-") -> Look:
    """Keyword arguments of `Axes.plot`."""
    return {"color": colour, "marker": marker, "linestyle": dash}


_SPARE = [
    look(colour, marker, dash)
    for dash, marker in ((DOTTED, "P"), (DASHED, "X"))
    for colour in (PURPLE, SKY, ORANGE, GREEN, RED, BLUE)
]


def looks(models: Iterable[str]) -> dict[str, Look]:
    """The look of each model: that of its registry entry, the next spare one for others."""
    colours = {"black": BLACK, "orange": ORANGE, "sky": SKY, "green": GREEN, "blue": BLUE}
    colours |= {"red": RED, "purple": PURPLE, "grey": GREY}
    dashes = {"solid": "-", "dashed": DASHED, "dotted": DOTTED}
    declared = {
        name: look(colours[entry.look[0]], entry.look[1], dashes[entry.look[2]])
        for name, entry in registry().items()
        if entry.look
    }
    spare = dict(zip(sorted(set(models) - set(declared)), cycle(_SPARE), strict=False))
    return {model: declared.get(model) or spare[model] for model in models}


def panels(
    titles: Iterable[str],
    *,
    columns: int,
    label: str = "",
    ylabel: str = "",
    width: float = WIDTH,
    height: float = 2.3,
    **options: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with a panel per title in rows of `columns`.

    `label` stands under the lowest panel of each column, `ylabel` beside all of them, `height`
    (inches) is that of one row, `options` are those of `Figure.subplots`.
    """
    titles = list(titles)
    n = len(titles)
    columns = min(columns, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(width, height * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).ravel())
    for axis in axes[n:]:
        axis.set_visible(False)
    for axis in axes[max(n - columns, 0) : n]:
        axis.tick_params(axis="x", labelbottom=True)
        axis.set_xlabel(label)
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    figure.supylabel(ylabel)
    return figure, axes[:n]


def group_panels(
    frame: pd.DataFrame, by: str, title: Callable[[Any], str] = str, **options: Any
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """`panels` for the groups of a frame; each comes with its rows."""
    parts = dict(iter(frame.groupby(by, sort=False)))
    figure, axes = panels(map(title, parts), **options)
    return figure, list(zip(axes, parts.values(), strict=True))


def dataset_panels(
    frame: pd.DataFrame, mean: pd.DataFrame | None = None, *, label: str, **options: Any
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """`group_panels` of data sets, small ones where there are many.

    Where there are several, `mean` holds the rows of a first panel of their mean.
    """
    frame = frame.sort_values("dataset", kind="stable")
    n = frame["dataset"].nunique()
    if mean is not None and n > 1:
        frame = pd.concat([mean.assign(dataset=f"mean over {n} data sets"), frame])
    if n > MANY:
        options |= {"columns": 5, "height": 1.5, "label": label.replace(" (", "\n(")}
        figure, panels = group_panels(frame, "dataset", lambda name: short(name, 22), **options)
        for axis, _ in panels:
            axis.set_title(axis.get_title("left"), fontsize=7.5)
        return figure, panels
    options |= {"columns": 3, "height": 2.6, "label": label, "width": WIDTH if n > 1 else 6.5}
    return group_panels(frame, "dataset", short, **options)


def legend(figure: Figure, entries: Mapping[str, Look], columns: int = 6) -> None:
    """One legend for all panels, below them: a line or marker per label."""
    handles = [
        Line2D([], [], label=label, **{"markersize": 4.5, "linewidth": 1.4, **options})
        for label, options in entries.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def log_if_wide(set_scale: Callable[[str], None], values: Any) -> None:
    """A logarithmic axis for positive values that span more than a factor of 20."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min():
        set_scale("log")


def short(dataset: str, longest: int = 40) -> str:
    """Name of a data set without its collection, cut to `longest` characters."""
    name = dataset.split("/", 1)[-1]
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def percent(fraction: float) -> str:
    """A fraction of the curve as a label."""
    return f"{100 * fraction:g} %"


@styled
def save(figure: Figure, path: str | Path) -> None:
    """Write `{path}.svg` and `{path}.png`; the same figure gives the same bytes.

    Both are drawn in memory first, and nothing half-written ever has the name.
    """
    drawn = {}
    for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], metadata=metadata)
        drawn[suffix] = buffer.getvalue()
    for suffix, content in drawn.items():
        write_bytes(content, f"{path}{suffix}")
