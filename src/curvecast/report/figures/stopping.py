"""Figures of early stopping: trade-off, course of searches, reliability, stopped runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from curvecast.curves import CurveSet, collection_of
from curvecast.report.figures import style

READERS = {"curves": lambda files: CurveSet.from_parquet(files[0])}
_RULES = {
    "online": style.look(style.RED, "*"),
    "median": style.look(style.SKY, "D", style.DASHED),
    "successive halving": style.look(style.ORANGE, "^", style.DASHED),
    "patience": style.look(style.GREEN, "v", style.DASHED),
    "oracle": style.look(style.GREY, "P", style.DASHED),
    "never stop": style.look(style.LIGHT, "s"),
}
_RULE_NAMES = {"successive_halving": "successive halving", "none": "never stop"}
_BOUND: dict[str, Any] = {"color": style.GREY, "linestyle": style.DASHED, "linewidth": 1}
_ONLINE_BOUND = {**_BOUND, "color": style.RED}
_FIXED = {**style.look(style.RED, "*", "none"), "markersize": 11}
# Regret is drawn in proportion up to here, and in its logarithm from here on.
_LINEAR = 0.005
# The axis of the relative loss reaches at least so far.
_SMALL_LOSS = 0.01
# A figure of single curves holds so many at most, spread evenly over the search.
_MOST_CURVES = 250
_FATES = {
    "not stopped": style.BLUE,  # finished, or diverged among the first full runs
    "stopped": style.GREY,
    "stopped, would have been the new best": style.RED,
}


@style.styled
def tradeoff(speedups: pd.DataFrame, traces: pd.DataFrame, collection: str) -> Figure:
    """Speedup against regret, a line over Delta per predictor, a panel per data set.

    `speedups` are rows of `speedups.speedup_sequential`, of which those of the collection with a
    setting of the `traces` are drawn; the large star is the fixed setting. Dashed lines are the
    bounds of an oracle after as many full runs as a rule has: that of the online search in its
    colour, that of the other rules in grey.
    """
    shown = speedups["setting"].isin(traces["setting"])
    frame = _with_lines(_of_collection(speedups[shown], collection))
    looks = _looks(frame[~frame["predictor"].isin(["oracle", "none"])])
    label = "mean regret (median to best = 1)"
    figure, panels = style.dataset_panels(
        frame, _mean_over_datasets(frame), label=label, ylabel="speedup"
    )
    for axis, part in panels:
        axis.axhline(part.loc[part["predictor"] == "oracle", "speedup"].iloc[0], **_BOUND)
        for bound in set(part.loc[part["line"] == "online", "oracle_bound"].dropna()):
            axis.axhline(bound, **_ONLINE_BOUND)
        for key, look in looks.items():
            line = part[part["line"] == key]
            axis.plot(line["regret_mean"], line["speedup"], **look)
        fixed = part[part["default"]]
        axis.plot(fixed["regret_mean"], fixed["speedup"], **_FIXED)
        axis.set_xscale("symlog", linthresh=_LINEAR, linscale=0.5)
        # Infinite where the median run is as good as the best one.
        right = max([0.1, *(1.5 * part["regret_mean"][np.isfinite(part["regret_mean"])])])
        axis.set_xlim(-_LINEAR / 10, right)
        ticks = [tick for tick in (0, 0.01, 0.1, 1) if tick <= right]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        # The bound of the online search is several times that of the others.
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
        highest = part[["speedup", "oracle_bound"]].to_numpy(dtype=np.float64)
        axis.set_ylim(0.9, 1.2 * np.nanmax(highest))
    bounds = {"bound": _BOUND, **({"bound of online": _ONLINE_BOUND} if "online" in looks else {})}
    style.legend(figure, {**looks, **bounds}, columns=5)
    return figure


def _mean_over_datasets(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean regret and geometric mean of the speedups, of what every data set has."""
    keys = ["predictor", "line", "delta", "default"]
    speedups = ["speedup", "oracle_bound"]
    logs = frame.copy()
    logs[speedups] = np.log(frame[speedups])
    groups = logs.groupby(keys, dropna=False)
    means = groups[["regret_mean", *speedups]].mean().assign(datasets=groups.size()).reset_index()
    means[speedups] = np.exp(means[speedups])
    return means[means["datasets"] == frame["dataset"].nunique()]


def _with_lines(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with the label of their `line`: the predictor or rule, or the online search."""
    names = frame["predictor"].replace(_RULE_NAMES)
    return frame.assign(line=names.where(frame["setting"] != "online", "online"))


def _of_collection(frame: pd.DataFrame, collection: str) -> pd.DataFrame:
    return frame[frame["dataset"].map(collection_of) == collection]


def _looks(frame: pd.DataFrame) -> dict[str, style.Look]:
    """The look of every line, predictors first."""
    lines = set(frame["line"])
    predictors = style.looks(sorted(lines - set(_RULES)))
    return predictors | {name: look for name, look in _RULES.items() if name in lines}


@style.styled
def best_value(traces: pd.DataFrame) -> Figure:
    """Best final value so far over the epochs used, mean over orderings, per data set.

    `traces` holds rows of `SearchStudy.traces`, "never stop" among them. A line ends, with a
    marker, where its searches do on average. Lines start at 1 % of all epochs; before it they
    differ by chance alone.
    """
    frame = _with_lines(traces)
    looks = _looks(frame)
    label = "epochs used / epochs of all runs"
    figure, panels = style.dataset_panels(frame, label=label, ylabel="best final value")
    for axis, part in panels:
        everything = part.loc[part["predictor"] == "none", "epochs"].max()
        for key, searches in part.groupby("line"):
            used, best = course(searches)
            share, look = used / everything, looks[str(key)]
            axis.plot(share[share >= 0.01], best[share >= 0.01], **{**look, "marker": "None"})
            axis.plot(share[-1], best[-1], look["marker"], color=look["color"])
        axis.set_xscale("log")
        axis.set_xlim(0.01, 1.15)
    style.legend(figure, looks, columns=5)
    return figure


def course(traces: pd.DataFrame, n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Mean course of several searches: epochs used, and mean best value at each of them.

    From where every search has a finished run to the mean end of the searches, log-spaced.
    """
    searches = [
        (search["epochs"].to_numpy(), search["best"].to_numpy())
        for _, search in traces.groupby("ordering")
    ]
    first = max(used[np.isfinite(best)][0] for used, best in searches)
    last = np.mean([used[-1] for used, _ in searches])
    last = max(last, first)
    grid = np.clip(np.geomspace(first, last, n_points), first, last)  # geomspace rounds its ends
    values = [best[np.searchsorted(used, grid, side="right") - 1] for used, best in searches]
    return grid, np.mean(values, axis=0)


@style.styled
def reliability(reliability: pd.DataFrame) -> Figure:
    """Share of the runs that did end worse against the predicted probability, per data set.

    `reliability` holds rows of `SearchStudy.reliability`; a dot grows with its number of decisions.
    """
    looks = style.looks(sorted(set(reliability["predictor"])))
    label = "predicted probability of ending worse"
    figure, panels = style.dataset_panels(
        reliability, label=label, ylabel="share that did end worse"
    )
    for axis, of_dataset in panels:
        axis.plot([0, 1], [0, 1], color=style.LIGHT, linewidth=1)
        for predictor, part in of_dataset.groupby("predictor"):
            look = looks[str(predictor)]
            axis.plot(part["probability"], part["worse"], **{**look, "marker": "None"})
            sizes = 60 * part["decisions"] / part["decisions"].sum() + 4
            axis.scatter(part["probability"], part["worse"], s=sizes, color=look["color"], lw=0)
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    style.legend(figure, looks)
    return figure


@style.styled
def hyperband(speedups: pd.DataFrame, collection: str) -> Figure:
    """Speedup of f-Hyperband against its loss, a line over Delta per setting and predictor.

    `speedups` are rows of `speedups.speedup_hyperband`; the settled Hyperbands are drawn.
    """
    frame = _of_collection(speedups[speedups["window"] == "settled"], collection)
    looks = style.looks(sorted(set(frame["predictor"])))
    label = "mean loss of the final value\n(median to best = 1)"
    ylabel = "speedup over vanilla Hyperband"
    figure, panels = style.dataset_panels(frame, label=label, ylabel=ylabel)
    for axis, part in panels:
        axis.axhline(part["oracle_bound"].iloc[0], **_BOUND)
        axis.axvline(0, color=style.LIGHT, linewidth=1)
        for (predictor, _), line in part[~part["default"]].groupby(["predictor", "setting"]):
            look = looks[str(predictor)]
            axis.plot(line["loss_relative_mean"], line["speedup"], **look, alpha=0.7)
        fixed = part[part["default"]]
        axis.plot(fixed["loss_relative_mean"], fixed["speedup"], **_FIXED)
        axis.set_ylim(0, 1.08 * part["oracle_bound"].max())
        # Losses that mean nothing would fill the width.
        low, high = part["loss_relative_mean"].min(), part["loss_relative_mean"].max()
        low, high = min(low, -_SMALL_LOSS / 5), max(high, _SMALL_LOSS)
        axis.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        axis.locator_params(axis="x", nbins=4)
    star = {"fixed setting": style.look(style.RED, "*", "none")} if frame["default"].any() else {}
    style.legend(figure, {**looks, **star, "bound (oracle)": _BOUND})
    return figure


@style.styled
def stopped(curves: CurveSet, ends: pd.DataFrame) -> Figure:
    """Which runs were stopped where, in one ordering: a row per search.

    Left, the curves as far as they were trained; right, the epoch at which they ended over the
    order of the search; of a long search every so many runs, and all that would have been the new
    best. `ends` holds rows of `SearchStudy.ends` of one data set.
    """
    groups = list(ends.groupby(["predictor", "setting", "delta"]))
    titles = []
    for (predictor, setting, delta), part in groups:
        name = predictor if setting == "baker" else f"{predictor}, {setting}"
        share = (part["decided"] & ~part["finished"]).mean()
        titles += [f"{name}, Delta {delta}", f"{100 * share:.0f} % stopped"]
    figure, axes = style.panels(titles, columns=2, height=1.9)
    gains = curves.sign * curves.values[np.isfinite(curves.values)]
    limits = sorted((curves.sign * np.percentile(gains, 2), curves.sign * gains.max()))
    every = -(-max(len(part) for _, part in groups) // _MOST_CURVES)
    for (_, part), left, right in zip(groups, axes[::2], axes[1::2], strict=True):
        part = part[(np.arange(len(part)) % every == 0) | part["beats"].to_numpy()]
        fates = fate(part)
        _trained_curves(left, curves, part, fates)
        left.set_ylim(*limits)
        for name, colour in _FATES.items():
            dots = {**style.look(colour, "o", "none"), "markersize": 2, "markeredgewidth": 0}
            ended = part[fates == name]
            right.plot(ended["position"], ended["epoch"], **dots)
        left.set_ylabel(curves.metric if len(curves.metric) < 25 else "")
        right.set_ylabel("epoch at its end")
    axes[-2].set_xlabel("epoch")
    told = f" (one in {every})" if every > 1 else ""
    axes[-1].set_xlabel(f"runs in the order of the search{told}")
    style.legend(figure, {name: style.look(c, "o", "none") for name, c in _FATES.items()})
    return figure


def fate(ends: pd.DataFrame) -> pd.Series:
    """What became of every run of a search."""
    stopped = ends["decided"] & ~ends["finished"]
    names = np.select([stopped & ends["beats"], stopped], [*_FATES][:0:-1], "not stopped")
    return pd.Series(names, index=ends.index)


def _trained_curves(axis: Axes, curves: CurveSet, ends: pd.DataFrame, fates: pd.Series) -> None:
    values = np.where(np.isfinite(curves.values), curves.values, np.nan)
    for name, colour in _FATES.items():
        part = ends[fates == name]
        lines = [
            np.column_stack([curves.epochs[seen], values[run][seen]])
            for run, epoch in zip(part["run"], part["epoch"], strict=True)
            for seen in [curves.seen(epoch)]
        ]
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=0.6, alpha=0.6))
    axis.set_xlim(curves.epochs[0], curves.last_epoch)
