"""Figures of R²: over the fraction of the curve, over training runs, by block, over data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curvecast.benchmark.comparisons import load_scores, summarise
from curvecast.curves import DataError
from curvecast.report.figures import Inputs, style
from curvecast.report.names import FEATURE_ORDER, in_order
from curvecast.report.tables import published

# From so many data sets on, panels are small and legends replace the spread.
_MANY = 13
_HOLLOW = {"markersize": 8, "markerfacecolor": "none", "linestyle": "none"}
_DIAMOND = {"marker": "D", "linestyle": "none", "color": style.BLACK, "markerfacecolor": "white"}


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


@style.styled
def over_fraction(scores: pd.DataFrame, theirs: pd.DataFrame | None = None) -> Figure:
    """R² over the fraction of the curve: a panel per data set, a line per model.

    The line is the mean over repeats of the scores of one collection, the band reaches from their
    10 to their 90 % quantile; published values (`published.load`) are hollow points. With 13 data
    sets or more the panels are small and have no band. Means below the axis are marked on it.

    Raises
    ------
    DataError : scores for several numbers of training runs or feature blocks of one model.
    """
    return _lines(scores, "fraction", "fraction of the curve seen", theirs)


@style.styled
def over_training_size(scores: pd.DataFrame) -> Figure:
    """R² over the number of training runs: as `over_fraction`, for scores at one fraction."""
    fraction = _only_fraction(scores)
    return _lines(scores, "n_train", f"training runs ({style.percent(fraction)} of the curve seen)")


def _only_fraction(scores: pd.DataFrame) -> float:
    values = sorted(set(scores["fraction"]))
    if len(values) > 1:
        raise DataError(f"a figure for one fraction was given several: {values}")
    return float(values[0])


def _over_repeats(scores: pd.DataFrame, x: str) -> pd.DataFrame:
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


def _lines(scores: pd.DataFrame, x: str, label: str, theirs: pd.DataFrame | None = None) -> Figure:
    points = _over_repeats(scores, x)
    datasets, models = sorted(set(points["dataset"])), in_order(points["model"])
    looks = style.looks(models)
    many = len(datasets) >= _MANY
    figure, axes = style.panels(
        [style.short(dataset, 16 if many else 40) for dataset in datasets],
        columns=5 if many else 3,
        height=1.45 if many else 2.4 if len(datasets) > 2 else 3.2,
        label=label if not many else label.split(" (")[0].replace(" of the curve seen", " seen"),
        ylabel="R² on test runs",
        sharex=True,
    )
    clipped = drawn = False
    for axis, dataset in zip(axes, datasets, strict=True):
        part = points[points["dataset"] == dataset]
        hollow = _published_points(theirs, dataset, models)
        bottom = style.r2_axis(axis, np.concatenate([part["mean"], hollow["r2"]]))
        for model in models:
            of_model = part[part["model"] == model]
            at, y = of_model[x].to_numpy(dtype=float), of_model["mean"].to_numpy()
            colour = looks[model]["color"]
            small = {"markersize": 2.5, "linewidth": 1.0} if many else {}
            axis.plot(at, y, **looks[model], **small)
            if not many:
                style.band(axis, at, of_model["low"], of_model["high"], colour, 0.13)
            clipped |= style.below_axis(axis, at, y, bottom, colour)
        drawn |= _draw_published(axis, hollow[hollow["r2"] >= bottom], looks)
    entries = dict(looks)
    if drawn:
        entries["published (hollow, larger)"] = {"color": style.GREY, "marker": "o", **_HOLLOW}
    style.legend(figure, entries | (style.BELOW_AXIS if clipped else {}))
    return figure


def _published_points(theirs: pd.DataFrame | None, dataset: str, models: list[str]) -> pd.DataFrame:
    """Published values on all blocks that concern a panel: `model, fraction, r2`."""
    if theirs is None:
        return pd.DataFrame({"model": [], "fraction": [], "r2": []})
    concerned = (
        (theirs["dataset"] == dataset)
        & theirs["model"].isin(models)
        & (theirs["features"] == FEATURE_ORDER[-1])
        & theirs["depth"].isna()
    )
    return theirs.loc[concerned, ["model", "fraction", "r2"]]


def _draw_published(axis: Axes, points: pd.DataFrame, looks: dict[str, style.Look]) -> bool:
    """Hollow points for published values; True if there are any."""
    for model, part in points.groupby("model"):
        look = looks[str(model)]
        edge = {"markeredgecolor": look["color"], "markeredgewidth": 0.9}
        axis.plot(part["fraction"], part["r2"], marker=look["marker"], **_HOLLOW, **edge)
    return len(points) > 0


@style.styled
def distribution(summary: pd.DataFrame) -> Figure:
    """R² of each model over the data sets of a collection: a panel per fraction.

    A point per data set of a frame of `comparisons.summarise` on a box of the quartiles with the
    median; the number at the left end counts data sets below the axis.
    """
    models = in_order(summary["model"])
    looks = style.looks(models)
    fractions = sorted(set(summary["fraction"]))
    figure, axes = style.panels(
        [f"{style.percent(fraction)} of the curve" for fraction in fractions],
        columns=3,
        height=0.22 * len(models) + 0.7,
        label="R² per data set",
        sharey=True,
    )
    for axis, fraction in zip(axes, fractions, strict=True):
        part = summary[summary["fraction"] == fraction]
        bottom = style.r2_end(part["r2_mean"].to_numpy())
        # Room on the left for the numbers of what lies below.
        axis.set_xlim(bottom - 0.16 * (1 - bottom), 1 + 0.03 * (1 - bottom))
        for row, model in enumerate(models):
            values = np.sort(part.loc[part["model"] == model, "r2_mean"].dropna().to_numpy())
            if len(values):
                _box(axis, row, values, bottom, looks[model]["color"])
        axis.set_yticks(range(len(models)), models)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.grid(False, axis="y")
    style.heading(
        figure,
        f"{summary['dataset'].nunique()} data sets: a point each, box from quartile to quartile, "
        "line at the median; n ◂: n of them below the axis",
    )
    return figure


def _box(axis: Axes, row: int, values: np.ndarray, bottom: float, colour: str) -> None:
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    low, middle, high = np.clip(quartiles, bottom, 1)
    axis.barh(row, high - low, left=low, height=0.62, color=colour, alpha=0.22)
    if quartiles[1] >= bottom:
        axis.plot([middle, middle], [row - 0.31, row + 0.31], color=colour, linewidth=2)
    # Points of a row are set apart by rank, not at random: the same data, the same file.
    offset = 0.2 * (np.arange(len(values)) % 5 - 2) / 2
    inside = values >= bottom
    dots = {"color": colour, "markersize": 2.2, "markeredgewidth": 0}
    axis.plot(values[inside], row + offset[inside], "o", **dots)
    if (~inside).any():
        style_of_text = {"fontsize": 7, "va": "center", "ha": "right", "color": style.DARK}
        axis.text(bottom - 0.02 * (1 - bottom), row, f"{np.sum(~inside)} ◂", **style_of_text)


@style.styled
def ablation(scores: pd.DataFrame, theirs: pd.DataFrame | None = None) -> Figure:
    """R² by combination of feature blocks: a panel per data set, a bar per model in each group.

    The line on a bar reaches from the 10 to the 90 % quantile over repeats; a hollow diamond is
    the published value (whose kernel the source does not name). Bars that end below the axis are
    marked on it. Raises DataError for scores at several fractions or training sizes.
    """
    fraction = _only_fraction(scores)
    points = _over_repeats(scores, "features")
    datasets, models = sorted(set(points["dataset"])), in_order(points["model"])
    blocks = in_order(points["features"], FEATURE_ORDER)
    colours = {model: look["color"] for model, look in style.looks(models).items()}
    ylabel = f"R² at {style.percent(fraction)}"
    titles = [style.short(dataset) for dataset in datasets]
    figure, axes = style.panels(titles, columns=2, height=2.1, ylabel=ylabel, sharex=True)
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
            axis.bar(at, np.maximum(y, bottom), width * 0.92, color=colours[model])
            axis.vlines(at, of_model["low"], of_model["high"], color="#333333", linewidth=0.8)
            clipped |= style.below_axis(axis, at, y, bottom, colours[model])
        if theirs is not None:
            drawn |= _draw_published_blocks(axis, theirs, dataset, blocks, fraction)
        axis.axhline(0, color=style.DARK, linewidth=0.7)
        axis.set_xticks(range(len(blocks)), blocks)
        axis.tick_params(axis="x", labelbottom=True, length=0)
        axis.grid(False, axis="x")
    entries = {m: {**style.look(c, "s", "none"), "markersize": 7} for m, c in colours.items()}
    entries |= {"published": _DIAMOND} if drawn else {}
    style.legend(figure, entries | (style.BELOW_AXIS if clipped else {}))
    return figure


def _draw_published_blocks(
    axis: Axes, theirs: pd.DataFrame, dataset: str, blocks: list[str], fraction: float
) -> bool:
    points = theirs[
        (theirs["dataset"] == dataset)
        & (theirs["model"] == "nusvr")
        & theirs["features"].isin(blocks)
        & np.isclose(theirs["fraction"], fraction)
    ]
    at = [blocks.index(name) for name in points["features"]]
    axis.plot(at, points["r2"], **_DIAMOND, markersize=4.5)
    return len(points) > 0
