"""f-Hyperband with one predictor on one data set, against vanilla Hyperband on the same draws."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.fidelity import largest_budget
from curvecast.stopping.accounting import Record
from curvecast.stopping.hyperband import (
    HyperbandRun,
    HyperbandSetting,
    RungForecaster,
    replay_hyperband,
)
from curvecast.stopping.rows import KEYS, TIMING_COLUMNS
from curvecast.stopping.sequential import DELTAS

DEFAULT_PREDICTOR = "gain_gp"
DEFAULT_HYPERBAND = HyperbandSetting(delta=0.95, kappa=0.25, promising_first=True)
HYPERBAND_SETTINGS = (
    HyperbandSetting(kappa=1.0),
    HyperbandSetting(kappa=0.5),
    HyperbandSetting(kappa=0.1),
    HyperbandSetting(kappa=0.0),
    HyperbandSetting(kappa=0.0, offset=0.01),
)


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

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> HyperbandPlan:
        """From what the configuration says: see `stopping.plan.hyperband_of`."""
        listed = {"deltas": tuple(section["deltas"])}
        settings = tuple(HyperbandSetting(**options) for options in section["settings"])
        return cls(**{**section, **listed, "settings": settings})


def hyperband_study(
    curves: CurveSet,
    model: str,
    plan: HyperbandPlan | None = None,
    default: HyperbandSetting | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """f-Hyperband with one predictor against vanilla Hyperband on the same draws.

    Parameters
    ----------
    default : a setting that is replayed beside the grid of the plan.
    options : those of `make_predictor`.

    Returns
    -------
    Rows per (setting, Delta, repeat, window) with `speedup`, `speedup_seconds`,
    `oracle_speedup`, `loss` (best vanilla value minus ours at R epochs, in the unit of the
    metric, positive is worse), `loss_relative` (in units of the median-to-best distance at R),
    `budget` and `direction`; and what the predictor cost.
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
        forecaster = RungForecaster(curves, model, plan.eta, repeat, options)
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
                        "direction": curves.direction,
                        **_against(vanilla[first:], runs[first:], unit),
                    }
                )
        asked = time.perf_counter() - started - forecaster.seconds
        cost = (forecaster.fits, forecaster.seconds, asked)
        timings.append((curves.name, model, "hyperband", repeat, *cost))
    return pd.DataFrame(rows), pd.DataFrame(timings, columns=TIMING_COLUMNS)


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
