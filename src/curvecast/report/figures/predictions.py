"""Figures of single predictions: predicted against true, and curves with their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curvecast import protocol
from curvecast.benchmark.scores import read_predictions
from curvecast.curves import CurveSet, DataError
from curvecast.report.figures import style
from curvecast.report.names import in_order

# Prediction files are large: they are read one after the other, and reduced to one tau.
READERS = {"curves": lambda files: CurveSet.from_parquet(files[0]), "predictions": list}
_MOST_COLUMNS = 5
_PALE = "#A6A6A6"


def _at_fraction(path: str | Path, fraction: float, curves: CurveSet) -> tuple[pd.DataFrame, int]:
    tau = protocol.tau_of(fraction, curves.epochs)
    rows = read_predictions(path).query("tau == @tau")
    if rows.empty:
        raise DataError(f"no predictions at tau {tau}", file=path)
    return rows, tau


@style.styled
def scatter(
    curves: CurveSet, predictions: Sequence[str | Path], models: Sequence[str], fraction: float
) -> Figure:
    """Predicted over true final values of a data set: a panel per model.

    Axes span the central 99 % of the true values, for a few diverged runs would flatten the rest;
    the share of points outside is printed in the panel. `predictions` are files of the `models`;
    all repeats are pooled, and their clouds are rasterised.

    Raises
    ------
    DataError : no predictions at this fraction, or a damaged file.
    """
    frames = {
        model: _at_fraction(path, fraction, curves)[0]
        for model, path in zip(models, predictions, strict=True)
    }
    looks = style.looks(in_order(models))
    columns = -(-len(looks) // -(-len(looks) // _MOST_COLUMNS))
    figure, axes = style.panels(
        looks,
        columns=columns,
        label="true final value",
        width=min(style.WIDTH, 2.4 * columns + 0.6),
        height=min(2.4, style.WIDTH / columns + 0.2),
    )
    true = np.concatenate([frame["y_true"] for frame in frames.values()])
    low, high = np.quantile(true, [0.005, 0.995])
    margin = 0.06 * (high - low) or 0.5
    for axis, (model, look) in zip(axes, looks.items(), strict=True):
        _cloud(axis, frames[model], (low - margin, high + margin), look["color"])
    for axis in axes[::columns]:
        axis.set_ylabel(f"{style.short(curves.name)}\npredicted {curves.metric}")
    return figure


def _cloud(axis: Axes, frame: pd.DataFrame, limits: tuple[float, float], colour: str) -> None:
    true, mean = frame["y_true"].to_numpy(), frame["y_mean"].to_numpy()
    axis.plot(limits, limits, color=style.DARK, linewidth=0.8, zorder=1)
    axis.plot(
        true,
        mean,
        ".",
        color=colour,
        markersize=2.5,
        markeredgewidth=0,
        # Fewer points are drawn more solidly.
        alpha=float(np.clip(1500 / max(len(true), 1), 0.12, 0.7)),
        rasterized=True,
        zorder=2,
    )
    inside = np.all([(limits[0] <= v) & (v <= limits[1]) for v in (true, mean)], axis=0)
    outside = 1 - inside.mean()
    if outside > 0:
        text = f"{100 * outside:.1f} % outside"
        options: dict[str, Any] = {"ha": "right", "fontsize": 7, "color": style.DARK}
        axis.text(0.97, 0.03, text, transform=axis.transAxes, **options)
    axis.set(xlim=limits, ylim=limits)
    axis.set_aspect("equal", adjustable="box")
    axis.locator_params(nbins=5)


@style.styled
def gallery(
    curves: CurveSet, predictions: Sequence[str | Path], models: Sequence[str], fraction: float
) -> Figure:
    """Curves with the prediction of the last model and its 80 % interval.

    The seen part is solid, the rest pale; the bar at the last epoch is q10..q90, the point on it
    the mean. The first epochs of a steep curve may lie outside. The runs are 12 test runs of the
    first repeat, evenly spaced in the order of their final values.
    """
    model = models[-1]
    frame, tau = _at_fraction(predictions[-1], fraction, curves)
    first = frame[frame["repeat"] == frame["repeat"].min()]
    ranked = first.sort_values(["y_true", "configuration"], ignore_index=True)
    at = np.linspace(0, len(ranked) - 1, min(12, len(ranked)))
    chosen = ranked.iloc[at.round().astype(int)]
    colour = style.looks([model])[model]["color"]
    figure, axes = style.panels(
        [""] * len(chosen),
        columns=4,
        height=1.6,
        label="trained epochs",
        ylabel=f"{style.short(curves.name)}: {curves.metric}",
        sharex=True,
    )
    for axis, row in zip(axes, chosen.to_dict("records"), strict=True):
        _curve(axis, curves, row, tau, colour)
        axis.set_title(str(curves.configs["id"].iloc[int(row["configuration"])]), fontsize=8)
    style.legend(
        figure,
        {
            f"seen (up to epoch {tau})": {"color": style.BLACK},
            "not seen": {"color": _PALE},
            f"{model}: mean": style.look(colour, "o", "none"),
            "80 % interval": {"color": colour, "linewidth": 3.5, "alpha": 0.5},
            "true final value": style.look(style.BLACK, "x", "none"),
        },
    )
    return figure


def _curve(axis: Axes, curves: CurveSet, row: Mapping[Any, Any], tau: int, colour: str) -> None:
    values, end = curves.values[int(row["configuration"])], curves.last_epoch
    seen = curves.seen(tau)
    axis.axvspan(curves.epochs[0], tau, color="#F2F2F2", zorder=0)
    axis.plot(curves.epochs, values, color=_PALE, linewidth=1)
    axis.plot(curves.epochs[seen], values[seen], color=style.BLACK, linewidth=1.5)
    bar: dict[str, Any] = {"linewidth": 3.5, "alpha": 0.5, "solid_capstyle": "butt"}
    axis.plot([end] * 2, [row["q10"], row["q90"]], color=colour, clip_on=False, **bar)
    axis.plot(end, row["y_mean"], "o", color=colour, clip_on=False)
    cross: dict[str, Any] = {"color": style.BLACK, "markersize": 5, "markeredgewidth": 1.3}
    axis.plot(end, row["y_true"], "x", clip_on=False, **cross)
    late = values[curves.epochs >= (tau + 1) // 2]
    shown = [*late[np.isfinite(late)], row["q10"], row["q90"], row["y_true"], row["y_mean"]]
    margin = 0.08 * (max(shown) - min(shown)) or 0.5
    axis.set_ylim(min(shown) - margin, max(shown) + margin)
