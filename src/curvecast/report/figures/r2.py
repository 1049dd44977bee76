"""R² over the fraction of the curve, over the number of training runs, and by feature block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curvecast.curves import DataError
from curvecast.report.figures import Inputs, style
from curvecast.report.tables import published
from curvecast.report.tables.results import (
    FEATURE_ORDER,
    MODEL_ORDER,
    in_order,
    load_scores,
    summarise,
)

# From so many data sets on, panels are small and legends replace the spread.
_MANY = 13


@style.styled
def over_fraction(scores: pd.DataFrame, theirs: pd.DataFrame | None = None) -> Figure:
    """R² over the fraction of the curve: a panel per data set, a line per model.

    The line is the mean over repeats, the band reaches from their 10 to their 90 % quantile (a
    line that leaves its band has a few very bad repeats); published values (`published.load`)
    are hollow points in the colour of their model. With 13 data sets or more the panels are small
    and have no band. Means below the axis are marked on it.

    Parameters
    ----------
    scores : scores of the main protocol for one collection and one number of training runs.

    Raises
    ------
    DataError : scores for several numbers of training runs or feature blocks of one model.
    """
    return _lines(scores, "fraction", "fraction of the curve seen", theirs)


@style.styled
def over_training_size(scores: pd.DataFrame) -> Figure:
    """R² over the number of training runs: as `over_fraction`, for scores at one fraction.

    Raises
    ------
    DataError : scores at several fractions or for several feature blocks of one model.
    """
    fraction = _only(scores, "fraction")
    return _lines(
        scores, "n_train", f"training runs ({style.percent(fraction)} of the curve seen)", None
    )


def _only(scores: pd.DataFrame, column: str) -> float:
    values = sorted(set(scores[column]))
    if len(values) > 1:
        raise DataError(f"a figure for one {column} was given several: {values}")
    return float(values[0])


def over_repeats(scores: pd.DataFrame, x: str) -> pd.DataFrame:
    """Mean and 10 and 90 % quantiles over repeats.

    Returns one row per (dataset, model, x) with `mean, low, high`. Raises DataError where a cell
    has two values for one repeat.
    """
    keys = ["dataset", "model", x]
    twice = scores.duplicated([*keys, "repeat"])
    if twice.any():
        row = scores[twice].iloc[0]
        raise DataError(
            f"two values for {row['model']} on {row['dataset']} at {x} {row[x]}, repeat "
            f"{row['repeat']}: a figure shows one protocol"
        )
    r2 = scores.groupby(keys, sort=True)["r2"]
    columns = {"mean": r2.mean(), "low": r2.quantile(0.1), "high": r2.quantile(0.9)}
    return pd.DataFrame(columns).reset_index()


def _lines(scores: pd.DataFrame, x: str, label: str, theirs: pd.DataFrame | None) -> Figure:
    points = over_repeats(scores, x)
    datasets = sorted(set(points["dataset"]))
    models = in_order(points["model"], MODEL_ORDER)
    looks = style.looks(models)
    many = len(datasets) >= _MANY
    small = {"markersize": 2.5, "linewidth": 1.0} if many else {}
    figure, axes = style.panels(
        len(datasets),
        columns=5 if many else 3,
        height=1.45 if many else 2.4 if len(datasets) > 2 else 3.2,
        label=label if not many else label.split(" (")[0].replace(" of the curve seen", " seen"),
        sharex=True,
    )
    clipped = drawn = False
    for axis, dataset in zip(axes, datasets, strict=True):
        part = points[points["dataset"] == dataset]
        drawn_here = _published_points(theirs, dataset, models)
        bottom = style.r2_axis(axis, np.concatenate([part["mean"], drawn_here["r2"]]))
        for model in models:
            of_model = part[part["model"] == model]
            at, y = of_model[x].to_numpy(dtype=float), of_model["mean"].to_numpy()
            look = looks[model]
            axis.plot(at, y, **{**look.line(), **small})
            if not many:
                axis.fill_between(
                    at, of_model["low"], of_model["high"], color=look.colour, alpha=0.13, lw=0
                )
            clipped |= style.below_axis(axis, at, y, bottom, look.colour)
        drawn |= _draw_published(axis, drawn_here[drawn_here["r2"] >= bottom], looks)
        axis.set_title(style.short(dataset, 16 if many else 40))
    figure.supylabel("R² on test runs", fontsize=8.5)
    handles = [style.handle(model, **looks[model].line()) for model in models]
    style.legend(figure, [*handles, *_extra_handles(clipped, drawn)])
    return figure


def _published_points(
    published: pd.DataFrame | None, dataset: str, models: list[str]
) -> pd.DataFrame:
    """Published values on all blocks that concern a panel: `model, fraction, r2`."""
    if published is None:
        return pd.DataFrame({"model": [], "fraction": [], "r2": []})
    concerned = (
        (published["dataset"] == dataset)
        & published["model"].isin(models)
        & (published["features"] == FEATURE_ORDER[-1])
        & published["depth"].isna()
    )
    return published.loc[concerned, ["model", "fraction", "r2"]]


def _draw_published(axis: Axes, points: pd.DataFrame, looks: dict[str, style.Look]) -> bool:
    """Hollow points for published values; True if there are any."""
    for model, part in points.groupby("model"):
        look = looks[str(model)]
        axis.plot(
            part["fraction"],
            part["r2"],
            linestyle="none",
            marker=look.marker,
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=look.colour,
            markeredgewidth=0.9,
        )
    return len(points) > 0


def _extra_handles(clipped: bool, published: bool) -> Iterable[Line2D]:
    if published:
        yield style.handle(
            "published (hollow, larger)",
            color=style.GREY,
            linestyle="none",
            marker="o",
            markersize=8,
            markerfacecolor="none",
        )
    if clipped:
        yield style.below_axis_handle()


@style.styled
def distribution(summary: pd.DataFrame) -> Figure:
    """R² of each model over the data sets of a collection: a panel per fraction.

    A point per data set (its mean over repeats) on a box of the quartiles with the median; the
    number at the left end counts data sets below the axis.

    Parameters
    ----------
    summary : frame of `tables.summarise` of one collection and one number of training runs.
    """
    models = in_order(summary["model"], MODEL_ORDER)
    looks = style.looks(models)
    fractions = sorted(set(summary["fraction"]))
    figure, axes = style.panels(
        len(fractions),
        columns=3,
        height=0.22 * len(models) + 0.7,
        label="R² per data set",
        sharey=True,
    )
    for axis, fraction in zip(axes, fractions, strict=True):
        part = summary[summary["fraction"] == fraction]
        bottom = _horizontal_r2_axis(axis, part["r2_mean"].to_numpy())
        for row, model in enumerate(models):
            values = np.sort(part.loc[part["model"] == model, "r2_mean"].dropna().to_numpy())
            if not len(values):
                continue
            colour = looks[model].colour
            quartiles = np.quantile(values, [0.25, 0.5, 0.75])
            low, middle, high = np.clip(quartiles, bottom, 1)
            axis.barh(row, high - low, left=low, height=0.62, color=colour, alpha=0.22)
            if quartiles[1] >= bottom:
                axis.plot([middle, middle], [row - 0.31, row + 0.31], color=colour, linewidth=2)
            # Points of a row are set apart by rank, not at random: the same data, the same file.
            offset = 0.2 * (np.arange(len(values)) % 5 - 2) / 2
            inside = values >= bottom
            axis.plot(
                values[inside],
                row + offset[inside],
                "o",
                color=colour,
                markersize=2.2,
                markeredgewidth=0,
            )
            if (~inside).any():
                axis.text(
                    bottom - 0.02 * (1 - bottom),
                    row,
                    f"{np.sum(~inside)} ◂",
                    fontsize=7,
                    va="center",
                    ha="right",
                    color="#444444",
                )
        axis.set_yticks(range(len(models)), models)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.grid(False, axis="y")
        axis.set_title(f"{style.percent(fraction)} of the curve")
    figure.suptitle(
        f"{summary['dataset'].nunique()} data sets: a point each, box from quartile to quartile, "
        "line at the median; n ◂: n of them below the axis",
        fontsize=8.5,
        x=0.01,
        ha="left",
    )
    return figure


def _horizontal_r2_axis(axis: Axes, values: np.ndarray) -> float:
    bottom = style.r2_end(values)
    # Room on the left for the numbers of what lies below.
    axis.set_xlim(bottom - 0.16 * (1 - bottom), 1 + 0.03 * (1 - bottom))
    return bottom


@style.styled
def ablation(scores: pd.DataFrame, theirs: pd.DataFrame | None = None) -> Figure:
    """R² by combination of feature blocks: a panel per data set, a bar per model in each group.

    The line on a bar reaches from the 10 to the 90 % quantile over repeats; a hollow diamond over
    a group is the published value of the combination (whose kernel the source does not name).
    Bars that end below the axis are marked on it.

    Parameters
    ----------
    scores : scores of the ablation at one fraction and one number of training runs.

    Raises
    ------
    DataError : scores at several fractions or training sizes.
    """
    fraction = _only(scores, "fraction")
    points = over_repeats(scores, "features")
    datasets = sorted(set(points["dataset"]))
    models = in_order(points["model"], MODEL_ORDER)
    blocks = in_order(points["features"], FEATURE_ORDER)
    looks = style.looks(models)
    figure, axes = style.panels(len(datasets), columns=2, height=2.1, sharex=True)
    width = 0.8 / len(models)
    clipped = drawn = False
    for axis, dataset in zip(axes, datasets, strict=True):
        part = points[points["dataset"] == dataset]
        bottom = min(0.0, style.r2_axis(axis, part["mean"].to_numpy()))
        axis.set_ylim(bottom - 0.03, 1.03)
        for i, model in enumerate(models):
            of_model = part[part["model"] == model].set_index("features").reindex(blocks)
            y = of_model["mean"].to_numpy()
            at = np.arange(len(blocks)) + (i - (len(models) - 1) / 2) * width
            axis.bar(at, np.maximum(y, bottom), width * 0.92, color=looks[model].colour)
            axis.vlines(at, of_model["low"], of_model["high"], color="#333333", linewidth=0.8)
            clipped |= style.below_axis(axis, at, y, bottom, looks[model].colour)
        if theirs is not None:
            drawn |= _draw_published_blocks(axis, theirs, dataset, blocks, fraction)
        axis.axhline(0, color="#444444", linewidth=0.7)
        axis.set_xticks(range(len(blocks)), blocks)
        axis.tick_params(axis="x", labelbottom=True, length=0)
        axis.grid(False, axis="x")
        axis.set_title(style.short(dataset))
    figure.supylabel(f"R² at {style.percent(fraction)}", fontsize=8.5)
    handles = [
        style.handle(m, color=looks[m].colour, marker="s", linestyle="none", markersize=7)
        for m in models
    ]
    if drawn:
        handles.append(
            style.handle(
                "published",
                color=style.BLACK,
                marker="D",
                linestyle="none",
                markerfacecolor="white",
            )
        )
    if clipped:
        handles.append(style.below_axis_handle())
    style.legend(figure, handles)
    return figure


def _draw_published_blocks(
    axis: Axes, published: pd.DataFrame, dataset: str, blocks: list[str], fraction: float
) -> bool:
    points = published[
        (published["dataset"] == dataset)
        & (published["model"] == "nusvr")
        & published["features"].isin(blocks)
        & np.isclose(published["fraction"], fraction)
    ]
    axis.plot(
        [blocks.index(name) for name in points["features"]],
        points["r2"],
        "D",
        color=style.BLACK,
        markerfacecolor="white",
        markersize=4.5,
    )
    return len(points) > 0


def r2_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """`r2` over the fraction of the curve, and its `spread` over data sets."""
    scores = load_scores(inputs["scores"])
    theirs = published.load(Path(inputs["published"][0]).parent)
    return {"r2": over_fraction(scores, theirs), "spread": distribution(summarise(scores))}


def ablation_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """R² of the feature blocks; `params`: `fraction`."""
    theirs = published.load(Path(inputs["published"][0]).parent)
    return {"ablation": ablation(_at_fraction(inputs, params), theirs)}


def training_size_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """R² over the number of training runs; `params`: `fraction`."""
    return {"training_size": over_training_size(_at_fraction(inputs, params))}


def _at_fraction(inputs: Inputs, params: Mapping[str, Any]) -> pd.DataFrame:
    scores = load_scores(inputs["scores"])
    return scores[scores["fraction"].round(6) == params["fraction"]]
