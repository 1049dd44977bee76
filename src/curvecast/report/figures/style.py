"""The look of all figures, in one place: sizes, colours per model, axes for R², saving.

Colours are those of Okabe and Ito (2008, Color universal design), which stay apart under all
common forms of colour blindness; models that share a hue differ in marker and line style.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curvecast.files import write_bytes

P = ParamSpec("P")

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT = "#7F7F7F", "#D9D9D9"
WIDTH = 9.0
RASTER_DPI = 160

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
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


@dataclass(frozen=True)
class Look:
    """How one model is drawn."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[float, ...]] = "-"

    def line(self) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}


_DASHED, _DOTTED = (0, (4.0, 1.5)), (0, (1.2, 1.2))
_LOOKS = {
    "mean": Look(GREY, "_", _DOTTED),
    "last_value": Look(BLACK, "x", _DASHED),
    "ols": Look(ORANGE, "o"),
    "ridge": Look(ORANGE, "s", _DASHED),
    "nusvr_linear": Look(SKY, "^", _DASHED),
    "nusvr_rbf": Look(BLUE, "o"),
    "random_forest": Look(GREEN, "o"),
    "extra_trees": Look(GREEN, "s", _DASHED),
    "gradient_boosting": Look(RED, "D"),
    "gp": Look(PURPLE, "o"),
    "gain_gp": Look(PURPLE, "D"),
    "lce": Look(GREY, "v"),
    "lcnet": Look(PURPLE, "s", _DASHED),
    "cnn": Look(RED, "^", _DASHED),
    "lstm": Look(BLUE, "s", _DASHED),
    "cnn_lstm": Look(RED, "v", _DOTTED),
    "ensemble": Look(BLACK, "*"),
}
_SPARE = tuple(
    Look(colour, marker, dash)
    for dash, marker in ((_DOTTED, "P"), (_DASHED, "X"))
    for colour in (PURPLE, SKY, ORANGE, GREEN, RED, BLUE)
)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate a function that makes a figure: everything in it is drawn in this style."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_RC):
            return draw(*args, **kwargs)

    return in_style


def looks(models: Sequence[str]) -> dict[str, Look]:
    """How each model is drawn: fixed for known ones, the next spare look for others."""
    others = sorted(set(models) - set(_LOOKS))
    spare = {model: _SPARE[i % len(_SPARE)] for i, model in enumerate(others)}
    return {model: _LOOKS.get(model) or spare[model] for model in models}


def panels(
    n: int,
    *,
    columns: int,
    label: str = "",
    width: float = WIDTH,
    height: float = 2.3,
    **options: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with n panels in rows of `columns`.

    `label` stands under the lowest panel of each column, `height` (inches) is that of one row,
    `options` are those of `Figure.subplots`.
    """
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
    return figure, axes[:n]


def legend(figure: Figure, handles: Iterable[Line2D], columns: int = 6) -> None:
    """One legend for all panels, below them."""
    handles = list(handles)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def handle(label: str, **options: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **{"markersize": 4.5, "linewidth": 1.4, **options})


def r2_axis(axis: Axes, values: np.ndarray, lowest: float = -0.25) -> float:
    """Limit an axis of R² so that heavy tails do not flatten the rest; returns its lower end.

    The axis ends above at 1 and below at the smallest of `values`, but never below `lowest`.
    What lies under the end is to be marked by `below_axis`.
    """
    bottom = r2_end(values, lowest)
    span = 1 - bottom
    axis.set_ylim(bottom - 0.03 * span, 1 + 0.03 * span)
    return bottom


def r2_end(values: np.ndarray, lowest: float = -0.25) -> float:
    """Where an axis of R² ends below: a little under the smallest value, at least `lowest`."""
    finite = values[np.isfinite(values)]
    smallest = float(finite.min()) if len(finite) else 0.0
    return max(lowest, smallest - 0.05 * (1 - smallest))


def below_axis(axis: Axes, x: np.ndarray, y: np.ndarray, bottom: float, colour: str) -> bool:
    """Mark points under the lower end of the axis by a triangle there; True if there are any."""
    under = np.isfinite(y) & (y < bottom)
    if under.any():
        axis.plot(
            x[under], np.full(under.sum(), bottom), "v", color=colour, markersize=5.5, clip_on=False
        )
    return bool(under.any())


def below_axis_handle() -> Line2D:
    """The legend's entry for `below_axis`."""
    return handle("below the axis", color=GREY, marker="v", linestyle="none", markersize=5.5)


def short(dataset: str, longest: int = 40) -> str:
    """Name of a data set without its collection, cut to `longest` characters."""
    name = dataset.split("/", 1)[-1]
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def percent(fraction: float) -> str:
    """A fraction of the curve as a label."""
    return f"{100 * fraction:g} %"


def save(figure: Figure, path: str | Path) -> None:
    """Write `{path}.svg` and `{path}.png`; the same figure gives the same bytes.

    Both are drawn in memory first, and nothing half-written ever has the name.
    """
    drawn = {}
    with matplotlib.rc_context(_RC):
        for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], metadata=metadata)
            drawn[suffix] = buffer.getvalue()
    for suffix, content in drawn.items():
        write_bytes(content, f"{path}{suffix}")
