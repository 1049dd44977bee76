"""What early stopping buys on one data set, and the speedup tables of all of them.

A study is a frame with one row per (predictor, setting, Delta, ordering or repeat); a table is
its summary. Studies hold no seconds of this machine: what the predictors cost is returned beside
them, in a second frame.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.stopping.accounting import (
    Outcome,
    Record,
    Replay,
    mean_interval,
    oracle_epochs,
    outcome,
    summarise,
)
from curvecast.stopping.hyperband import (
    HyperbandRun,
    HyperbandSetting,
    RungForecaster,
    largest_budget,
    replay_hyperband,
)
from curvecast.stopping.online import OnlineSetting, online_looks, replay_online
from curvecast.stopping.rule import SuccessiveHalvingRule, look_epochs
from curvecast.stopping.sequential import (
    BAKER_SETTINGS,
    DELTAS,
    Forecasts,
    Setting,
    baker_forecast,
    forecast,
    oracle_bounds,
    ordering,
    patience_bounds,
    replay_halving,
    replay_median,
    walk,
)

KEYS = ["dataset", "predictor", "setting", "delta"]
ONLINE = "online"
DEFAULT_PREDICTOR = "gain_gp"
DEFAULT_HYPERBAND = HyperbandSetting(delta=0.9, kappa=0.5, promising_first=True)
HYPERBAND_SETTINGS = (
    HyperbandSetting(kappa=1.0),
    HyperbandSetting(kappa=0.5),
    HyperbandSetting(kappa=0.1),
    HyperbandSetting(kappa=0.0),
    HyperbandSetting(kappa=0.0, offset=0.01),
)
# Models that learn nothing from other runs: one forecast serves all orderings. Domhan's rule is
# about the uncalibrated probability.
_ALONE = {"lce": {"calibrate": False}}
_TIMING_COLUMNS = ["dataset", "predictor", "search", "repeat", "fits", "fit_seconds", "ask_seconds"]


@dataclass(frozen=True)
class SequentialPlan:
    """Options of the sequential studies (config key `stopping`).

    Attributes
    ----------
    n_full : runs trained to the end before anything is stopped, in Baker's protocol.
    orderings : random orders of the runs.
    deltas, settings : the grid of Baker's rule.
    all_up_to : look at every epoch of curves up to this length (Baker's sets), else at 14
        log-spaced ones; 0 keeps large collections cheap.
    """

    n_full: int = 100
    orderings: int = 10
    deltas: tuple[float, ...] = DELTAS
    settings: tuple[Setting, ...] = BAKER_SETTINGS
    all_up_to: int = 60

    def looks(self, epochs: np.ndarray) -> np.ndarray:
        """Epochs at which runs are judged; see `rule.look_epochs`."""
        return look_epochs(epochs, all_up_to=self.all_up_to)


def _row(
    curves: CurveSet, predictor: str, setting: str, delta: float, repeat: int, result: Outcome
) -> dict[str, object]:
    keys = dict(zip(KEYS, (curves.name, predictor, setting, delta), strict=True))
    return {**keys, "ordering": repeat, **asdict(result)}


def sequential_study(
    curves: CurveSet, model: str, plan: SequentialPlan | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Baker's protocol with one predictor: rows of `Outcome`, and what the predictor cost.

    Raises
    ------
    DataError : not more than `plan.n_full` runs; an unknown model.
    """
    plan = plan or SequentialPlan()
    record, looks = Record.of(curves), plan.looks(curves.epochs)
    rows, timings = [], []
    for repeat, forecasts in enumerate(_forecasts(curves, model, looks, plan)):
        order = ordering(curves, repeat)
        best_possible = _oracle_speedup(record, order, looks, plan.n_full)
        for delta in plan.deltas:
            bounds = forecasts.bounds(delta)
            for setting in plan.settings:
                replay = walk(record, order, looks, bounds, n_full=plan.n_full, setting=setting)
                row = _row(curves, model, setting.name, delta, repeat, outcome(record, replay))
                rows.append({**row, "oracle_speedup": best_possible})
        if repeat == 0 or model not in _ALONE:
            seconds = (forecasts.fit_seconds, forecasts.predict_seconds)
            timings.append((curves.name, model, "sequential", repeat, len(looks), *seconds))
    return pd.DataFrame(rows), pd.DataFrame(timings, columns=_TIMING_COLUMNS)


def _forecasts(
    curves: CurveSet, model: str, looks: np.ndarray, plan: SequentialPlan
) -> Iterable[Forecasts]:
    if model not in _ALONE:
        for repeat in range(plan.orderings):
            yield baker_forecast(curves, model, repeat, looks, plan.n_full)
        return
    everything = np.arange(len(curves))
    once = forecast(curves, everything[:2], everything, model, looks, 0, **_ALONE[model])
    for _ in range(plan.orderings):
        yield once


def _oracle_speedup(record: Record, order: np.ndarray, looks: np.ndarray, n_full: int) -> float:
    first = int(record.columns(looks)[0])
    everything = int(record.epochs[record.end].sum())
    return everything / oracle_epochs(record, order, first, n_full)


def rules_study(curves: CurveSet, plan: SequentialPlan | None = None) -> pd.DataFrame:
    """Rules without a model, in the orderings of `sequential_study` and with its full runs."""
    plan = plan or SequentialPlan()
    record, looks = Record.of(curves), plan.looks(curves.epochs)
    if len(record) <= plan.n_full:
        raise DataError(
            f"{len(record)} runs are too few for {plan.n_full} full ones (lower stopping.n_full)",
            file=curves.name,
        )
    first = max(1, int(np.ceil(record.epochs[-1] / 27)))
    patience = max(1, int(np.ceil(record.epochs[-1] / 10)))
    never = np.full((len(record), len(looks)), np.inf)
    rows = []
    for repeat in range(plan.orderings):
        order = ordering(curves, repeat)
        full = plan.n_full
        halving = SuccessiveHalvingRule(min_tau=first, eta=3)
        replays: dict[tuple[str, str], Replay] = {
            ("oracle", "limit"): walk(
                record, order, looks, oracle_bounds(record, looks), n_full=full
            ),
            ("median", "vizier"): replay_median(record, order, looks, n_full=full),
            ("successive_halving", "eta=3"): replay_halving(record, order, halving, n_full=full),
            ("patience", f"{patience} epochs"): walk(
                record, order, looks, patience_bounds(record, looks, patience), n_full=0
            ),
            ("none", "never stop"): walk(record, order, looks, never, n_full=full),
        }
        best_possible = _oracle_speedup(record, order, looks, full)
        for (predictor, setting), replay in replays.items():
            row = _row(curves, predictor, setting, np.nan, repeat, outcome(record, replay))
            rows.append({**row, "oracle_speedup": best_possible})
    return pd.DataFrame(rows)


def online_study(
    curves: CurveSet,
    deltas: Sequence[float] | None = None,
    orderings: int = 10,
    setting: OnlineSetting | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The online search at several Delta (default: that of the fixed setting alone)."""
    setting = setting or OnlineSetting()
    record, looks = Record.of(curves), online_looks(curves.epochs)
    rows, timings = [], []
    for repeat in range(orderings):
        best_possible = _oracle_speedup(record, ordering(curves, repeat), looks, setting.n_full)
        for delta in deltas or (setting.delta,):
            replay, cost = replay_online(curves, repeat, looks, replace(setting, delta=delta))
            result = outcome(record, replay)
            row = _row(curves, DEFAULT_PREDICTOR, ONLINE, delta, repeat, result)
            rows.append({**row, "oracle_speedup": best_possible})
            seconds = (cost.fit, cost.predict)
            timings.append((curves.name, DEFAULT_PREDICTOR, ONLINE, repeat, cost.fits, *seconds))
    return pd.DataFrame(rows), pd.DataFrame(timings, columns=_TIMING_COLUMNS)


def speedup_sequential(
    outcomes: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table `speedup_sequential`: one row per data set, predictor, setting and Delta.

    Parameters
    ----------
    outcomes : rows of `sequential_study`, `rules_study` and `online_study` of any data sets.
    published : rows with the columns `search`, `dataset`, `method`, `delta_0.80`, ..., and
        `not_recovered_or_worse_at`.

    Returns
    -------
    Frame with the keys, `default` (the fixed setting), the columns of `accounting.summarise`,
    `oracle_bound` (mean speedup of the oracle that loses nothing, after as many full runs),
    `published` and `published_recovered` (empty where nothing was published) and `note`.
    """
    known = _published(published, "sequential")
    rows = []
    for keys, group in outcomes.groupby(KEYS, sort=True, dropna=False):
        cell: dict[str, Any] = dict(zip(KEYS, keys, strict=True))
        dataset, predictor, setting, delta = cell.values()
        results = [
            Outcome(**{name: row[name] for name in Outcome.__dataclass_fields__})
            for row in group.to_dict("records")
        ]
        method = predictor if setting == "baker" else f"{predictor} {setting}"
        value, recovered = known.get(_published_key(dataset, method, delta), (np.nan, None))
        rows.append(
            {
                **cell,
                "default": setting == ONLINE and delta == OnlineSetting().delta,
                **summarise(results),
                "oracle_bound": group["oracle_speedup"].mean(),
                "published": value,
                "published_recovered": recovered,
                "note": _note(dataset, value),
            }
        )
    return pd.DataFrame(rows)


def _note(dataset: str, published: float) -> str:
    if dataset.endswith("metaqnn_svhn") and not np.isnan(published):
        return "the file holds 1300 runs, the published search had 1000"
    return ""


def _published_key(dataset: str, method: str, delta: float) -> tuple[str, str, float]:
    return dataset.removeprefix("baker/"), method, round(float(delta), 4)


def _published(
    published: pd.DataFrame | None, search: str
) -> dict[tuple[str, str, float], tuple[float, bool | None]]:
    """Map (data set, method, Delta) to the published speedup and whether nothing was lost."""
    found: dict[tuple[str, str, float], tuple[float, bool | None]] = {}
    if published is None:
        return found
    for row in published[published["search"] == search].to_dict("records"):
        lost = row["not_recovered_or_worse_at"]
        lost_at = set() if pd.isna(lost) else {float(x) for x in str(lost).split()}
        for column, value in row.items():
            if str(column).startswith("delta_") and not pd.isna(value):
                delta = float(str(column).removeprefix("delta_"))
                key = _published_key(row["dataset"], row["method"], delta)
                found[key] = (float(value), delta not in lost_at)
    return found


@dataclass(frozen=True)
class HyperbandPlan:
    """Options of the Hyperband studies (config key `stopping.hyperband`).

    Attributes
    ----------
    eta : rate of elimination.
    budget : R; None stands for the largest power of eta that is at most the number of epochs.
    hyperbands : consecutive Hyperbands; `settled`: how many of the first are left out in the
        second window, in which all rungs have their predictors.
    """

    eta: int = 3
    budget: int | None = None
    hyperbands: int = 40
    settled: int = 10
    repeats: int = 10
    deltas: tuple[float, ...] = DELTAS
    settings: tuple[HyperbandSetting, ...] = HYPERBAND_SETTINGS


def hyperband_study(
    curves: CurveSet,
    model: str,
    plan: HyperbandPlan | None = None,
    default: HyperbandSetting | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """f-Hyperband with one predictor against vanilla Hyperband on the same draws.

    Parameters
    ----------
    default : a setting that is replayed beside the grid of the plan.

    Returns
    -------
    Rows per (setting, Delta, repeat, window) with `speedup`, `speedup_seconds`,
    `oracle_speedup`, `loss` (best vanilla value minus ours at R epochs, in the unit of the
    metric, positive is worse), `loss_relative` (in units of the median-to-best distance at R)
    and `budget`; and what the predictor cost.
    """
    plan = plan or HyperbandPlan()
    budget = plan.budget or largest_budget(curves.last_epoch, plan.eta)
    unit = _unit_at(curves, budget)
    grid = [replace(s, delta=d) for s in plan.settings for d in plan.deltas]
    grid += [default] if default is not None and default not in grid else []
    rows, timings = [], []
    for repeat in range(plan.repeats):
        args = (curves, repeat, budget, plan.eta, plan.hyperbands)
        vanilla = replay_hyperband(*args)
        forecaster = RungForecaster(curves, model, plan.eta, repeat)
        started = time.perf_counter()
        for setting in grid:
            runs = replay_hyperband(*args, setting, forecaster)
            for window, first in (("all", 0), ("settled", plan.settled)):
                rows.append(
                    {
                        **dict(
                            zip(
                                KEYS,
                                (curves.name, model, setting.name, setting.delta),
                                strict=True,
                            )
                        ),
                        "default": model == DEFAULT_PREDICTOR and setting == default,
                        "window": window,
                        "first": first + 1,
                        "last": plan.hyperbands,
                        "repeat": repeat,
                        "budget": budget,
                        **_against(vanilla[first:], runs[first:], unit),
                    }
                )
        asked = time.perf_counter() - started - forecaster.seconds
        cost = (forecaster.fits, forecaster.seconds, asked)
        timings.append((curves.name, model, "hyperband", repeat, *cost))
    return pd.DataFrame(rows), pd.DataFrame(timings, columns=_TIMING_COLUMNS)


def _unit_at(curves: CurveSet, budget: int) -> float:
    record = Record.of(curves)
    gain = record.gain[:, int(record.columns(np.array([budget]))[0])]
    gain = gain[np.isfinite(gain)]
    return float(gain.max() - np.median(gain))


def _against(
    vanilla: list[HyperbandRun], runs: list[HyperbandRun], unit: float
) -> dict[str, float]:
    base = sum(run.epochs for run in vanilla)
    seconds = sum(run.seconds for run in runs)
    loss = max(run.best for run in vanilla) - max(run.best for run in runs)
    return {
        "speedup": base / sum(run.epochs for run in runs),
        "speedup_seconds": sum(run.seconds for run in vanilla) / seconds,
        "oracle_speedup": base / sum(run.oracle_epochs for run in runs),
        "loss": loss,
        "loss_relative": loss / unit if unit > 0 else float(np.sign(loss)),
    }


def speedup_hyperband(
    outcomes: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table `speedup_hyperband`: one row per data set, predictor, setting, Delta and window.

    Columns: the keys, `window`, `first` and `last` Hyperband of it, `default`, `budget` (R),
    `repeats`, `speedup_mean`, `speedup_low`, `speedup_high`, `speedup_seconds_mean`,
    `loss_mean` (unit of the metric), `loss_relative_mean`, `loss_relative_high`,
    `oracle_bound`, `share_of_bound`, `published`, `published_recovered`.
    """
    known = _published(published, "hyperband")
    rows = []
    columns = [*KEYS, "window", "first", "last", "default", "budget"]
    for keys, group in outcomes.groupby(columns, sort=True):
        cell: dict[str, Any] = dict(zip(columns, keys, strict=True))
        speedup = mean_interval(group["speedup"].to_numpy(dtype=np.float64))
        loss = mean_interval(group["loss_relative"].to_numpy(dtype=np.float64))
        bound = float(group["oracle_speedup"].mean())
        method = cell["setting"].replace("kappa=1", "kappa=1.0")
        key = _published_key(cell["dataset"], method, cell["delta"])
        value, recovered = known.get(key, (np.nan, None))
        rows.append(
            {
                **cell,
                "repeats": len(group),
                "speedup_mean": speedup[0],
                "speedup_low": speedup[1],
                "speedup_high": speedup[2],
                "speedup_seconds_mean": group["speedup_seconds"].mean(),
                "loss_mean": group["loss"].mean(),
                "loss_relative_mean": loss[0],
                "loss_relative_high": loss[2],
                "oracle_bound": bound,
                "share_of_bound": speedup[0] / bound,
                "published": value,
                "published_recovered": recovered,
            }
        )
    return pd.DataFrame(rows)


def reliability(
    curves: CurveSet, model: str, plan: SequentialPlan | None = None, n_bins: int = 10
) -> pd.DataFrame:
    """Are the stopping probabilities right? All looks of all judged runs, in bins of P(worse).

    Every run is compared with the best of the runs finished before it when nothing is stopped.
    Columns: `dataset`, `predictor`, `low`, `high` (of the bin), `probability` (mean), `worse`
    (share that did end worse) and `looks` (how many).
    """
    plan = plan or SequentialPlan()
    record, looks = Record.of(curves), plan.looks(curves.epochs)
    said, was = [], []
    for repeat, forecasts in enumerate(_forecasts(curves, model, looks, plan)):
        order = ordering(curves, repeat)
        never = np.full((len(record), len(looks)), np.inf)
        replay = walk(record, order, looks, never, n_full=plan.n_full)
        best = replay.best_before(record)
        probability = forecasts.probability_worse(best)
        probability[order[: plan.n_full]] = np.nan
        asked = np.isfinite(probability)
        worse = np.broadcast_to((record.final <= best)[:, None], asked.shape)
        said.append(probability[asked])
        was.append(worse[asked])
    probabilities, worse = np.concatenate(said), np.concatenate(was)
    edges = np.linspace(0, 1, n_bins + 1)
    position = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, n_bins - 1)
    rows = [
        {
            "dataset": curves.name,
            "predictor": model,
            "low": edges[b],
            "high": edges[b + 1],
            "probability": probabilities[position == b].mean(),
            "worse": worse[position == b].mean(),
            "looks": int((position == b).sum()),
        }
        for b in range(n_bins)
        if (position == b).any()
    ]
    return pd.DataFrame(rows)
