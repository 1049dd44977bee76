"""Single predictions: predicted against true, and curves with their predictions at tau."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curvecast import protocol
from curvecast.benchmark import scores
from curvecast.curves import CurveSet, DataError
from curvecast.report.figures import Inputs, style
from curvecast.report.tables.results import MODEL_ORDER, in_order


def at_fraction(predictions: pd.DataFrame, tau: int) -> pd.DataFrame:
    """The rows of a prediction frame (`scores.read_predictions`) at one tau.

    Raises
    ------
    DataError : no such rows.
    """
    rows = predictions[predictions["tau"] == tau]
    if rows.empty:
        raise DataError(f"no predictions at tau {tau}")
    return rows


_MOST_COLUMNS = 5


@style.styled
def predicted_against_true(
    predictions: Mapping[tuple[str, str], pd.DataFrame], metrics: Mapping[str, str]
) -> Figure:
    """Predicted over true final values: a row per data set, a panel per model.

    Clouds of points are rasterised. Axes of a row span the central 99 % of its true values (with
    a margin), for a few diverged runs would flatten the rest; the share of points outside is
    printed in the panel.

    Parameters
    ----------
    predictions : frames of `at_fraction` by (data set, model); all repeats are pooled.
    metrics : the metric by data set, for the axis label.
    """
    datasets = sorted({dataset for dataset, _ in predictions})
    models = in_order((model for _, model in predictions), MODEL_ORDER)
    looks = style.looks(models)
    # The models of a single data set go on over several rows.
    rows = 1 if len(datasets) > 1 else -(-len(models) // _MOST_COLUMNS)
    columns = -(-len(models) // rows)
    cells = [(dataset, model) for dataset in datasets for model in models]
    figure, axes = style.panels(
        len(cells),
        columns=columns,
        label="true final value",
        width=min(style.WIDTH, 2.4 * columns + 0.6),
        height=min(2.4, style.WIDTH / columns + 0.2),
    )
    limits_of = {dataset: _limits(predictions, dataset) for dataset in datasets}
    for i, (axis, (dataset, model)) in enumerate(zip(axes, cells, strict=True)):
        limits = limits_of[dataset]
        axis.set_title(model)
        if i % columns == 0:
            axis.set_ylabel(f"{style.short(dataset)}\npredicted {metrics[dataset]}")
        if (dataset, model) not in predictions:
            axis.set_visible(False)
            continue
        frame = predictions[dataset, model]
        true, mean = frame["y_true"].to_numpy(), frame["y_mean"].to_numpy()
        axis.plot(limits, limits, color="#444444", linewidth=0.8, zorder=1)
        axis.plot(
            true,
            mean,
            ".",
            color=looks[model].colour,
            markersize=2.5,
            markeredgewidth=0,
            alpha=_opacity(len(true)),
            rasterized=True,
            zorder=2,
        )
        inside = np.all([(limits[0] <= v) & (v <= limits[1]) for v in (true, mean)], axis=0)
        outside = 1 - inside.mean()
        if outside > 0:
            axis.text(
                0.97,
                0.03,
                f"{100 * outside:.1f} % outside",
                transform=axis.transAxes,
                ha="right",
                fontsize=7,
                color="#444444",
            )
        axis.set_xlim(*limits)
        axis.set_ylim(*limits)
        axis.set_aspect("equal", adjustable="box")
        axis.locator_params(nbins=5)
    return figure


def _opacity(n: int) -> float:
    """Fewer points are drawn more solidly."""
    return float(np.clip(1500 / max(n, 1), 0.12, 0.7))


def _limits(
    predictions: Mapping[tuple[str, str], pd.DataFrame], dataset: str
) -> tuple[float, float]:
    frames = [frame for (name, _), frame in predictions.items() if name == dataset]
    true = np.concatenate([frame["y_true"].to_numpy() for frame in frames])
    low, high = np.quantile(true, [0.005, 0.995])
    margin = 0.06 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


@style.styled
def gallery(
    curves: CurveSet, predictions: pd.DataFrame, tau: int, *, model: str, n: int = 12
) -> Figure:
    """Curves with the prediction made at tau and its 80 % interval.

    The seen part is solid, the rest pale; the bar at the last epoch is q10..q90, the point on it
    the mean. Each axis shows what the curve does from the middle of the seen part on: the first
    epochs of a steep curve may lie outside. The runs are test runs of the first repeat, evenly
    spaced in the order of their true final values.

    Parameters
    ----------
    predictions : frame of `at_fraction` of one model.
    """
    first = predictions[predictions["repeat"] == predictions["repeat"].min()]
    ranked = first.sort_values(["y_true", "configuration"], ignore_index=True)
    n = min(n, len(ranked))
    chosen = ranked.iloc[np.unique(np.linspace(0, len(ranked) - 1, n).round().astype(int))]
    colour = style.looks([model])[model].colour
    figure, axes = style.panels(
        len(chosen), columns=4, height=1.6, label="trained epochs", sharex=True
    )
    seen = curves.epochs <= tau
    for axis, row in zip(axes, chosen.to_dict("records"), strict=True):
        values = curves.values[int(row["configuration"])]
        axis.axvspan(curves.epochs[0], tau, color="#F2F2F2", zorder=0)
        axis.plot(curves.epochs, values, color="#A6A6A6", linewidth=1)
        axis.plot(curves.epochs[seen], values[seen], color=style.BLACK, linewidth=1.5)
        axis.plot(
            [curves.last_epoch] * 2,
            [row["q10"], row["q90"]],
            color=colour,
            linewidth=3.5,
            alpha=0.5,
            solid_capstyle="butt",
            clip_on=False,
        )
        axis.plot(curves.last_epoch, row["y_mean"], "o", color=colour, clip_on=False)
        axis.plot(
            curves.last_epoch,
            row["y_true"],
            "x",
            color=style.BLACK,
            markersize=5,
            markeredgewidth=1.3,
            clip_on=False,
        )
        late = values[curves.epochs >= (tau + 1) // 2]
        shown = [*late[np.isfinite(late)], row["q10"], row["q90"], row["y_true"], row["y_mean"]]
        margin = 0.08 * (max(shown) - min(shown)) or 0.5
        axis.set_ylim(min(shown) - margin, max(shown) + margin)
        axis.set_title(str(curves.configs["id"].iloc[int(row["configuration"])]), fontsize=8)
    figure.supylabel(f"{style.short(curves.name)}: {curves.metric}", fontsize=8.5)
    style.legend(
        figure,
        [
            style.handle(f"seen (up to epoch {tau})", color=style.BLACK),
            style.handle("not seen", color="#A6A6A6"),
            style.handle(f"{model}: mean", color=colour, marker="o", linestyle="none"),
            style.handle("80 % interval", color=colour, linewidth=3.5, alpha=0.5),
            style.handle("true final value", color=style.BLACK, marker="x", linestyle="none"),
        ],
    )
    return figure


def predictions_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """`scatter` and `gallery` of one data set; `params`: `models` (in the order of the
    `predictions`) and `fraction`.
    """
    curves, models = CurveSet.from_parquet(inputs["curves"][0]), params["models"]
    tau = protocol.tau_of(params["fraction"], curves.last_epoch)
    frames = {
        (curves.name, model): at_fraction(scores.read_predictions(path), tau)
        for model, path in zip(models, inputs["predictions"], strict=True)
    }
    return {
        "scatter": predicted_against_true(frames, {curves.name: curves.metric}),
        "gallery": gallery(curves, frames[curves.name, models[-1]], tau, model=models[-1]),
    }
