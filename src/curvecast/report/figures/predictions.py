"""Figures of single predictions: predicted against true, and curves with their predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curvecast import protocol
from curvecast.benchmark import scores
from curvecast.curves import CurveSet, DataError
from curvecast.report.figures import Inputs, style
from curvecast.report.names import in_order

_MOST_COLUMNS = 5
_PALE = "#A6A6A6"


def predictions_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """`scatter` and `gallery` of a data set; `params`: `fraction`, `models` of `predictions`."""
    curves, models = CurveSet.from_parquet(inputs["curves"][0]), params["models"]
    tau = protocol.tau_of(params["fraction"], curves.last_epoch)
    frames = {
        model: at_fraction(scores.read_predictions(path), tau)
        for model, path in zip(models, inputs["predictions"], strict=True)
    }
    return {
        "scatter": predicted_against_true(frames, curves.name, curves.metric),
        "gallery": gallery(curves, frames[models[-1]], tau, model=models[-1]),
    }


def at_fraction(predictions: pd.DataFrame, tau: int) -> pd.DataFrame:
    """The rows of a prediction frame at one tau. Raises DataError where there are none."""
    rows = predictions[predictions["tau"] == tau]
    if rows.empty:
        raise DataError(f"no predictions at tau {tau}")
    return rows


@style.styled
def predicted_against_true(
    predictions: Mapping[str, pd.DataFrame], dataset: str, metric: str
) -> Figure:
    """Predicted over true final values of a data set: a panel per model.

    Axes span the central 99 % of the true values, for a few diverged runs would flatten the rest;
    the share of points outside is printed in the panel. `predictions` holds frames of
    `at_fraction` by model; all repeats are pooled, and their clouds are rasterised.
    """
    models = in_order(predictions)
    looks = style.looks(models)
    columns = -(-len(models) // -(-len(models) // _MOST_COLUMNS))
    figure, axes = style.panels(
        models,
        columns=columns,
        label="true final value",
        width=min(style.WIDTH, 2.4 * columns + 0.6),
        height=min(2.4, style.WIDTH / columns + 0.2),
    )
    true = np.concatenate([frame["y_true"].to_numpy() for frame in predictions.values()])
    low, high = np.quantile(true, [0.005, 0.995])
    margin = 0.06 * (high - low) or 0.5
    for i, (axis, model) in enumerate(zip(axes, models, strict=True)):
        if i % columns == 0:
            axis.set_ylabel(f"{style.short(dataset)}\npredicted {metric}")
        _cloud(axis, predictions[model], (low - margin, high + margin), looks[model]["color"])
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
    curves: CurveSet, predictions: pd.DataFrame, tau: int, *, model: str, n: int = 12
) -> Figure:
    """Curves with the prediction of a model made at tau and its 80 % interval.

    The seen part is solid, the rest pale; the bar at the last epoch is q10..q90, the point on it
    the mean. The first epochs of a steep curve may lie outside. The runs are test runs of the
    first repeat of a frame of `at_fraction`, evenly spaced in the order of their final values.
    """
    first = predictions[predictions["repeat"] == predictions["repeat"].min()]
    ranked = first.sort_values(["y_true", "configuration"], ignore_index=True)
    at = np.linspace(0, len(ranked) - 1, min(n, len(ranked)))
    chosen = ranked.iloc[np.unique(at.round().astype(int))]
    colour = style.looks([model])[model]["color"]
    titles = [""] * len(chosen)
    figure, axes = style.panels(
        titles,
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
