"""Figures of early stopping: trade-off, course of searches, reliability, stopped runs."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from curvecast.curves import CurveSet, collection_of
from curvecast.files import read_parquet
from curvecast.report.figures import Inputs, style

_ONLINE = "online"
_RULES = {
    "median": style.look(style.SKY, "D", style.DASHED),
    "successive_halving": style.look(style.ORANGE, "^", style.DASHED),
    "patience": style.look(style.GREEN, "v", style.DASHED),
    "oracle": style.look(style.GREY, "P", style.DASHED),
    "none": style.look(style.LIGHT, "s"),
}
_RULE_NAMES = {"successive_halving": "successive halving", "none": "never stop"}
_BOUND = {"color": style.GREY, "linestyle": style.DASHED, "linewidth": 1}
# Regret is drawn in proportion up to here, and in its logarithm from here on.
_LINEAR = 0.005
# A figure of single curves holds so many at most, spread evenly over the search.
_MOST_CURVES = 250
_MANY = 8
# Courses are drawn from this share of all epochs on; before it they differ by chance alone.
_FIRST_SHARE = 0.01
_FATES = {
    "finished": style.BLUE,
    "stopped": style.GREY,
    "stopped, would have been the new best": style.RED,
}


def stopping_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """`tradeoff`, `best_value` and `reliability` of one collection; `params`: `collection`."""
    traces, shares = (
        pd.concat([read_parquet(path)[0] for path in inputs[name]])
        for name in ("traces", "reliability")
    )
    return {
        "tradeoff": tradeoff(_speedups(inputs, params), set(traces["setting"])),
        "best_value": best_value(traces),
        "reliability": reliability(shares),
    }


def hyperband_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Speedup of f-Hyperband against its loss; `params`: `collection`."""
    return {"hyperband": hyperband(_speedups(inputs, params))}


def _speedups(inputs: Inputs, params: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.read_csv(inputs["speedups"][0])
    return frame[frame["dataset"].map(collection_of) == params["collection"]]


def stopped_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Which runs of one data set are stopped where."""
    curves = CurveSet.from_parquet(inputs["curves"][0])
    ends = pd.concat([read_parquet(path)[0] for path in inputs["ends"]], ignore_index=True)
    return {"stopped": stopped_runs(curves, ends)}


@style.styled
def tradeoff(speedups: pd.DataFrame, settings: Collection[str]) -> Figure:
    """Speedup against regret, a line over Delta per predictor, a panel per data set.

    `speedups` are rows of `speedups.speedup_sequential`, of which those with one of the
    `settings` are drawn; the large star is the fixed setting. The dashed line is the bound of the
    oracle after as many full runs as Baker's rule has.
    """
    frame = _with_lines(speedups[speedups["setting"].isin(settings)])
    parts = _by_dataset(frame)
    if len(parts) > 1:
        parts = {f"mean over {len(parts)} data sets": _mean_over_datasets(frame), **parts}
    looks = {k: look for k, look in _looks(frame).items() if k not in ("oracle", "none")}
    figure, axes = _panels(parts, "mean regret (median to best = 1)", "speedup")
    for axis, part in zip(axes, parts.values(), strict=True):
        _tradeoff_lines(axis, part, looks)
    style.legend(figure, {**_named(looks), "bound (oracle)": _BOUND}, columns=5)
    return figure


def _tradeoff_lines(axis: Axes, part: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    bound = part.loc[part["predictor"] == "oracle", "speedup_mean"]
    axis.axhline(bound.iloc[0], **_BOUND)
    for key, line in part.groupby("line"):
        if key in looks:
            axis.plot(line["regret_mean"], line["speedup_mean"], **looks[str(key)])
    fixed = part[part["default"]]
    axis.plot(fixed["regret_mean"], fixed["speedup_mean"], "*", color=style.RED, markersize=11)
    axis.set_xscale("symlog", linthresh=_LINEAR, linscale=0.5)
    right = max(0.1, 1.5 * part["regret_mean"].max())
    axis.set_xlim(-_LINEAR / 10, right)
    ticks = [tick for tick in (0, 0.01, 0.1, 1) if tick <= right]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ylim(0, 1.08 * part["speedup_mean"].max())


def _mean_over_datasets(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean regret and geometric mean of the speedups, of what every data set has."""
    keys = ["predictor", "line", "delta", "default"]
    groups = frame.assign(log=np.log(frame["speedup_mean"])).groupby(keys, dropna=False)
    means = groups[["regret_mean", "log"]].mean().assign(datasets=groups.size()).reset_index()
    shared = means[means["datasets"] == frame["dataset"].nunique()]
    return shared.assign(speedup_mean=np.exp(shared["log"]))


def _with_lines(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with the name of their `line`: the predictor, or the online search."""
    return frame.assign(line=frame["predictor"].where(frame["setting"] != _ONLINE, _ONLINE))


def _by_dataset(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {style.short(str(name)): part for name, part in frame.groupby("dataset", sort=True)}


def _looks(frame: pd.DataFrame) -> dict[str, style.Look]:
    """The look of every line, predictors first."""
    lines = set(frame["line"])
    looks = style.looks(sorted(lines - set(_RULES) - {_ONLINE}))
    further = {_ONLINE: style.look(style.RED, "*"), **_RULES}
    return looks | {name: look for name, look in further.items() if name in lines}


def _named(looks: dict[str, style.Look]) -> dict[str, style.Look]:
    return {_RULE_NAMES.get(name, name): look for name, look in looks.items()}


def _panels(titles: Collection[str], label: str, ylabel: str) -> tuple[Figure, list[Axes]]:
    """A panel per data set, small ones where there are many."""
    names = list(titles)
    if len(names) > _MANY:
        return style.panels(names, columns=5, height=1.7, label=label, ylabel=ylabel)
    width = style.WIDTH if len(names) > 1 else 6.5
    return style.panels(names, columns=3, height=2.6, label=label, ylabel=ylabel, width=width)


@style.styled
def best_value(traces: pd.DataFrame) -> Figure:
    """Best final value so far over the epochs used, mean over orderings, per data set.

    `traces` holds rows of `SearchStudy.traces`, "never stop" among them. A line ends, with a
    marker, where its searches do on average.
    """
    frame = _with_lines(traces)
    parts, looks = _by_dataset(frame), _looks(frame)
    figure, axes = _panels(parts, "epochs used / epochs of all runs", "best final value")
    for axis, part in zip(axes, parts.values(), strict=True):
        everything = part.loc[part["predictor"] == "none", "epochs"].max()
        for key, searches in part.groupby("line"):
            used, best = course(searches)
            look = looks[str(key)]
            axis.plot(used / everything, best, **{**look, "marker": "None"})
            axis.plot(used[-1] / everything, best[-1], look["marker"], color=look["color"])
        axis.set_xscale("log")
        axis.set_xlim(_FIRST_SHARE, 1.15)
        _limit_to_visible(axis)
    style.legend(figure, _named(looks), columns=5)
    return figure


def _limit_to_visible(axis: Axes) -> None:
    """Limit y to what lies inside the limits of x."""
    low, high = axis.get_xlim()
    xy = np.concatenate([line.get_xydata() for line in axis.lines])
    y = xy[(xy[:, 0] >= low) & (xy[:, 0] <= high), 1]
    margin = 0.05 * max(float(np.ptp(y)), 1e-12)
    axis.set_ylim(y.min() - margin, y.max() + margin)


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
def reliability(frame: pd.DataFrame) -> Figure:
    """Share of the runs that did end worse against the predicted probability, per data set.

    `frame` holds rows of `SearchStudy.reliability`; a dot grows with its number of decisions.
    """
    parts = _by_dataset(frame)
    looks = style.looks(sorted(set(frame["predictor"])))
    label = "predicted probability of ending worse"
    figure, axes = _panels(parts, label, "share that did end worse")
    for axis, of_dataset in zip(axes, parts.values(), strict=True):
        axis.plot([0, 1], [0, 1], color=style.LIGHT, linewidth=1)
        for predictor, part in of_dataset.groupby("predictor"):
            look = looks[str(predictor)]
            axis.plot(part["probability"], part["worse"], **{**look, "marker": "None"})
            sizes = 60 * part["looks"] / part["looks"].sum() + 4
            axis.scatter(part["probability"], part["worse"], s=sizes, color=look["color"], lw=0)
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    style.legend(figure, looks)
    return figure


@style.styled
def hyperband(speedups: pd.DataFrame) -> Figure:
    """Speedup of f-Hyperband against its loss, a line over Delta per setting and predictor.

    `speedups` are rows of `speedups.speedup_hyperband`; the settled Hyperbands are drawn.
    """
    frame = speedups[speedups["window"] == "settled"]
    parts = _by_dataset(frame)
    looks = style.looks(sorted(set(frame["predictor"])))
    label = "mean loss of the final value (median to best = 1)"
    figure, axes = _panels(parts, label, "speedup over vanilla Hyperband")
    for axis, part in zip(axes, parts.values(), strict=True):
        axis.axhline(part["oracle_bound"].iloc[0], **_BOUND)
        axis.axvline(0, color=style.LIGHT, linewidth=1)
        for (predictor, _), line in part[~part["default"]].groupby(["predictor", "setting"]):
            look = looks[str(predictor)]
            axis.plot(line["loss_relative_mean"], line["speedup_mean"], **look, alpha=0.7)
        fixed = part[part["default"]]
        star = {"color": style.RED, "markersize": 11}
        axis.plot(fixed["loss_relative_mean"], fixed["speedup_mean"], "*", **star)
        axis.set_ylim(0, 1.08 * part["oracle_bound"].max())
    fixed_setting = {"fixed setting": style.look(style.RED, "*", "none")}
    style.legend(figure, {**looks, **fixed_setting, "bound (oracle)": _BOUND})
    return figure


@style.styled
def stopped_runs(curves: CurveSet, ends: pd.DataFrame) -> Figure:
    """Which runs were stopped where, in one ordering: a row per search.

    Left, the curves as far as they were trained; right, the epoch at which every run ended over
    the order of the search. `ends` holds rows of `SearchStudy.ends` of one data set.
    """
    groups = list(ends.groupby(["predictor", "setting", "delta"], sort=True))
    titles = [
        title
        for key, part in groups
        for title in (
            _search_name(*key),
            f"{100 * (part['judged'] & ~part['finished']).mean():.0f} % stopped",
        )
    ]
    figure, axes = style.panels(titles, columns=2, height=1.9)
    gains = curves.sign * curves.values[np.isfinite(curves.values)]
    limits = sorted((curves.sign * np.percentile(gains, 2), curves.sign * gains.max()))
    for (_, part), left, right in zip(groups, axes[::2], axes[1::2], strict=True):
        fates = fate(part)
        _trained_curves(left, curves, part, fates)
        left.set_ylim(*limits)
        for name, colour in _FATES.items():
            dots = {"color": colour, "markersize": 2, "markeredgewidth": 0}
            right.plot(
                part.loc[fates == name, "position"], part.loc[fates == name, "epoch"], "o", **dots
            )
        left.set_ylabel(curves.metric if len(curves.metric) < 25 else "")
        right.set_ylabel("epoch at its end")
    axes[-2].set_xlabel("epoch")
    axes[-1].set_xlabel("runs in the order of the search")
    style.legend(figure, {name: style.look(c, "o", "none") for name, c in _FATES.items()})
    return figure


def fate(ends: pd.DataFrame) -> pd.Series:
    """What became of every run of a search."""
    stopped = ends["judged"] & ~ends["finished"]
    names = np.select([stopped & ends["beats"], stopped], [*_FATES][:0:-1], "finished")
    return pd.Series(names, index=ends.index)


def _trained_curves(axis: Axes, curves: CurveSet, ends: pd.DataFrame, fates: pd.Series) -> None:
    step = -(-len(ends) // _MOST_CURVES)
    shown = ends[(np.arange(len(ends)) % step == 0) | ends["beats"].to_numpy()]
    values = np.where(np.isfinite(curves.values), curves.values, np.nan)
    for name, colour in _FATES.items():
        part = shown[fates[shown.index] == name]
        lines = [
            np.column_stack([curves.epochs[seen], values[run][seen]])
            for run, epoch in zip(part["run"], part["epoch"], strict=True)
            for seen in [curves.seen(epoch)]
        ]
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=0.6, alpha=0.6))
    axis.set_xlim(curves.epochs[0], curves.last_epoch)


def _search_name(predictor: Hashable, setting: Hashable, delta: Hashable) -> str:
    name = predictor if setting == "baker" else f"{predictor}, {setting}"
    return f"{name}, Delta {delta}"
