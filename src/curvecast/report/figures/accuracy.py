"""Figures of scores: R², its spread over data sets, ranks of the models, and coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scikit_posthocs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy.special import ndtri

from curvecast.benchmark.comparisons import METRICS, largest, load_scores, summarise
from curvecast.benchmark.ranks import LEVEL, nemenyi
from curvecast.benchmark.scores import INTERVALS
from curvecast.curves import DataError, collection_of
from curvecast.predictors.quantiles import LEVELS
from curvecast.report.figures import style
from curvecast.report.names import FEATURE_ORDER, collection_title, in_order
from curvecast.report.tables import published as tables

READERS = {
    "scores": load_scores,
    "published": lambda files: tables.load(Path(files[0]).parent),
}
_HOLLOW: dict[str, Any] = {"markersize": 8, "markerfacecolor": "none", "linestyle": "none"}
_DIAMOND = {**style.look(style.BLACK, "D", "none"), "markerfacecolor": "white"}
_BELOW = {**style.look(style.GREY, "v", "none"), "markersize": 5.5}
_NOMINAL = {"cover50": 0.50, "cover80": 0.80, "cover95": 0.95}


@style.styled
def r2(scores: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """R² over the fraction of the curve: a panel per data set, a line per model.

    The line is the mean over repeats of the scores of one collection, the band reaches from their
    10 to their 90 % quantile; published values (of `published.load`) are hollow points. Small
    panels have no band. Means below the axis are marked on it.

    Raises
    ------
    DataError : scores for several numbers of training runs or feature blocks of one model.
    """
    theirs = published[(published["features"] == FEATURE_ORDER[-1]) & published["depth"].isna()]
    looks = style.looks(in_order(scores["model"]))
    figure, panels = style.dataset_panels(
        _over_repeats(scores, "fraction"),
        label="fraction of the curve seen",
        ylabel="R² on test runs",
        sharex=True,
    )
    many = len(panels) > style.MANY
    small: dict[str, Any] = {"markersize": 2.5, "linewidth": 1.0} if many else {}
    clipped = drawn = False
    for axis, part in panels:
        hollow = theirs[theirs["dataset"].isin(part["dataset"]) & theirs["model"].isin(list(looks))]
        bottom = r2_end(np.concatenate([part["mean"], hollow["r2"]]))
        axis.set_ylim(bottom - 0.03 * (1 - bottom), 1 + 0.03 * (1 - bottom))
        for model, look in looks.items():
            line = part[part["model"] == model]
            axis.plot(line["fraction"], line["mean"], **look, **small)
            if not many:
                band = {"color": look["color"], "alpha": 0.13, "linewidth": 0}
                axis.fill_between(line["fraction"], line["low"], line["high"], **band)
            clipped |= below_axis(axis, line["fraction"], line["mean"], bottom, look["color"])
            points = hollow[(hollow["model"] == model) & (hollow["r2"] >= bottom)]
            edge: dict[str, Any] = {"markeredgecolor": look["color"], "markeredgewidth": 0.9}
            if len(points):
                edge |= {"marker": look["marker"]}
                axis.plot(points["fraction"], points["r2"], **_HOLLOW, **edge)
                drawn = True
    entries = dict(looks)
    if drawn:
        entries["published (hollow, larger)"] = {"color": style.GREY, "marker": "o", **_HOLLOW}
    style.legend(figure, entries | ({"below the axis": _BELOW} if clipped else {}))
    return figure


@style.styled
def training_size(sizes: pd.DataFrame, fraction: float) -> Figure:
    """MAE over that of last_value by the number of training runs: a panel per collection.

    A line per model is the median over data sets with bars from quartile to quartile, or the value
    on a single data set ± its standard error. `sizes` holds rows of `comparisons.over_last_value`,
    of which a run without last_value has none.
    """
    if sizes.empty:
        return style.panels(["nothing to compare with: no model last_value"], columns=1)[0]
    frame = _at(sizes, fraction)
    runs, looks = sorted(set(frame["n_train"])), style.looks(in_order(frame["model"]))
    figure, panels = style.group_panels(
        frame.assign(collection=frame["dataset"].map(collection_of)),
        "collection",
        collection_title,
        columns=3,
        height=3.4,
        label="finished runs to learn from",
        ylabel=f"MAE / MAE of last_value at {style.percent(fraction)}",
    )
    for axis, part in panels:
        axis.axhline(1, color=style.DARK, linewidth=0.8)
        for i, (model, look) in enumerate(looks.items()):
            of_model = part[part["model"] == model].groupby("n_train")["mae_ratio"]
            low, middle, high = (of_model.quantile(q) for q in (0.25, 0.5, 0.75))
            if part["dataset"].nunique() == 1:
                error = part[part["model"] == model].set_index("n_train")["mae_ratio_se"]
                low, high = middle - error, middle + error
            at = [runs.index(n) + 0.3 * (i / len(looks) - 0.5) for n in middle.index]
            axis.plot(at, middle, **look)
            axis.vlines(at, low, high, color=look["color"], linewidth=0.7)
        axis.set_yscale("log")
        axis.set_ylim(top=min(4.0, 1.1 * part["mae_ratio"].max()))
        axis.set_xticks(range(len(runs)), map(str, runs))
        # All of 1 to 9 would be printed over each other.
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
    style.legend(figure, looks)
    return figure


def _at(scores: pd.DataFrame, fraction: float) -> pd.DataFrame:
    return scores[np.isclose(scores["fraction"], fraction)]


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
    cells = scores.groupby(keys)["r2"]
    columns = {"mean": cells.mean(), "low": cells.quantile(0.1), "high": cells.quantile(0.9)}
    return pd.DataFrame(columns).reset_index()


def r2_end(values: np.ndarray) -> float:
    """Where an axis of R² ends below: a little under the smallest value, at least -0.25.

    Heavy tails would flatten the rest; `below_axis` marks what lies under the end.
    """
    finite = values[np.isfinite(values)]
    smallest = float(finite.min()) if len(finite) else 0.0
    return max(-0.25, smallest - 0.05 * (1 - smallest))


def below_axis(axis: Axes, x: Any, y: Any, bottom: float, colour: str) -> bool:
    """Mark points under the lower end of the axis by a triangle there; True if there are any."""
    under = np.asarray(x)[np.asarray(y) < bottom]
    if len(under):
        triangles: dict[str, Any] = {**_BELOW, "color": colour, "clip_on": False}
        axis.plot(under, np.full(len(under), bottom), **triangles)
    return len(under) > 0


@style.styled
def spread(scores: pd.DataFrame) -> Figure:
    """R² of each model over the data sets of a collection: a panel per fraction.

    A point per data set on a box of the quartiles with the median; the number at the left end
    counts data sets below the axis.
    """
    summary = summarise(scores)
    looks = style.looks(in_order(summary["model"]))
    figure, panels = style.group_panels(
        summary.sort_values("fraction", kind="stable"),
        "fraction",
        lambda fraction: f"{style.percent(fraction)} of the curve",
        columns=3,
        height=0.22 * len(looks) + 0.7,
        label="R² per data set",
        sharey=True,
    )
    for axis, part in panels:
        bottom = r2_end(part["r2_mean"].to_numpy())
        # Room on the left for the numbers of what lies below.
        axis.set_xlim(bottom - 0.16 * (1 - bottom), 1 + 0.03 * (1 - bottom))
        for row, (model, look) in enumerate(looks.items()):
            values = np.sort(part.loc[part["model"] == model, "r2_mean"].dropna().to_numpy())
            if len(values):
                _box(axis, row, values, bottom, look["color"])
        axis.set_yticks(range(len(looks)), list(looks))
        axis.set_ylim(len(looks) - 0.5, -0.5)
        axis.grid(False, axis="y")
    text = "data sets: a point each, box from quartile to quartile, line at the median"
    text = f"{summary['dataset'].nunique()} {text}; n ◂: n of them below the axis"
    figure.suptitle(text, x=0.01, ha="left")
    return figure


def _box(axis: Axes, row: int, values: np.ndarray, bottom: float, colour: str) -> None:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).clip(bottom)
    axis.barh(row, high - low, left=low, height=0.62, color=colour, alpha=0.22)
    if middle > bottom:
        axis.plot([middle, middle], [row - 0.31, row + 0.31], color=colour, linewidth=2)
    # Points of a row are set apart by rank, not at random: the same data, the same file.
    offset = 0.2 * (np.arange(len(values)) % 5 - 2) / 2
    inside = values >= bottom
    dots: dict[str, Any] = {"color": colour, "markersize": 2.2, "markeredgewidth": 0}
    axis.plot(values[inside], row + offset[inside], "o", **dots)
    if not inside.all():
        at, text = bottom - 0.02 * (1 - bottom), f"{np.sum(~inside)} ◂"
        axis.text(at, row, text, fontsize=7, va="center", ha="right", color=style.DARK)


@style.styled
def ablation(scores: pd.DataFrame, published: pd.DataFrame, fraction: float) -> Figure:
    """R² by combination of feature blocks: a panel per data set, a bar per model in each group.

    The line on a bar reaches from the 10 to the 90 % quantile over repeats; a hollow diamond is
    the published value (whose kernel the source does not name). Bars that end below the axis are
    marked on it. Raises DataError for scores at several training sizes.
    """
    blocks = in_order(scores["features"], FEATURE_ORDER)
    theirs = _at(published[published["features"].isin(blocks)], fraction)
    looks = style.looks(in_order(scores["model"]))
    figure, panels = style.group_panels(
        _over_repeats(_at(scores, fraction), "features"),
        "dataset",
        style.short,
        columns=2,
        height=2.1,
        ylabel=f"R² at {style.percent(fraction)}",
        sharex=True,
    )
    width = 0.8 / len(looks)
    clipped = drawn = False
    for axis, part in panels:
        bottom = min(0.0, r2_end(part["mean"].to_numpy()))
        axis.set_ylim(bottom - 0.03, 1.03)
        for i, (model, look) in enumerate(looks.items()):
            bars = part[part["model"] == model].set_index("features").reindex(blocks)
            at = np.arange(len(blocks)) + (i - (len(looks) - 1) / 2) * width
            axis.bar(at, bars["mean"].clip(bottom), width * 0.92, color=look["color"])
            axis.vlines(at, bars["low"], bars["high"], color="#333333", linewidth=0.8)
            clipped |= below_axis(axis, at, bars["mean"], bottom, look["color"])
        points = theirs[theirs["dataset"].isin(part["dataset"]) & (theirs["model"] == "nusvr")]
        axis.plot(points["features"].map(blocks.index), points["r2"], **_DIAMOND, markersize=4.5)
        drawn |= len(points) > 0
        axis.axhline(0, color=style.DARK, linewidth=0.7)
        axis.set_xticks(range(len(blocks)), blocks)
        axis.tick_params(axis="x", labelbottom=True, length=0)
        axis.grid(False, axis="x")
    squares = {"marker": "s", "linestyle": "none", "markersize": 7}
    entries = {model: {"color": look["color"], **squares} for model, look in looks.items()}
    entries |= {"published": _DIAMOND} if drawn else {}
    style.legend(figure, entries | ({"below the axis": _BELOW} if clipped else {}))
    return figure


@style.styled
def ranks(ranks: pd.DataFrame, collection: str) -> Figure:
    """Critical-difference diagrams: a row of panels per fraction, a panel per metric.

    1 is the best rank. A bar joins models that do not differ by the Nemenyi test at the level
    .05. Data sets with other numbers of training runs have rows of their own. `ranks` holds rows
    of `ranks.average_ranks`.
    """
    frame = ranks[ranks["collection"] == collection]
    sizes = frame["n_train"].nunique()
    keys = frame[["fraction", "n_train"]].drop_duplicates().sort_values(["fraction", "n_train"])
    cells = [(*key, metric) for key in keys.itertuples(index=False) for metric in METRICS]
    looks = style.looks(sorted(set(frame["model"])))
    height = 0.9 + 0.11 * len(looks)
    figure, axes = style.panels([""] * len(cells), columns=len(METRICS), height=height)
    for axis, (fraction, runs, metric) in zip(axes, cells, strict=True):
        wanted = {"fraction": fraction, "n_train": runs, "metric": metric}
        part = frame[(frame[list(wanted)] == pd.Series(wanted)).all(axis=1)]
        sets = int(part["sets"].iloc[0])
        trained = f", {runs} training runs" * (sizes > 1)
        axis.set_title(f"{metric} at {style.percent(fraction)}{trained}, {sets} data sets", pad=22)
        axis.grid(False)
        if part["critical_difference"].isna().any():
            axis.set_axis_off()
            axis.text(0.0, 0.5, "too few data sets", transform=axis.transAxes)
        else:
            _diagram(axis, part.set_index("model")["average_rank"], sets, looks)
    note = "average rank (1 = best); bars join models that are not told apart"
    figure.suptitle(f"{collection_title(collection)}: {note}", fontsize=9, x=0.01, ha="left")
    return figure


def _diagram(axis: Axes, ranks: pd.Series, sets: int, looks: dict[str, style.Look]) -> None:
    scikit_posthocs.critical_difference_diagram(
        ranks,
        pd.DataFrame(nemenyi(ranks.to_numpy(), sets), index=ranks.index, columns=ranks.index),
        alpha=LEVEL,
        ax=axis,
        label_fmt_left="{label} ({rank:.1f})",
        label_fmt_right="({rank:.1f}) {label}",
        label_props={"fontsize": 7},
        marker_props={"s": 14},
        elbow_props={"linewidth": 0.9},
        crossbar_props={"linewidth": 2.2, "color": style.DARK},
        color_palette={model: looks[model]["color"] for model in ranks.index},
    )


@style.styled
def coverage(summary: pd.DataFrame) -> Figure:
    """Observed coverage of the 50, 80 and 95 % intervals over the fraction of the curve.

    A row of panels per collection, a panel per nominal level (the dark line), a line per model:
    the mean over the data sets of a frame of `comparisons.summarise`.
    """
    frame = largest(summary).assign(collection=lambda rows: rows["dataset"].map(collection_of))
    looks = style.looks(in_order(frame["model"]))
    means = frame.groupby(["collection", "model", "fraction"])[list(_NOMINAL)].mean()
    cells = [(c, column) for c in means.index.unique("collection") for column in _NOMINAL]
    titles = [f"{collection_title(c)}, {style.percent(_NOMINAL[i])} intervals" for c, i in cells]
    figure, axes = style.panels(
        titles,
        columns=len(_NOMINAL),
        label="fraction of the curve seen",
        ylabel="observed coverage (mean over data sets)",
        sharex=True,
    )
    for axis, (collection, column) in zip(axes, cells, strict=True):
        level = _NOMINAL[column]
        axis.axhline(level, color=style.DARK, linewidth=1.2)
        for model, look in looks.items():
            if (collection, model) in means.index:
                axis.plot(means.loc[(collection, model), column], **look, linewidth=1.0)
        # Panels reach at least .1 below and .05 above the nominal level, or small departures
        # would seem large.
        low, high = min(level - 0.1, frame[column].min()), max(level + 0.05, frame[column].max())
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    style.legend(figure, looks)
    return figure


@style.styled
def reliability(scores: pd.DataFrame) -> Figure:
    """Actual against nominal coverage of the central intervals: a panel per fraction.

    A point is the mean over repeats and data sets of the scores of one collection. Below the
    diagonal a model is too sure, above it too careful. Both axes are in normal scores of one
    tail, so that .95 and .99 stand apart.
    """
    nominal = {name: LEVELS[high] - LEVELS[low] for name, (low, high) in INTERVALS.items()}
    by_set = scores.groupby(["fraction", "model", "dataset"])[list(nominal)].mean()
    actual = by_set.groupby(level=["fraction", "model"]).mean()
    fractions = actual.index.unique("fraction")
    looks = style.looks(in_order(scores["model"]))
    figure, axes = style.panels(
        [f"{style.percent(fraction)} of the curve seen" for fraction in fractions],
        columns=3,
        height=2.9,
        label="nominal coverage",
        ylabel="actual coverage on test runs",
        sharey=True,
    )
    ticks = [0.2, *nominal.values()]
    labels = [style.percent(tick) for tick in ticks]
    for axis, fraction in zip(axes, fractions, strict=True):
        axis.plot([0, 4], [0, 4], color=style.DARK, linewidth=1.2)
        for model, look in looks.items():
            at = _scores(actual.loc[(fraction, model)])
            axis.plot(_scores(list(nominal.values())), at, **look, linewidth=1.0)
        axis.set_xticks(_scores(ticks), labels)
        axis.set_yticks(_scores(ticks), labels)
        axis.set(xlim=_scores([0.45, 0.995]), ylim=_scores([0.15, 0.998]))
    style.legend(figure, looks)
    return figure


def _scores(coverage: Any) -> np.ndarray:
    """Half-width, in standard deviations, of a Gaussian's central interval; 1 is drawn at .999."""
    return ndtri(0.5 + np.minimum(np.asarray(coverage), 0.999) / 2)
