"""Figures of a study: its losses, incumbents, course in time, and what its parameters matter.

`evaluations` is the frame of `studies.summary.evaluations_frame`, of all seeds and optimisers of
one study. A failed evaluation has an infinite loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import KFold

from curvecast.curves import CurveSet
from curvecast.files import read_parquet
from curvecast.report.figures import Inputs, style
from curvecast.studies import summary

_OPTIMISERS = {
    "bohb": style.BLUE,
    "f-bohb": style.SKY,
    "freeze_thaw": style.GREEN,
    "hyperband": style.RED,
    "f-hyperband": style.ORANGE,
    "random": style.GREY,
    "grid": style.PURPLE,
    "f-random": style.PURPLE,
}
_PALETTE = (style.GREY, style.SKY, style.GREEN, style.ORANGE, style.RED, style.PURPLE)
# Parameter importance needs some evaluations on a budget.
_ENOUGH = 15


def study_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """The six figures of a study that trains something."""
    return of_study(pd.concat([read_parquet(path)[0] for path in inputs["evaluations"]]))


def of_study(evaluations: pd.DataFrame) -> dict[str, Figure]:
    """Figures of a study that trains something, by their names."""
    drawn = (origin, losses_over_time, incumbent, concurrency, rank_correlation, importance)
    return {draw.__name__: draw(evaluations) for draw in drawn}


def learning_curves_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Learning curves of one study."""
    return {"learning_curves": learning_curves(CurveSet.from_parquet(inputs["curves"][0]))}


def regret_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Regret of one study on recorded curves over the budget."""
    return {"regret": regret(pd.concat([read_parquet(path)[0] for path in inputs["regret"]]))}


@style.styled
def origin(evaluations: pd.DataFrame) -> Figure:
    """Share of evaluations below a loss, model-based against random configurations, per budget.

    Failed evaluations count, so a curve may end below 1.
    """
    budgets = sorted(set(evaluations["budget"]))
    origins = {True: ("model-based", style.BLUE), False: ("random", style.GREY)}
    figure, axes = style.panels(
        [f"budget {budget:g}" for budget in budgets],
        columns=4,
        label="loss",
        ylabel="share of evaluations below",
        sharey=True,
    )
    for axis, budget in zip(axes, budgets, strict=True):
        part = evaluations[evaluations["budget"] == budget]
        counts = []
        for model_based, (name, colour) in origins.items():
            losses = np.sort(part.loc[part["model_based"] == model_based, "loss"].to_numpy())
            finite = losses[np.isfinite(losses)]
            share = np.arange(1, len(finite) + 1) / max(len(losses), 1)
            axis.step(finite, share, where="post", color=colour)
            counts.append(f"{len(losses)} {name}")
        style.log_if_wide(axis.set_xscale, part["loss"])
        axis.text(0.97, 0.04, "\n".join(counts), transform=axis.transAxes, ha="right", fontsize=6.5)
    style.legend(figure, {name: {"color": colour} for name, colour in origins.values()})
    return figure


@style.styled
def losses_over_time(evaluations: pd.DataFrame) -> Figure:
    """Every finite loss when it was known, coloured by budget; a panel per optimiser.

    Seconds are since the start of the seed's search.
    """
    frame = _since_start(evaluations)
    optimisers = sorted(set(frame["optimizer"]))
    figure, axes = style.panels(optimisers, columns=3, label="seconds", ylabel="loss", height=3.0)
    colours = _of_budgets(frame)
    for axis, optimiser in zip(axes, optimisers, strict=True):
        part = frame[(frame["optimizer"] == optimiser) & np.isfinite(frame["loss"])]
        for budget, of_budget in part.groupby("budget"):
            axis.plot(of_budget["finished"], of_budget["loss"], "o", color=colours[budget])
        style.log_if_wide(axis.set_yscale, part["loss"])
    style.legend(figure, {f"budget {b:g}": style.look(c, "o", "none") for b, c in colours.items()})
    return figure


def _of_budgets(frame: pd.DataFrame) -> dict[float, str]:
    """A colour per budget; more of them than the palette has lie on a scale."""
    budgets = sorted(set(frame["budget"]))
    if len(budgets) <= len(_PALETTE):
        return dict(zip(budgets, _PALETTE, strict=False))
    scale = colormaps["viridis"](np.linspace(0, 0.95, len(budgets)))
    return dict(zip(budgets, map(to_hex, scale), strict=True))


def _since_start(evaluations: pd.DataFrame) -> pd.DataFrame:
    start = evaluations.groupby(["optimizer", "seed"])["started"].transform("min")
    return evaluations.assign(
        started=evaluations["started"] - start, finished=evaluations["finished"] - start
    )


def _optimisers(frame: pd.DataFrame) -> dict[str, style.Look]:
    return {name: {"color": _OPTIMISERS[name]} for name in sorted(set(frame["optimizer"]))}


@style.styled
def incumbent(evaluations: pd.DataFrame) -> Figure:
    """Loss of the best known configuration over the used budget and over time, a line per seed.

    The incumbent is the best on the highest budget reached so far (`summary.incumbents`), so its
    loss may rise where a higher budget is reached for the first time.
    """
    frame = _since_start(evaluations)
    figure, axes = style.panels(["", ""], columns=2, ylabel="loss of the incumbent", height=3.0)
    for (optimiser, _), part in frame.groupby(["optimizer", "seed"]):
        known = summary.incumbents(part)
        for axis, at in zip(axes, ("used", "finished"), strict=True):
            x = np.append(known[at], part[at].max())
            y = np.append(known["loss"], known["loss"].iloc[-1])
            axis.step(x, y, where="post", color=_OPTIMISERS[str(optimiser)], alpha=0.8)
    for axis, label in zip(axes, ("used budget", "seconds"), strict=True):
        style.log_if_wide(axis.set_yscale, frame["loss"])
        axis.set_xlabel(label)
    style.legend(figure, _optimisers(frame))
    return figure


@style.styled
def concurrency(evaluations: pd.DataFrame) -> Figure:
    """Evaluations that run at the same time, a panel per optimiser, a line per seed.

    Time counts from the first evaluation of each seed. A step is the mean over a fiftieth of the
    time; where it is below the number of workers, some of them were waiting.
    """
    since = _since_start(evaluations)
    edges = np.linspace(0, max(since["finished"].max(), 1e-9), 51)
    seeds = sorted(set(since["seed"]))
    colours = {s: _PALETTE[i % len(_PALETTE)] for i, s in enumerate(seeds)}
    optimisers = sorted(set(since["optimizer"]))
    figure, axes = style.panels(
        optimisers, columns=3, label="seconds", ylabel="evaluations at once", sharey=True
    )
    for axis, optimiser in zip(axes, optimisers, strict=True):
        for seed, part in since[since["optimizer"] == optimiser].groupby("seed"):
            axis.stairs(mean_running(part, edges), edges, color=colours[seed], linewidth=1.4)
        axis.set_ylim(bottom=0)
    style.legend(figure, {f"seed {s}": {"color": c} for s, c in colours.items()})
    return figure


def mean_running(evaluations: pd.DataFrame, edges: np.ndarray) -> np.ndarray:
    """Mean number of running evaluations between each edge (seconds) and the next one."""
    started = evaluations["started"].to_numpy()[:, None]
    finished = evaluations["finished"].to_numpy()[:, None]
    overlap = np.minimum(finished, edges[1:]) - np.maximum(started, edges[:-1])
    mean: np.ndarray = overlap.clip(min=0).sum(axis=0) / np.diff(edges)
    return mean


@style.styled
def rank_correlation(evaluations: pd.DataFrame) -> Figure:
    """Spearman's correlation of the losses on two budgets, over configurations with both.

    The number of configurations stands below; only those that a lower rung promoted reach a
    higher one, which lowers the correlation.
    """
    budgets, rho, counts = rank_correlations(evaluations)
    figure, (axis,) = style.panels(["rank correlation of losses"], columns=1, width=4.2, height=3.4)
    axis.imshow(rho, vmin=-1, vmax=1, cmap="RdBu_r")
    axis.grid(False)
    labels = [f"{budget:g}" for budget in budgets]
    axis.set_xticks(range(len(budgets)), labels)
    axis.set_yticks(range(len(budgets)), labels)
    for (i, j), value in np.ndenumerate(rho):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            text = f"{value:.2f}\n({counts[i, j]})"
            axis.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)
    axis.set(xlabel="budget", ylabel="budget")
    return figure


def rank_correlations(evaluations: pd.DataFrame) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Budgets, Spearman's correlations of their losses and numbers of configurations.

    Shapes `(n_budgets, n_budgets)`; NaN with fewer than three configurations. What a rule ended
    early has no loss of its budget and is left out; failed ones share the worst rank.
    """
    whole = evaluations[evaluations["stopped"].isna()]
    keys = ["optimizer", "seed", "configuration"]
    losses = whole.pivot(index=keys, columns="budget", values="loss")
    # pandas leaves out what is infinite.
    finite = losses.replace(np.inf, np.finfo(np.float64).max)
    known = losses.notna().astype(int)
    rho = finite.corr("spearman", min_periods=3)
    return list(map(float, losses)), rho.to_numpy(), (known.T @ known).to_numpy()


@style.styled
def learning_curves(curves: CurveSet) -> Figure:
    """All curves of a study, the one with the best last value in colour."""
    whole = curves.sign * curves.values[:, -1]
    whole = np.where(np.isfinite(whole), whole, -np.inf)
    title = f"{len(curves)} runs, {int(np.isfinite(whole).sum())} of them to the end"
    figure, (axis,) = style.panels([title], columns=1, width=6.0, height=3.4, label="epoch")
    values = np.where(np.isfinite(curves.values), curves.values, np.nan)
    axis.plot(curves.epochs, values.T, color=style.GREY, linewidth=0.7, alpha=0.6)
    if np.isfinite(whole).any():
        axis.plot(curves.epochs, values[int(whole.argmax())], color=style.BLUE, linewidth=2)
    style.log_if_wide(axis.set_yscale, values.ravel())
    axis.set_ylabel(curves.metric)
    return figure


@style.styled
def importance(evaluations: pd.DataFrame) -> Figure:
    """Permutation importance of the hyper-parameters, a panel per budget with 15 evaluations.

    Bars are `importances`; the title says how well the forest ranks configurations that it has
    not seen, below which the bars mean nothing.
    """
    parts = dict(iter(importances(evaluations).groupby("budget")))
    titles = [
        f"budget {budget:g}: {part['evaluations'].iloc[0]} runs, R² {part['r2'].iloc[0]:.2f}"
        for budget, part in parts.items()
    ] or [f"fewer than {_ENOUGH} evaluations on every budget"]
    figure, axes = style.panels(titles, columns=3, label="drop of R²", height=2.6)
    for axis, part in zip(axes, parts.values(), strict=False):
        part = part.sort_values("importance")
        axis.barh(part["parameter"], part["importance"], xerr=part["sd"], color=style.SKY)
        axis.axvline(0, color=style.DARK, linewidth=0.8)
    return figure


def importances(evaluations: pd.DataFrame) -> pd.DataFrame:
    """How much worse a forest ranks held-out configurations once a parameter is shuffled.

    Per budget a random forest predicts the rank of the loss from the configuration, in a
    five-fold cross-validation; `importance` and `sd` are mean and standard deviation over folds
    of the drop of R² by permutation (Breiman 2001). Columns: `budget, evaluations, r2, parameter,
    importance, sd`.
    """
    rows: list[dict[str, object]] = []
    whole = evaluations[evaluations["stopped"].isna()]
    for budget, part in whole.groupby("budget"):
        if len(part) < _ENOUGH:
            continue
        points = _points(part["config"])
        ranks = stats.rankdata(part["loss"]) / len(part)
        drops, scores = [], []
        for train, test in KFold(5, shuffle=True, random_state=0).split(points):
            forest = RandomForestRegressor(100, min_samples_leaf=2, random_state=0)
            forest.fit(points.iloc[train], ranks[train])
            held_out = points.iloc[test], ranks[test]
            scores.append(forest.score(*held_out))
            shuffled = permutation_importance(forest, *held_out, n_repeats=5, random_state=0)
            drops.append(shuffled.importances_mean)
        mean, sd = np.mean(drops, axis=0), np.std(drops, axis=0, ddof=1)
        rows += [
            {"budget": budget, "evaluations": len(part), "r2": np.mean(scores)}
            | {"parameter": name, "importance": mean[i], "sd": sd[i]}
            for i, name in enumerate(points)
        ]
    columns = ["budget", "evaluations", "r2", "parameter", "importance", "sd"]
    return pd.DataFrame(rows, columns=columns)


def _points(configs: pd.Series) -> pd.DataFrame:
    """Configurations as numbers: categories by their alphabetical position, inactive ones NaN."""
    frame = pd.DataFrame([json.loads(config) for config in configs])
    for column in frame:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            codes = pd.Categorical(frame[column]).codes
            frame[column] = np.where(codes < 0, np.nan, codes)
    return frame.astype(np.float64)


@style.styled
def regret(regrets: pd.DataFrame) -> Figure:
    """Normalised regret over the budget: the mean over data sets, and a panel for each of them.

    Bands are 95 % intervals of the mean (Student's t), over data sets in the first panel and over
    seeds in the others. Parameters are those of `summary.regret_rows`.
    """
    rows = summary.regret_rows(regrets)
    parts = {style.short(str(name)): part for name, part in rows.groupby("study")}
    if len(parts) > 1:
        whole = rows.dropna(subset="regret").assign(seed=rows["study"], study="all")
        parts = {f"mean over {len(parts)} data sets": summary.regret_rows(whole), **parts}
    many = len(parts) > 9
    figure, axes = style.panels(
        list(parts),
        columns=5 if many else 3,
        height=1.5 if many else 2.6,
        label="share of the budget",
        ylabel="normalised regret",
        sharex=True,
    )
    for axis, part in zip(axes, parts.values(), strict=True):
        _regret_lines(axis, part)
    style.legend(figure, _optimisers(rows))
    return figure


def _regret_lines(axis: Axes, rows: pd.DataFrame) -> None:
    for optimiser, part in rows.groupby("optimizer"):
        colour = _OPTIMISERS[str(optimiser)]
        axis.plot(part["share"], part["regret"], color=colour)
        style.band(axis, part["share"], part["low"], part["high"], colour, 0.15)
    # The intervals of the first evaluations would flatten the rest.
    axis.set_ylim(0, 1.1 * max(rows["regret"].max(), 1e-3))
