"""What early stopping saves and loses: trade-off, course of searches, reliability, stopped runs."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curvecast.curves import CurveSet, read_parquet
from curvecast.report.figures import Inputs, style

_ONLINE = "online"
_ONLINE_LOOK = style.Look(style.RED, "*")
_DASHED = (0, (4.0, 1.5))
_RULES = {
    "median": style.Look(style.SKY, "D", _DASHED),
    "successive_halving": style.Look(style.ORANGE, "^", _DASHED),
    "patience": style.Look(style.GREEN, "v", _DASHED),
    "oracle": style.Look(style.GREY, "P", _DASHED),
    "none": style.Look(style.LIGHT, "s"),
}
_RULE_NAMES = {"successive_halving": "successive halving", "none": "never stop"}
# Regret is drawn in proportion up to here, and in its logarithm from here on.
_LINEAR = 0.005
# A figure of single curves holds so many at most, spread evenly over the search.
_MOST_CURVES = 250
_MANY = 8
# Courses are drawn from this share of all epochs on; before it they differ by chance alone.
_FIRST_SHARE = 0.01


@style.styled
def tradeoff(speedups: pd.DataFrame, settings: Collection[str]) -> Figure:
    """Speedup against regret, a line over Delta per predictor, a panel per data set.

    `speedups` are rows of `tables.speedup_sequential`, of which those with one of the `settings`
    are drawn; the large star is the fixed setting. The dashed line is the bound of the oracle
    after as many full runs as Baker's rule has.
    """
    frame = _with_lines(speedups[speedups["setting"].isin(settings)])
    parts = {style.short(str(name)): part for name, part in frame.groupby("dataset", sort=True)}
    if len(parts) > 1:
        parts = {f"mean over {len(parts)} data sets": _mean_over_datasets(frame), **parts}
    looks = _looks(frame)
    figure, axes = _small_multiples(len(parts), "mean regret (median to best = 1)")
    for axis, (title, part) in zip(axes, parts.items(), strict=True):
        _tradeoff_lines(axis, part, looks)
        axis.set_title(title)
    figure.supylabel("speedup", fontsize=8.5)
    handles = _handles({k: look for k, look in looks.items() if k not in ("oracle", "none")})
    bound = style.handle("bound (oracle)", color=style.GREY, linestyle=_DASHED, linewidth=1)
    style.legend(figure, [*handles, bound], columns=5)
    return figure


def _tradeoff_lines(axis: Axes, part: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    bound = part.loc[part["predictor"] == "oracle", "speedup_mean"]
    axis.axhline(bound.iloc[0], color=style.GREY, linestyle=_DASHED, linewidth=1)
    for key, line in part.groupby("line"):
        if key not in ("oracle", "none"):
            axis.plot(line["regret_mean"], line["speedup_mean"], **looks[str(key)].line())
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


def _looks(frame: pd.DataFrame) -> dict[str, style.Look]:
    """How every line is drawn, predictors first."""
    lines = set(frame["line"])
    predictors = sorted(lines - set(_RULES) - {_ONLINE})
    found = style.looks(predictors)
    if _ONLINE in lines:
        found[_ONLINE] = _ONLINE_LOOK
    return found | {name: look for name, look in _RULES.items() if name in lines}


def _handles(looks: dict[str, style.Look]) -> list[Line2D]:
    return [style.handle(_RULE_NAMES.get(k, k), **look.line()) for k, look in looks.items()]


def _small_multiples(n: int, label: str) -> tuple[Figure, list[Axes]]:
    if n > _MANY:
        return style.panels(n, columns=5, height=1.7, label=label)
    width = style.WIDTH if n > 1 else 6.5
    return style.panels(n, columns=3, height=2.6, label=label, width=width)


@style.styled
def best_value(traces: pd.DataFrame) -> Figure:
    """Best final value found so far over the epochs used, mean over orderings, per data set.

    `traces` holds rows of `SearchStudy.traces`, "never stop" among them. A line ends, with a
    marker, where its searches do on average.
    """
    frame = _with_lines(traces)
    names = sorted(set(frame["dataset"]))
    looks = _looks(frame)
    figure, axes = _small_multiples(len(names), "epochs used / epochs of all runs")
    for axis, name in zip(axes, names, strict=True):
        part = frame[frame["dataset"] == name]
        everything = part.loc[part["predictor"] == "none", "epochs"].max()
        for key, searches in part.groupby("line"):
            used, best = course(searches)
            look = looks[str(key)]
            axis.plot(used / everything, best, color=look.colour, linestyle=look.dash)
            axis.plot(used[-1] / everything, best[-1], look.marker, color=look.colour)
        axis.set_xscale("log")
        axis.set_xlim(_FIRST_SHARE, 1.15)
        _limit_to_visible(axis)
        axis.set_title(style.short(name))
    figure.supylabel("best final value", fontsize=8.5)
    style.legend(figure, _handles(looks), columns=5)
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
    found = [best[np.searchsorted(used, grid, side="right") - 1] for used, best in searches]
    return grid, np.mean(found, axis=0)


@style.styled
def reliability(frame: pd.DataFrame) -> Figure:
    """Share of the runs that did end worse against the predicted probability, per data set.

    `frame` holds rows of `SearchStudy.reliability`; a dot's size grows with its number of looks.
    """
    names = sorted(set(frame["dataset"]))
    looks = style.looks(sorted(set(frame["predictor"])))
    figure, axes = _small_multiples(len(names), "predicted probability of ending worse")
    for axis, name in zip(axes, names, strict=True):
        axis.plot([0, 1], [0, 1], color=style.LIGHT, linewidth=1)
        for predictor, part in frame[frame["dataset"] == name].groupby("predictor"):
            look = looks[str(predictor)]
            axis.plot(part["probability"], part["worse"], color=look.colour, linestyle=look.dash)
            sizes = 60 * part["looks"] / part["looks"].sum() + 4
            axis.scatter(part["probability"], part["worse"], s=sizes, color=look.colour, lw=0)
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axis.set_title(style.short(name))
    figure.supylabel("share that did end worse", fontsize=8.5)
    style.legend(figure, _handles(looks))
    return figure


@style.styled
def hyperband(speedups: pd.DataFrame) -> Figure:
    """Speedup of f-Hyperband against its loss, a line over Delta per setting and predictor.

    `speedups` are rows of `tables.speedup_hyperband`; the settled Hyperbands are drawn, and of
    each predictor the setting with the largest kappa beside the fixed one.
    """
    frame = speedups[speedups["window"] == "settled"]
    names = sorted(set(frame["dataset"]))
    looks = style.looks(sorted(set(frame["predictor"])))
    figure, axes = _small_multiples(len(names), "mean loss of the final value (median to best = 1)")
    for axis, name in zip(axes, names, strict=True):
        part = frame[frame["dataset"] == name]
        axis.axhline(part["oracle_bound"].iloc[0], color=style.GREY, linestyle=_DASHED, linewidth=1)
        axis.axvline(0, color=style.LIGHT, linewidth=1)
        grid = part[~part["default"]]
        for (predictor, _), line in grid.groupby(["predictor", "setting"]):
            look = looks[str(predictor)].line()
            axis.plot(line["loss_relative_mean"], line["speedup_mean"], **look, alpha=0.7)
        fixed = part[part["default"]]
        axis.plot(
            fixed["loss_relative_mean"], fixed["speedup_mean"], "*", color=style.RED, markersize=11
        )
        axis.set_ylim(0, 1.08 * part["oracle_bound"].max())
        axis.set_title(style.short(name))
    figure.supylabel("speedup over vanilla Hyperband", fontsize=8.5)
    bound = style.handle("bound (oracle)", color=style.GREY, linestyle=_DASHED, linewidth=1)
    star = style.handle("fixed setting", color=style.RED, marker="*", linestyle="none")
    style.legend(figure, [*_handles(looks), star, bound])
    return figure


_FATES = {
    "finished": style.BLUE,
    "stopped": style.GREY,
    "stopped, would have been the new best": style.RED,
}


@style.styled
def stopped_runs(curves: CurveSet, ends: pd.DataFrame) -> Figure:
    """Which runs were stopped where, in one ordering: a row per search.

    Left, the curves as far as they were trained; right, the epoch at which every run ended over
    the order of the search. `ends` holds rows of `SearchStudy.ends` of one data set.
    """
    groups = list(ends.groupby(["predictor", "setting", "delta"], sort=True))
    figure, axes = style.panels(2 * len(groups), columns=2, height=1.9)
    gains = curves.sign * curves.values[np.isfinite(curves.values)]
    worst, best = curves.sign * np.percentile(gains, 2), curves.sign * gains.max()
    for (key, part), left, right in zip(groups, axes[::2], axes[1::2], strict=True):
        fates = fate(part)
        _trained_curves(left, curves, part, fates)
        left.set_ylim(min(worst, best), max(worst, best))
        left.set_title(_search_name(*key))
        for name, colour in _FATES.items():
            of_fate = part[fates == name]
            right.plot(
                of_fate["position"],
                of_fate["epoch"],
                "o",
                color=colour,
                markersize=2,
                markeredgewidth=0,
            )
        right.set_title(f"{100 * (part['judged'] & ~part['finished']).mean():.0f} % stopped")
        left.set_ylabel(curves.metric if len(curves.metric) < 25 else "")
        right.set_ylabel("epoch at its end")
    axes[-2].set_xlabel("epoch")
    axes[-1].set_xlabel("runs in the order of the search")
    style.legend(
        figure,
        [style.handle(k, color=c, marker="o", linestyle="none") for k, c in _FATES.items()],
    )
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
            for seen in [curves.epochs <= epoch]
        ]
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=0.6, alpha=0.6))
    axis.set_xlim(curves.epochs[0], curves.last_epoch)


def _search_name(predictor: Hashable, setting: Hashable, delta: Hashable) -> str:
    name = predictor if setting == "baker" else f"{predictor}, {setting}"
    return f"{name}, Delta {delta}"


def of_collection(
    speedups: pd.DataFrame, traces: pd.DataFrame, probabilities: pd.DataFrame
) -> dict[str, Figure]:
    """The figures of a collection, by the names of `stopping.plan.FIGURES`."""
    return {
        "tradeoff": tradeoff(speedups, set(traces["setting"])),
        "best_value": best_value(traces),
        "reliability": reliability(probabilities),
    }


def in_collection(frame: pd.DataFrame, collection: str) -> pd.DataFrame:
    """Rows of the data sets of one collection."""
    return frame[frame["dataset"].str.split("/").str[0] == collection]


def stopping_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """`tradeoff`, `best_value` and `reliability` of one collection; `params`: `collection`."""
    speedups = in_collection(pd.read_csv(inputs["speedups"][0]), params["collection"])
    traces, shares = (
        pd.concat([read_parquet(path)[0] for path in inputs[name]])
        for name in ("traces", "reliability")
    )
    return of_collection(speedups, traces, shares)


def hyperband_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Speedup of f-Hyperband against its loss; `params`: `collection`."""
    speedups = in_collection(pd.read_csv(inputs["speedups"][0]), params["collection"])
    return {"hyperband": hyperband(speedups)}


def stopped_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Which runs of one data set are stopped where."""
    curves = CurveSet.from_parquet(inputs["curves"][0])
    ends = pd.concat([read_parquet(path)[0] for path in inputs["ends"]], ignore_index=True)
    return {"stopped": stopped_runs(curves, ends)}
