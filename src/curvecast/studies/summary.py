"""Makes tables of studies: all evaluations, the incumbent over the budget, a row per study."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from curvecast.curves import CurveSet, DataError
from curvecast.studies.evaluation import Evaluation

KEYS = ["study", "optimizer"]
SHARES = np.linspace(0.02, 1.0, 50)


def evaluations_frame(
    evaluations: Sequence[Evaluation], study: str, optimizer: str, seed: int
) -> pd.DataFrame:
    """One row per evaluation, in the order in which they finished.

    Columns: `study, optimizer, seed, configuration` (id as text), `bracket, budget, loss` (inf
    where it failed), `reason, model_based, cost` (budget that this evaluation used), `used`
    (running sum), `trained, stopped` (epoch at which a rule ended it, missing otherwise),
    `started, finished` (seconds since the epoch), `validation, test, row, distance` (missing
    where the objective does not report them) and `config` (JSON).
    """
    reported = ("stopped", "validation", "test", "row", "distance")
    rows = [
        {
            **{"study": study, "optimizer": optimizer, "seed": seed},
            "configuration": "-".join(map(str, e.id)),
            **{"bracket": e.id[0], "budget": float(e.budget), "loss": e.loss, "reason": e.reason},
            **{"model_based": e.model_based, "cost": float(e.cost), "trained": float(e.trained)},
            **{"started": e.seconds["started"], "finished": e.seconds["finished"]},
            **{name: e.info.get(name, np.nan) for name in reported},
            "config": json.dumps(e.config, sort_keys=True),
        }
        for e in evaluations
    ]
    frame = pd.DataFrame(rows).astype({"reason": "string"})
    frame.insert(list(frame).index("cost") + 1, "used", frame["cost"].cumsum())
    return frame


def incumbents(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of one study and seed at which the best configuration changed.

    The incumbent is the evaluation with the lowest loss on the highest budget reached so far;
    what failed or was ended early is none.

    Raises
    ------
    DataError : no evaluation has a loss.
    """
    whole = frame[frame["stopped"].isna() & np.isfinite(frame["loss"])]
    if whole.empty:
        last = frame.iloc[-1]
        search = f"study {last['study']!r}, {last['optimizer']}, seed {last['seed']}"
        raise DataError(f"{search}: no evaluation has a loss; the last one: {last['reason']}")
    changes, best = [], (0.0, np.inf)
    for budget, loss in zip(whole["budget"], whole["loss"], strict=True):
        better = budget > best[0] or (budget == best[0] and loss < best[1])
        best = (budget, loss) if better else best
        changes.append(better)
    return whole[np.array(changes)]


def last_incumbents(frame: pd.DataFrame) -> pd.DataFrame:
    """The row of `incumbents` that each seed of a study ends with, by increasing seed."""
    return pd.DataFrame([incumbents(part).iloc[-1] for _, part in frame.groupby("seed")])


def best_incumbent(frame: pd.DataFrame) -> pd.Series:
    """The best row of `last_incumbents`: of the highest budget that a seed reached."""
    ranks = last_incumbents(frame).sort_values(["budget", "loss"], ascending=[False, True])
    return ranks.iloc[0]


def regret(frame: pd.DataFrame, curves: CurveSet) -> pd.Series:
    """Normalised regret of the incumbent after every evaluation of one study on recorded curves.

    Its recorded final value against the best one of the collection, in units of the distance
    from there to the median run: 0 is the best recorded run, 1 a typical one. Missing until
    there is an incumbent, and where the median run is as good as the best.
    """
    losses = -curves.sign * curves.final
    losses = np.where(np.isfinite(losses), losses, np.nan)
    best, median = np.nanmin(losses), np.nanmedian(losses)
    known = incumbents(frame)
    final = pd.Series(losses[known["row"].astype(int)], index=known.index)
    return (final.reindex(frame.index).ffill() - best) / (float(median - best) or np.nan)


def regrets(frame: pd.DataFrame, curves: CurveSet, total_budget: float) -> pd.DataFrame:
    """Normalised regret per seed at the shares `SHARES` of the total budget.

    Columns `study, optimizer, seed, share, used, regret`; the regret before the first evaluation
    has finished is missing.
    """
    parts = []
    for key, part in frame.groupby([*KEYS, "seed"]):
        used = SHARES * total_budget
        values = at_budgets(part["used"], regret(part, curves), used)
        columns = {**dict(zip([*KEYS, "seed"], key, strict=True)), "share": SHARES, "used": used}
        parts.append(pd.DataFrame({**columns, "regret": values}))
    return pd.concat(parts, ignore_index=True)


def at_budgets(used: pd.Series, values: pd.Series, budgets: np.ndarray) -> np.ndarray:
    """A step function over the used budget, read off at `budgets`; NaN before its first value."""
    position = np.searchsorted(used.to_numpy(), budgets, side="right") - 1
    return np.where(position >= 0, values.to_numpy()[np.maximum(position, 0)], np.nan)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean by Student's t, as (low, high); NaN of one value or of inf."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return np.nan, np.nan
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - half), float(values.mean() + half)


def crossed(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of `values`, shape (n_sets, n_seeds), both drawn at random.

    For sets that share their configurations, in the model mu + set + seed + rest: the variance of
    the mean is (MS_sets + MS_seeds - MS_rest) / (n_sets n_seeds) with the mean squares of the
    analysis of variance (Searle, Casella and McCulloch 1992, Variance components, chapter 4), and
    not less than MS_sets / (n_sets n_seeds). Student's t with n_sets - 1 degrees of freedom; with
    one seed `interval` over the sets, and NaN for a single set.
    """
    sets, seeds = values.mean(axis=1), values.mean(axis=0)
    if min(values.shape) < 2:
        return interval(sets)
    rest = values - sets[:, None] - seeds + values.mean()
    ms_sets = len(seeds) * np.var(sets, ddof=1)
    ms_seeds = len(sets) * np.var(seeds, ddof=1)
    ms_rest = (rest**2).sum() / ((len(sets) - 1) * (len(seeds) - 1))
    variance = max(ms_sets, ms_sets + ms_seeds - ms_rest) / values.size
    half = stats.t.ppf(0.975, len(sets) - 1) * np.sqrt(variance)
    return float(values.mean() - half), float(values.mean() + half)


def study_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """`studies.csv`: one row per study and optimizer, means over its seeds.

    Columns: `study, optimizer, seeds, unique_configurations, evaluations, failed, stopped,
    budget_used, seconds, loss, loss_low, loss_high` (incumbents' mean and 95 % interval over
    seeds), `validation, test` (of the best seed's incumbent), `best_loss, incumbent` (JSON),
    `model_based_share` (of the configurations drawn).
    """
    rows = [
        {**dict(zip(KEYS, key, strict=True)), **_study_row(part)}
        for key, part in frame.groupby(KEYS, sort=False)
    ]
    return pd.DataFrame(rows)


def _study_row(frame: pd.DataFrame) -> dict[str, object]:
    by_seed = [part for _, part in frame.groupby("seed")]
    last, best = last_incumbents(frame), best_incumbent(frame)
    drawn = pd.concat([part.drop_duplicates("configuration") for part in by_seed])
    low, high = interval(last["loss"].to_numpy())
    n = len(by_seed)
    return {
        "seeds": n,
        "unique_configurations": len(drawn) / n,
        "evaluations": len(frame) / n,
        "failed": frame["reason"].notna().sum() / n,
        "stopped": frame["stopped"].notna().sum() / n,
        "budget_used": frame["cost"].sum() / n,
        "seconds": np.mean([p["finished"].max() - p["started"].min() for p in by_seed]),
        **{"loss": last["loss"].mean(), "loss_low": low, "loss_high": high},
        **{"best_loss": best["loss"], "validation": best["validation"], "test": best["test"]},
        "model_based_share": drawn["model_based"].mean(),
        "incumbent": best["config"],
    }


def regret_rows(regrets: pd.DataFrame) -> pd.DataFrame:
    """Regret over budget: mean and 95 % interval over seeds.

    Parameters
    ----------
    regrets : columns `study, optimizer, seed, share` (of the total budget), `regret`.
    """
    columns = [*KEYS, "share"]
    rows = [
        (*key, len(values), values.mean(), *interval(values.to_numpy()))
        for key, values in regrets.groupby(columns, sort=False)["regret"]
    ]
    return pd.DataFrame(rows, columns=[*columns, "seeds", "regret", "low", "high"])


def paired_rows(regrets: pd.DataFrame) -> pd.DataFrame:
    """Differences of the final regret, `bohb` minus every other optimizer, paired.

    Differences are per study and seed; the interval of their mean is that of `crossed`. Columns:
    `optimizer, other, studies, seeds, difference, low, high, studies_ahead` (a lower regret is
    better); no row without `bohb`.
    """
    final = regrets[regrets["share"] == regrets["share"].max()]
    table = final.pivot(index=["study", "seed"], columns="optimizer", values="regret")
    others = [other for other in table.columns if other != "bohb" and "bohb" in table]
    rows = []
    for other in others:
        pairs = (table["bohb"] - table[other]).unstack("seed")
        pairs = pairs.dropna(how="all").dropna(axis=1)
        gaps, seeds = pairs.mean(axis=1), pairs.shape[1]
        spread = (gaps.mean(), *crossed(pairs.to_numpy()), int((gaps < 0).sum()))
        rows.append(("bohb", other, len(gaps), seeds, *spread))
    columns = ["optimizer", "other", "studies", "seeds", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "studies_ahead"])
