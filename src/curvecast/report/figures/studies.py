"""Figures of a study: its losses, incumbents, course in time, and what its parameters matter.

`evaluations` is the frame of `studies.summary.evaluations_frame`, of all seeds and optimisers of
one study. A failed evaluation has an infinite loss.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import KFold, cross_validate

from curvecast.curves import CurveSet
from curvecast.report.figures import style
from curvecast.studies import summary

READERS = {"curves": lambda files: [CurveSet.from_parquet(file) for file in files]}
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


@style.styled
def origin(evaluations: pd.DataFrame) -> Figure:
    """Share of evaluations below a loss, model-based against random configurations, per budget.

    Failed evaluations count, so a curve may end below 1.
    """
    origins = {True: ("model-based", style.BLUE), False: ("random", style.GREY)}
    figure, panels = style.group_panels(
        evaluations.sort_values("budget", kind="stable"),
        "budget",
        "budget {:g}".format,
        columns=4,
        label="loss",
        ylabel="share of evaluations below",
        sharey=True,
    )
    for axis, part in panels:
        counts = []
        for model_based, (name, colour) in origins.items():
            losses = np.sort(part.loc[part["model_based"] == model_based, "loss"])
            share = np.arange(1, len(losses) + 1) / max(len(losses), 1)
            finite = np.isfinite(losses)
            axis.step(losses[finite], share[finite], where="post", color=colour)
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
    figure, panels = style.group_panels(
        frame, "optimizer", columns=3, label="seconds", ylabel="loss", height=3.0
    )
    colours = _of_budgets(frame)
    for axis, part in panels:
        finite = part[np.isfinite(part["loss"])]
        for budget, of_budget in finite.groupby("budget"):
            axis.plot(of_budget["finished"], of_budget["loss"], "o", color=colours[budget])
        style.log_if_wide(axis.set_yscale, finite["loss"])
    style.legend(figure, {f"budget {b:g}": style.look(c, "o", "none") for b, c in colours.items()})
    return figure


def _of_budgets(frame: pd.DataFrame) -> dict[float, str]:
    """A colour per budget; more of them than the palette has lie on a scale."""
    budgets = sorted(set(frame["budget"]))
    enough = len(budgets) <= len(_PALETTE)
    scale = _PALETTE if enough else colormaps["viridis"](np.linspace(0, 0.95, len(budgets)))
    return dict(zip(budgets, map(to_hex, scale), strict=False))


def _since_start(evaluations: pd.DataFrame) -> pd.DataFrame:
    start = evaluations.groupby(["optimizer", "seed"])["started"].transform("min")
    times = evaluations[["started", "finished"]].sub(start, axis=0)
    return evaluations.assign(**times).sort_values("optimizer", kind="stable")


def _optimisers(frame: pd.DataFrame) -> dict[str, style.Look]:
    """Those without a colour of their own share the palette."""
    names = sorted(set(frame["optimizer"]))
    others = dict(zip((n for n in names if n not in _OPTIMISERS), cycle(_PALETTE), strict=False))
    return {name: {"color": (_OPTIMISERS | others)[name]} for name in names}


@style.styled
def incumbent(evaluations: pd.DataFrame) -> Figure:
    """Loss of the best known configuration over the used budget and over time, a line per seed.

    The incumbent is the best on the highest budget reached so far (`summary.incumbents`), so its
    loss may rise where a higher budget is reached for the first time.
    """
    frame = _since_start(evaluations)
    looks = _optimisers(frame)
    figure, axes = style.panels(["", ""], columns=2, ylabel="loss of the incumbent", height=3.0)
    for (optimiser, _), part in frame.groupby(["optimizer", "seed"]):
        known = summary.incumbents(part)
        for axis, at in zip(axes, ("used", "finished"), strict=True):
            x = np.append(known[at], part[at].max())
            y = np.append(known["loss"], known["loss"].iloc[-1])
            axis.step(x, y, where="post", color=looks[str(optimiser)]["color"], alpha=0.8)
    for axis, label in zip(axes, ("used budget", "seconds"), strict=True):
        style.log_if_wide(axis.set_yscale, frame["loss"])
        axis.set_xlabel(label)
    style.legend(figure, looks)
    return figure


@style.styled
def concurrency(evaluations: pd.DataFrame) -> Figure:
    """Evaluations that run at the same time, a panel per optimiser, a line per seed.

    Time counts from the first evaluation of each seed. A step is the mean over a fiftieth of the
    time; where it is below the number of workers, some of them were waiting.
    """
    frame = _since_start(evaluations)
    edges = np.linspace(0, max(frame["finished"].max(), 1e-9), 51)
    colours = dict(zip(sorted(set(frame["seed"])), cycle(_PALETTE), strict=False))
    figure, panels = style.group_panels(
        frame, "optimizer", columns=3, label="seconds", ylabel="evaluations at once", sharey=True
    )
    for axis, part in panels:
        for seed, of_seed in part.groupby("seed"):
            axis.stairs(mean_running(of_seed, edges), edges, color=colours[seed], linewidth=1.4)
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
    return losses.columns.astype(float).tolist(), rho.to_numpy(), (known.T @ known).to_numpy()


@style.styled
def learning_curves(curves: Sequence[CurveSet]) -> Figure:
    """All curves of a study (one set), the one with the best last value in colour."""
    (runs,) = curves
    whole = runs.sign * runs.values[:, -1]
    whole = np.where(np.isfinite(whole), whole, -np.inf)
    title = f"{len(runs)} runs, {int(np.isfinite(whole).sum())} of them to the end"
    figure, (axis,) = style.panels([title], columns=1, width=6.0, height=3.4, label="epoch")
    values = np.where(np.isfinite(runs.values), runs.values, np.nan)
    axis.plot(runs.epochs, values.T, color=style.GREY, linewidth=0.7, alpha=0.6)
    if np.isfinite(whole).any():
        axis.plot(runs.epochs, values[int(whole.argmax())], color=style.BLUE, linewidth=2)
    style.log_if_wide(axis.set_yscale, values.ravel())
    axis.set_ylabel(runs.metric)
    return figure


@style.styled
def importance(evaluations: pd.DataFrame) -> Figure:
    """Permutation importance of the hyper-parameters, a panel per budget with 15 evaluations.

    Bars are `importances`; the title says how well the forest ranks configurations that it has
    not seen, below which the bars mean nothing.
    """
    parts = dict(iter(importances(evaluations).groupby("budget")))
    titles = [
        "budget {budget:g}: {evaluations:g} runs, R² {r2:.2f}".format(
            **part[["budget", "evaluations", "r2"]].iloc[0]
        )
        for part in parts.values()
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
        folds = cross_validate(
            RandomForestRegressor(100, min_samples_leaf=2, random_state=0),
            points,
            ranks,
            cv=KFold(5, shuffle=True, random_state=0),
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
        drops = [
            permutation_importance(
                forest, points.iloc[test], ranks[test], n_repeats=5, random_state=0
            ).importances_mean
            for forest, test in zip(folds["estimator"], folds["indices"]["test"], strict=True)
        ]
        mean, sd = np.mean(drops, axis=0), np.std(drops, axis=0, ddof=1)
        rows += [
            {"budget": budget, "evaluations": len(part), "r2": folds["test_score"].mean()}
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
def regret(regret: pd.DataFrame) -> Figure:
    """Normalised regret over the budget: the mean over data sets, and a panel for each of them.

    Bands are 95 % intervals of the mean (Student's t), over data sets in the first panel and over
    seeds in the others. `regret` is that of `summary.regret_rows`.
    """
    rows = summary.regret_rows(regret)
    whole = rows.dropna(subset="regret").assign(seed=rows["study"], study="all")
    figure, panels = style.dataset_panels(
        rows.assign(dataset=rows["study"]),
        summary.regret_rows(whole),
        label="share of the budget",
        ylabel="normalised regret",
        sharex=True,
    )
    looks = _optimisers(rows)
    for axis, of_study in panels:
        for optimiser, part in of_study.groupby("optimizer"):
            look = looks[str(optimiser)]
            axis.plot(part["share"], part["regret"], **look)
            axis.fill_between(part["share"], part["low"], part["high"], alpha=0.15, lw=0, **look)
        # The intervals of the first evaluations would flatten the rest.
        finite = of_study["regret"][np.isfinite(of_study["regret"])]
        axis.set_ylim(0, 1.1 * max([1e-3, *finite]))
    style.legend(figure, looks)
    return figure


@style.styled
def network(curves: Sequence[CurveSet], network: str) -> Figure:
    """Losses and scores of a network over the epochs, a line per repeat.

    Every series that exists for training and validation has a panel. `curves` hold one curve
    each, of the repeats.
    """
    logs = [_log(run) for run in curves]
    names = sorted(name[6:] for name in logs[0] if f"val_{name[6:]}" in logs[0] and name[0] == "t")
    titles = [name.replace("_", " ") for name in names]
    figure, axes = style.panels(titles, columns=2, label="epoch")
    parts = {"training": ("train", style.GREY), "validation": ("val", style.BLUE)}
    for axis, name in zip(axes, names, strict=True):
        for part, colour in parts.values():
            for run, log in zip(curves, logs, strict=True):
                values = log[f"{part}_{name}"]
                axis.plot(run.epochs, np.where(np.isfinite(values), values, np.nan), color=colour)
        if not name.endswith("accuracy"):
            axis.set_yscale("log")
    figure.suptitle(network.replace("_", " "), fontsize=9, x=0.01, ha="left")
    style.legend(figure, {text: {"color": colour} for text, (_, colour) in parts.items()})
    return figure


def _log(run: CurveSet) -> dict[str, np.ndarray]:
    """All series of a run; the curve itself is the val_* whose partner alone is in the series."""
    partners = [f"val_{name[6:]}" for name in run.series if name.startswith("train_")]
    target = next(name for name in partners if name not in run.series)
    return {target: run.values[0], **{name: values[0] for name, values in run.series.items()}}
