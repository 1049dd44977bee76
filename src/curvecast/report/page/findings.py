"""The most important findings of a run, in words, with numbers from its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curvecast.curves import collection_of
from curvecast.report.names import FEATURE_ORDER
from curvecast.report.tables.markdown import number

Tables = Mapping[str, pd.DataFrame]
_BASELINES = ("last_value", "mean")


@dataclass(frozen=True)
class Finding:
    """One sentence or two for the first page.

    Attributes
    ----------
    key : the number in large letters.
    text : what it means, with its spread; Markdown.
    anchor : of the section that shows more.
    """

    key: str
    text: str
    anchor: str


def findings(tables: Tables, fraction: float, most: int = 5) -> list[Finding]:
    """The findings that the tables of a run allow, the most important first.

    Parameters
    ----------
    tables : frames by name ("r2", "averages", "ablation", ...), as in `tables/*.csv`.
    fraction : of the curve, at which the numbers are.
    most : how many to give.
    """
    found = (make(tables, fraction) for make in MAKERS)
    return [finding for finding in found if finding][:most]


def _at(frame: pd.DataFrame | None, fraction: float) -> pd.DataFrame:
    """Rows of the protocol's largest training size at one fraction, models with all blocks."""
    if frame is None or not len(frame):
        return pd.DataFrame()
    frame = frame[np.isclose(frame["fraction"], fraction)]
    return frame[frame["n_train"] == frame["n_train"].max()]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _sets(n: int) -> str:
    return f"{n} data sets" if n > 1 else "one data set"


def _spread(values: pd.Series, errors: pd.Series | None = None) -> str:
    """Median and range over data sets, or a value and its standard error where there is one."""
    if len(values) > 1:
        low, high = number(values.min(), 2), number(values.max(), 2)
        return f"{number(values.median(), 2)} (median of {len(values)} data sets, {low} to {high})"
    error = "" if errors is None or np.isnan(errors.iloc[0]) else f" ± {number(errors.iloc[0])}"
    return f"{number(values.iloc[0])}{error}"


def _best_models(r2: pd.DataFrame) -> dict[str, str]:
    """The model with the highest median R² over the data sets of each collection."""
    medians = r2.groupby([r2["dataset"].map(collection_of), "model"])["r2_mean"].median()
    return {str(name): str(part.droplevel(0).idxmax()) for name, part in medians.groupby(level=0)}


def accuracy(tables: Tables, fraction: float) -> Finding | None:
    """The best predictor of each collection, beside the last value seen."""
    r2 = _at(tables.get("r2"), fraction)
    if not len(r2):
        return None
    texts, keys = [], []
    for collection, model in _best_models(r2).items():
        mine = r2[(r2["dataset"].map(collection_of) == collection) & (r2["model"] == model)]
        keys.append(number(float(mine["r2_mean"].median()), 2))
        text = f"**{collection}**: `{model}` reaches R² {_spread(mine['r2_mean'], mine['r2_se'])}"
        last = r2[(r2["dataset"].isin(mine["dataset"])) & (r2["model"] == "last_value")]
        if len(last) and model != "last_value":
            text += f"; the last value seen, {_spread(last['r2_mean'], last['r2_se'])}"
        texts.append(text)
    return Finding(
        f"R² {' / '.join(keys)}",
        f"after {_percent(fraction)} of a run, for runs not trained on. {'. '.join(texts)}.",
        "accuracy",
    )


def calibration(tables: Tables, fraction: float) -> Finding | None:
    """How many final values the 80 % intervals hold, for the best and the worst model."""
    r2 = _at(tables.get("r2"), fraction)
    if not len(r2):
        return None
    cover = r2[~r2["model"].isin(_BASELINES)].groupby("model")["cover80"]
    means = cover.mean().dropna()
    if not len(means):
        return None
    gaps = (means - 0.8).abs()
    best, worst = str(gaps.idxmin()), str(gaps.idxmax())

    low, high = cover.min(), cover.max()

    def range_of(model: str) -> str:
        span = f"{_percent(low[model])} to {_percent(high[model])} by data set"
        return span if low[model] < high[model] else "one data set"

    text = (
        f"of the final values lie in the 80 % intervals of `{best}` ({range_of(best)}), which "
        f"comes closest to its promise after {_percent(fraction)} of a run"
    )
    if worst != best:
        text += f"; farthest is `{worst}` with {_percent(means[worst])} ({range_of(worst)})"
    return Finding(_percent(means[best]), f"{text}.", "calibration")


def speedups(tables: Tables, fraction: float) -> Finding | None:
    """What the fixed setting of the online search saves, and what f-Hyperband does."""
    frame = tables.get("speedup_sequential")
    if frame is None or not len(fixed := frame[_flags(frame["default"])]):
        return None
    regret = fixed["regret_mean"]
    text = (
        f"fewer epochs are needed by the online search that stops runs early: {_times(fixed)}. It "
        f"finds the best run in {_percent(fixed['recovered_share'].mean())} of the searches; its "
        f"regret is {number(regret.mean())} on average and {number(regret.max())} at most (0 is "
        "the best run, 1 the median one)"
    )
    other = tables.get("speedup_hyperband")
    if other is not None and len(other := other[_flags(other["default"])]):
        settled = other[other["window"] == "settled"]
        other = settled if len(settled) else other
        loss = number(other["loss_relative_mean"].mean() + 0.0)
        text += f". Inside Hyperband: {_times(other)}, relative loss {loss}"
    return Finding(f"{fixed['speedup_mean'].median():.1f} times", f"{text}.", "stopping")


def _flags(column: pd.Series) -> pd.Series:
    return column.astype(str) == "True"


def _times(rows: pd.DataFrame) -> str:
    """Speedups over data sets, or with their interval over orderings where there is one set."""
    values = rows["speedup_mean"]
    if len(values) > 1:
        return f"{_spread(values)} times"
    low, high = rows["speedup_low"].iloc[0], rows["speedup_high"].iloc[0]
    span = f" (95 % interval {low:.2f} to {high:.2f})" if np.isfinite(low) else ""
    return f"{values.iloc[0]:.2f}{span} times"


def ablation(tables: Tables, fraction: float) -> Finding | None:
    """What the curve alone, the settings alone, and both together give."""
    frame = _at(tables.get("ablation"), fraction)
    if not len(frame):
        return None
    medians = frame.groupby(["model", "features"])["r2_mean"].median().unstack()
    order = [name for name in FEATURE_ORDER if name in medians]
    if "TS" not in order or len(order) < 2:
        return None
    model = str(medians[order].max(axis=1).idxmax())
    of_model = medians.loc[model].astype(float).to_dict()
    mine = frame[frame["model"] == model].set_index("features")

    def words(features: str) -> str:
        rows = mine.loc[[features]]
        return _spread(rows["r2_mean"], rows["r2_se"])

    full = order[-1]
    settings = [name for name in order if not name.startswith("TS")]
    key = number(of_model["TS"], 2)
    text = f"is the R² of the curve alone (`{model}`): {words('TS')}"
    if settings:
        key += f" against {number(of_model[settings[-1]], 2)}"
        text = (
            f"are the R² of the curve alone, {words('TS')}, and of the settings alone "
            f"({settings[-1]}), {words(settings[-1])}, with `{model}`"
        )
    return Finding(key, f"{text}. Together ({full}): {words(full)}.", "ablation")


def studies(tables: Tables, fraction: float) -> Finding | None:
    """BOHB against the others on recorded curves, else what real training found."""
    paired = tables.get("study_comparison")
    if paired is not None and len(paired):
        return _searches(paired, tables.get("study_regret"))
    table = tables.get("studies")
    if table is None or not len(table):
        return None
    row = table.iloc[0]
    spread = ""
    if np.isfinite(row["loss_low"]):
        spread = f", 95 % interval {number(row['loss_low'])} to {number(row['loss_high'])}"
    return Finding(
        number(row["loss"], 3),
        f"is the loss that {row['optimizer']} found in study {row['study']} "
        f"(mean of {int(row['seeds'])} seeds{spread}).",
        "studies",
    )


def _searches(paired: pd.DataFrame, regrets: pd.DataFrame | None) -> Finding:
    """The difference from random search, with its interval over data sets; of a single data set
    each search's regret with its interval over seeds.
    """
    other = "random" if "random" in set(paired["other"]) else str(paired["other"].iloc[0])
    row = paired[paired["other"] == other].iloc[0]
    name = str(row["optimizer"]).upper()
    if np.isfinite(row["low"]) or regrets is None:
        spread = f"95 % interval {row['low']:+.3f} to {row['high']:+.3f} over data sets; "
    else:
        last = regrets[regrets["share"] == regrets["share"].max()].set_index("optimizer")
        spread = "".join(
            f"{label} {last.loc[key, 'regret']:.3f}, 95 % interval over seeds "
            f"{last.loc[key, 'low']:.3f} to {last.loc[key, 'high']:.3f}; "
            for label, key in ((name, row["optimizer"]), (other, other))
        )
    return Finding(
        f"{row['difference']:+.3f}",
        f"is the difference in final regret between {name} and {other} search on recorded curves "
        f"({spread}{_sets(int(row['studies']))}, {int(row['seeds'])} seeds; 0 is the best recorded "
        f"run, 1 the median one). Negative: {name} is ahead.",
        "studies",
    )


def published(tables: Tables, fraction: float) -> Finding | None:
    """How many published figures ours agree with."""
    frame = tables.get("published")
    if frame is None or not len(frame):
        return None
    beyond = frame["beyond_2se"].astype(str) == "True"
    worse = beyond & (frame["difference"] < 0)
    middle, low, high = frame["difference"].quantile([0.5, 0.1, 0.9])
    return Finding(
        f"{len(frame) - int(beyond.sum())} of {len(frame)}",
        f"published R² values agree with ours within two standard errors; {int(worse.sum())} of "
        f"the others are higher than ours, {int((beyond & ~worse).sum())} lower. Ours minus "
        f"published: median {middle:+.3f}, {low:+.3f} to {high:+.3f} for the middle 80 %.",
        "published",
    )


def earliness(tables: Tables, fraction: float) -> Finding | None:
    """How the best model grows with the part of the curve that is seen."""
    r2 = tables.get("r2")
    if r2 is None or r2["fraction"].nunique() < 2:
        return None
    first = float(r2["fraction"].min())
    at_first = _at(r2, first)
    medians = at_first.groupby("model")["r2_mean"].median()
    model = str(medians.idxmax())
    texts = []
    for at in sorted(r2["fraction"].unique()):
        mine = _at(r2, float(at))
        mine = mine[mine["model"] == model]
        texts.append(f"{_percent(float(at))}: {_spread(mine['r2_mean'], mine['r2_se'])}")
    return Finding(
        f"R² {number(float(medians[model]), 2)}",
        f"is reached after only {_percent(first)} of a run by `{model}`. {'; '.join(texts)}.",
        "accuracy",
    )


MAKERS: tuple[Callable[[Tables, float], Finding | None], ...] = (
    accuracy,
    speedups,
    published,
    studies,
    calibration,
    ablation,
    earliness,
)
