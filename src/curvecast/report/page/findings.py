"""States the most important findings of a run in sentences, with numbers from its tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from curvecast.benchmark.comparisons import largest
from curvecast.curves import collection_of
from curvecast.report.names import FEATURE_ORDER
from curvecast.report.tables.markdown import number, plus_minus

Tables = Mapping[str, pd.DataFrame]
# A number in large letters, what it means (Markdown), and the section that shows more.
Finding = tuple[str, str, str]
_BASELINES = ("last_value", "mean")


def findings(tables: Tables, fraction: float, most: int = 7) -> list[Finding]:
    """The findings that the tables of a run allow, `most` of them; what may be false comes first.

    `tables` holds frames by name ("r2", "ablation", ...); R² is at `fraction` of the curve.
    """
    tables = {name: frame for name, frame in tables.items() if len(frame)}
    for name in {"r2", "ablation", "differences"} & set(tables):
        tables[name] = largest(tables[name][np.isclose(tables[name]["fraction"], fraction)])
    makers = {
        defeats: "differences",
        accuracy: "r2",
        few_runs: "training_size",
        speedups: "speedup_sequential",
        published: "published",
        searches: "study_comparison",
        trainings: "studies",
        calibration: "r2",
        ablation: "ablation",
    }
    made = [make(tables, fraction) for make, name in makers.items() if len(tables.get(name, ()))]
    return [finding for finding in made if finding][:most]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _spread(values: pd.Series) -> str:
    low, middle, high = (number(v, 2) for v in (values.min(), values.median(), values.max()))
    return f"{middle} (median of {len(values)} data sets, {low} to {high})"


def _r2(rows: pd.DataFrame) -> str:
    """Median and range of R² over data sets, or R² and its standard error where there is one."""
    if len(rows) > 1:
        return _spread(rows["r2_mean"])
    return plus_minus(rows["r2_mean"].iloc[0], rows["r2_se"].iloc[0])


def defeats(tables: Tables, fraction: float) -> Finding | None:
    """Where the ensemble, or without one the best predictor, loses to the last value seen."""
    rows = tables["differences"].query("reference == 'last_value' and metric == 'MAE'")
    if rows.empty:
        return None
    # Errors of data sets have units of their own; their ratios have none.
    ratios = (rows["mean"] / rows["reference_mean"]).groupby(rows["model"]).median()
    model = "ensemble" if "ensemble" in ratios else str(ratios.fillna(np.inf).idxmin())
    rows = rows[rows["model"] == model]
    behind = rows[rows["difference"] >= 0]
    resolved = int(behind["resolved"].sum())
    ahead = int((rows["resolved"] & (rows["difference"] < 0)).sum())
    names = f"{', '.join(behind['dataset'].iloc[:8])}{', ...' * (len(behind) > 8)}"
    lost = f" ({names}); the difference is resolved on {resolved} of them"
    return (
        f"{len(behind)} of {len(rows)}",
        f"data sets on which `{model}` loses to the last value seen, by mean absolute error after "
        f"{_percent(fraction)} of a run{lost * (len(behind) > 0)}. "
        f"Its lead is resolved on {ahead}.",
        "accuracy",
    )


def few_runs(tables: Tables, fraction: float) -> Finding | None:
    """How large the error is with few finished runs to learn from."""
    frame = tables["training_size"].query("model != 'last_value'")
    # A ratio is infinite or missing where the last value seen is exact.
    known = np.isclose(frame["fraction"], fraction) & np.isfinite(frame["mae_ratio"])
    frame = frame[known]
    if frame.empty:
        return None
    texts, keys = [], []
    for collection, rows in frame.groupby(frame["dataset"].map(collection_of)):
        medians = rows.groupby(["n_train", "model"])["mae_ratio"].median().unstack()
        best = medians.min(axis=1)
        parts = [
            f"{number(best[n], 2)} with {'none' if n == 0 else n} (`{medians.loc[n].idxmin()}`)"
            for n in best.index
        ]
        few = max((n for n in best.index if n <= 10), default=best.index[0])
        keys.append(f"{number(float(best[few]), 2)} with {few}")
        texts.append(f"**{collection}**: {', '.join(parts)}")
    return (
        f"{' / '.join(keys)}",
        "finished runs: the mean absolute error of the best predictor over that of the last value "
        f"seen (median over data sets, after {_percent(fraction)} of a run). By number of finished "
        f"runs, {'; '.join(texts)}. The best is chosen on these data.",
        "training_size",
    )


def accuracy(tables: Tables, fraction: float) -> Finding:
    """The best predictor of each collection, beside the last value seen."""
    r2, texts, keys = tables["r2"], [], []
    for collection, rows in r2.groupby(r2["dataset"].map(collection_of)):
        model = str(rows.groupby("model")["r2_mean"].median().idxmax())
        best, last = rows[rows["model"] == model], rows[rows["model"] == "last_value"]
        keys.append(number(float(best["r2_mean"].median()), 2))
        text = f"**{collection}**: `{model}` reaches R² {_r2(best)}"
        if len(last) and model != "last_value":
            text += f"; the last value seen, {_r2(last)}"
        texts.append(text)
    return (
        f"R² {' / '.join(keys)}",
        f"after {_percent(fraction)} of a run, for runs not trained on. {'. '.join(texts)}.",
        "accuracy",
    )


def calibration(tables: Tables, fraction: float) -> Finding | None:
    """How many final values the 80 % intervals hold, for the best and the worst model."""
    r2 = tables["r2"]
    cover = r2[~r2["model"].isin(_BASELINES)].groupby("model")["cover80"]
    means, low, high = cover.mean().dropna(), cover.min(), cover.max()
    if means.empty:
        return None
    gaps = (means - 0.8).abs()
    best, worst = str(gaps.idxmin()), str(gaps.idxmax())

    def range_of(model: str) -> str:
        span = f"{_percent(low[model])} to {_percent(high[model])} by data set"
        return span if low[model] < high[model] else "one data set"

    text = (
        f"of the final values lie in the 80 % intervals of `{best}` ({range_of(best)}), which "
        f"comes closest to its promise after {_percent(fraction)} of a run"
    )
    if worst != best:
        text += f"; farthest is `{worst}` with {_percent(means[worst])} ({range_of(worst)})"
    return (_percent(means[best]), f"{text}.", "calibration")


def speedups(tables: Tables, fraction: float) -> Finding | None:
    """What the fixed setting of the online search saves, and what f-Hyperband does."""
    fixed = _fixed(tables["speedup_sequential"])
    if fixed.empty:
        return None
    regret = fixed["regret_mean"]
    text = (
        f"fewer epochs are needed by the online search that stops runs early: {_times(fixed)}. It "
        f"recovers the best run in {fixed['recovered'].sum()} of {fixed['orderings'].sum()} "
        f"searches (regret at most 0.005); its regret is {number(regret.mean())} on average and "
        f"{number(regret.max())} at most (0 is the best run, 1 the median one)"
    )
    other = tables.get("speedup_hyperband", pd.DataFrame({"default": []}))
    other = _fixed(other)
    if len(other):
        settled = other[other["window"] == "settled"]
        other = settled if len(settled) else other
        loss = number(other["loss_relative_mean"].mean())
        text += f". Inside Hyperband: {_times(other)}, relative loss {loss}"
    return (f"{fixed['speedup'].median():.1f} times", f"{text}.", "stopping")


def _fixed(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the fixed setting."""
    return frame[frame["default"].astype(bool)]


def _times(rows: pd.DataFrame) -> str:
    """Speedups over data sets, or with their interval over orderings where there is one set."""
    if len(rows) > 1:
        return f"{_spread(rows['speedup'])} times"
    row = rows.iloc[0]
    low, high = row["speedup_low"], row["speedup_high"]
    span = f" (95 % interval {low:.2f} to {high:.2f})" if np.isfinite(low) else ""
    return f"{row['speedup']:.2f}{span} times"


def ablation(tables: Tables, fraction: float) -> Finding | None:
    """What the curve alone, the settings alone, and both together give."""
    frame = tables["ablation"]
    medians = frame.groupby(["model", "features"])["r2_mean"].median().unstack()
    order = [name for name in FEATURE_ORDER if name in medians]
    if "TS" not in order or len(order) < 2:
        return None
    model = str(medians[order].max(axis=1).idxmax())
    rows = dict(iter(frame[frame["model"] == model].groupby("features")))
    key = number(float(medians["TS"][model]), 2)
    text = f"is the R² of the curve alone (`{model}`): {_r2(rows['TS'])}"
    settings = [name for name in order if not name.startswith("TS")]
    if settings:
        key += f" against {number(float(medians[settings[-1]][model]), 2)}"
        text = (
            f"are the R² of the curve alone, {_r2(rows['TS'])}, and of the settings alone "
            f"({settings[-1]}), {_r2(rows[settings[-1]])}, with `{model}`"
        )
    return (key, f"{text}. Together ({order[-1]}): {_r2(rows[order[-1]])}.", "ablation")


def trainings(tables: Tables, fraction: float) -> Finding | None:
    """The best loss of the first study, where no search on recorded curves was compared."""
    if "study_comparison" in tables:
        return None
    row = tables["studies"].iloc[0]
    spread = ""
    if np.isfinite(row["loss_low"]):
        spread = f", 95 % interval {number(row['loss_low'])} to {number(row['loss_high'])}"
    return (
        number(row["loss"]),
        f"is the loss of the incumbent of {row['optimizer']} in study {row['study']} "
        f"(mean of {int(row['seeds'])} seeds{spread}).",
        "studies",
    )


def searches(tables: Tables, fraction: float) -> Finding | None:
    """BOHB against random search on recorded curves, with the interval over data sets; of a single
    data set each search's regret with its interval over seeds.
    """
    paired, regrets = tables["study_comparison"].query("studies > 0"), tables.get("study_regret")
    if paired.empty:
        return None
    other = "random" if "random" in set(paired["other"]) else str(paired["other"].iloc[0])
    row = paired[paired["other"] == other].iloc[0]
    name, sets, seeds = str(row["optimizer"]).upper(), int(row["studies"]), int(row["seeds"])
    if np.isfinite(row["low"]) or regrets is None:
        spread = f"95 % interval {row['low']:+.3f} to {row['high']:+.3f} over data sets; "
    else:
        last = regrets[regrets["share"] == regrets["share"].max()]
        both = set.intersection(
            *(set(last["study"][last["optimizer"] == key]) for key in (row["optimizer"], other))
        )
        last = last[last["study"].isin(both)].set_index("optimizer")
        spread = "".join(
            f"{label} {number(last.loc[key, 'regret'])}{_interval(last.loc[key])}; "
            for label, key in ((name, row["optimizer"]), (other, other))
        )
    count = f"{sets} data sets" if sets > 1 else "one data set"
    return (
        f"{row['difference']:+.3f}",
        f"is the difference in final regret between {name} and {other} search on recorded curves "
        f"({spread}{count}, {seeds} seed{'s' * (seeds > 1)}; 0 is the best recorded "
        f"run, 1 the median one). Negative: {name} is ahead.",
        "studies",
    )


def _interval(row: pd.Series) -> str:
    """The interval over seeds, "" for a single one."""
    low, high = number(row["low"]), number(row["high"])
    return f", 95 % interval over seeds {low} to {high}" if low else ""


def published(tables: Tables, fraction: float) -> Finding:
    """How many published figures ours agree with."""
    frame = tables["published"].query("counts")
    beyond = frame["beyond_2se"]
    worse = beyond & (frame["difference"] < 0)
    middle, low, high = frame["difference"].quantile([0.5, 0.1, 0.9])
    return (
        f"{len(frame) - int(beyond.sum())} of {len(frame)}",
        "published R² values, each counted once, agree with ours within two standard errors; "
        f"{int(worse.sum())} of the others are higher than ours, "
        f"{int((beyond & ~worse).sum())} lower. Ours minus "
        f"published: median {middle:+.3f}, {low:+.3f} to {high:+.3f} for the middle 80 %.",
        "published",
    )
