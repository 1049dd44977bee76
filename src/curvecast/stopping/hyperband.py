"""Hyperband and f-Hyperband replayed on recorded curves.

Hyperband (Li et al. 2018) runs successive halving in brackets that trade the number of
configurations against their epochs. f-Hyperband (Baker et al. 2018, section 4.2) stops a run
inside a rung when a predictor of the value *at the end of that rung* says that it will not be
among the k best there; the prediction then stands for the value. Rungs resume: a run that is
promoted pays only for the epochs that it has not been trained for. Values are gains (larger is
better), see `accounting`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import Rung, brackets
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record
from curvecast.stopping.frames import TIMING_COLUMNS, Frames, cell_of
from curvecast.stopping.rule import stops
from curvecast.stopping.rung_forecasts import RungForecaster

N_START = 100
DEFAULT_PREDICTOR = "gain_gp"


@dataclass(frozen=True)
class HyperbandSetting:
    """Options of f-Hyperband.

    Attributes
    ----------
    delta : stop when P(value at the rung's end is below the k-th best) reaches it; 1 never stops.
    kappa : k = max(1, kappa * number of runs that are promoted); 0 stands for k = 1.
    offset : the k-th best is lowered by it, in the unit of the curve.
    n_start : a rung has forecasts once so many runs have reached its end, by a predictor that
        learns from them; 0 with `pfn`, which needs none: from the first bracket on.
    again : train a rung's predictor again whenever its runs have doubled, instead of using the
        one of the first `n_start` runs throughout.
    promising_first : give every run of a rung the epochs up to its first decision epoch, then
        train them to the rung's end in the order of their forecasts there, so that the k best are
        known early.
    """

    delta: float = 0.95
    kappa: float = 1.0
    offset: float = 0.0
    n_start: int = N_START
    again: bool = False
    promising_first: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.delta <= 1 and 0 <= self.kappa <= 1) or min(self.offset, self.n_start) < 0:
            raise DataError(f"an option is out of range in {self}")

    @property
    def name(self) -> str:
        """What differs from the defaults, without Delta."""
        top = f"kappa={self.kappa:g}" if self.kappa else "top1"
        offset = f" offset={self.offset:g}" if self.offset else ""
        offset += f" from {self.n_start}" * (self.n_start != N_START)
        flags = [" again"] * self.again + [" promising first"] * self.promising_first
        return f"{top}{offset}{''.join(flags)}"


DEFAULT_HYPERBAND = HyperbandSetting(delta=0.95, kappa=0.25, promising_first=True)


def search_hyperband(
    curves: CurveSet,
    model: str,
    options: Mapping[str, Any] | None = None,
    *,
    eta: int = 3,
    budget: int | None = None,
    hyperbands: int = 40,
    settled: int = 10,
    repeats: int = 10,
    deltas: Sequence[float] = (0.95,),
    settings: Sequence[Mapping[str, Any]] = (),
) -> Frames:
    """f-Hyperband with one predictor against vanilla Hyperband on the same draws.

    `budget` is R (None: the largest that `fidelity.rung_ends` has for these epochs). The first
    `settled` of the consecutive `hyperbands` are left out in the second window, in which all rungs
    have predictors. `settings` are options of `HyperbandSetting`; the fixed one is replayed too.
    """
    plan = brackets(curves.epochs, eta, budget)
    unit = _unit_at(curves, budget := plan[0][-1].epochs)
    grid = [HyperbandSetting(**{**s, "delta": delta}) for s in settings for delta in deltas]
    rows, timings = [], []
    for repeat in range(repeats):
        args = (curves, repeat, plan, hyperbands)
        facts = {"repeat": repeat, "budget": budget, "direction": curves.direction}
        vanilla = replay_hyperband(*args)
        forecaster = RungForecaster(curves, model, eta, repeat, options)
        started = time.perf_counter()
        for setting in dict.fromkeys([*grid, DEFAULT_HYPERBAND]):
            runs = replay_hyperband(*args, setting, forecaster)
            cell = cell_of(curves, (model, setting.name, setting.delta))
            cell["default"] = model == DEFAULT_PREDICTOR and setting == DEFAULT_HYPERBAND
            for window, first in (("all", 0), ("settled", settled)):
                place = {"window": window, "first": first + 1, "last": hyperbands, **facts}
                rows.append(cell | place | _against(vanilla[first:], runs[first:], unit))
        seconds = forecaster.seconds, time.perf_counter() - started - forecaster.seconds
        timings.append((curves.name, model, "hyperband", repeat, forecaster.fits, *seconds))
    timing = pd.DataFrame(timings, columns=TIMING_COLUMNS)
    return {"outcomes": pd.DataFrame(rows), "timings": timing}


def _unit_at(curves: CurveSet, budget: int) -> float:
    """The distance from the median to the best gain at an epoch."""
    record = Record.of(curves)
    gain = record.gain[:, int(record.columns(np.array([budget]))[0])]
    gain = gain[np.isfinite(gain)]
    return float(gain.max() - np.median(gain))


def _against(
    vanilla: list[HyperbandRun], runs: list[HyperbandRun], unit: float
) -> dict[str, float]:
    """Epochs, speedups, and the loss: best vanilla value minus ours at R, positive is worse."""
    base, used = (sum(run.epochs for run in several) for several in (vanilla, runs))
    seconds = sum(run.seconds for run in runs)
    loss = max(run.best for run in vanilla) - max(run.best for run in runs)
    return {
        "epochs": used,
        "seconds": seconds,
        "speedup": base / used,
        "speedup_seconds": sum(run.seconds for run in vanilla) / seconds,
        "oracle_speedup": base / sum(run.oracle_epochs for run in runs),
        "loss": loss,
        "loss_relative": loss / unit if unit > 0 else float(np.sign(loss)),
    }


@dataclass(frozen=True)
class HyperbandRun:
    """One of the consecutive Hyperbands.

    Attributes
    ----------
    epochs : those that it used; `seconds` the same in seconds, NaN where the data has none.
    oracle_epochs : those that it would have used with an oracle (see `fewest_epochs`).
    best : best gain measured at R epochs, -inf for none.
    """

    epochs: int
    seconds: float
    oracle_epochs: int
    best: float


def fewest_epochs(rungs: list[Rung]) -> int:
    """Fewest epochs of a bracket that evaluates as many configurations in every rung.

    The promoted runs and the best of the last rung go on; every other run ends with the first
    recorded epoch after the budget that it was resumed from.
    """
    going_on = [*(rung.n for rung in rungs[1:]), 1]
    return sum(
        n * (rung.epochs - rung.start) + (rung.n - n) * (rung.next - rung.start)
        for n, rung in zip(going_on, rungs, strict=True)
    )


def replay_hyperband(
    curves: CurveSet,
    repeat: int,
    plan: list[list[Rung]],
    n_hyperbands: int,
    setting: HyperbandSetting | None = None,
    forecaster: RungForecaster | None = None,
) -> list[HyperbandRun]:
    """Replay consecutive Hyperbands with the brackets `plan`; vanilla ones without a setting.

    The draws depend on (data set, repeat) alone, so settings are compared on the same ones.

    Raises
    ------
    DataError : one Hyperband needs more runs than there are.
    """
    record = Record.of(curves)
    needed = sum(rungs[0].n for rungs in plan)
    if needed > len(record):
        raise DataError(
            f"one Hyperband with R = {plan[0][-1].epochs} draws {needed} runs of {len(record)} "
            "(lower R)",
            file=curves.name,
        )
    ends = plan[0][0].epochs, plan[0][-1].epochs
    replay = _Hyperbands(record, setting or HyperbandSetting(delta=1.0), forecaster, ends)
    runs = []
    for index in range(n_hyperbands):
        rng = np.random.default_rng(seed_from(curves.name, "hyperband", repeat, index))
        runs.append(replay.run(plan, rng.permutation(len(record))[:needed]))
    return runs


@dataclass(frozen=True, eq=False)
class _Stage:
    """The forecasts of one rung as arrays: columns of the decision epochs, means and bounds."""

    n_train: int
    columns: np.ndarray
    mean: np.ndarray
    bound: np.ndarray


class _Hyperbands:
    """Consecutive Hyperbands; they share the runs that reached each budget, and the forecasts."""

    def __init__(
        self,
        record: Record,
        setting: HyperbandSetting,
        forecaster: RungForecaster | None,
        ends: tuple[int, int],
    ) -> None:
        self._record, self._setting, (self._lowest, self._budget) = record, setting, ends
        self._forecaster = forecaster if setting.delta < 1 else None
        self._reached: dict[int, list[int]] = {}
        self._stages: dict[int, _Stage] = {}

    def run(self, plan: list[list[Rung]], rows: np.ndarray) -> HyperbandRun:
        """One Hyperband on the drawn `rows`."""
        # Last columns of the runs; -1 when epoch 0, which costs nothing, was not recorded.
        trained = np.full(len(self._record), np.searchsorted(self._record.epochs, 1) - 1)
        epochs, seconds, best, start = 0, 0.0, -np.inf, 0
        for rungs in plan:
            drawn = rows[start : start + rungs[0].n]
            start += rungs[0].n
            best = max(best, self._bracket(rungs, drawn.tolist(), trained))
            epochs += int(self._record.epochs[trained[drawn]].sum())
            seconds += self._record.seconds_used(trained[drawn], drawn)
        return HyperbandRun(epochs, seconds, sum(map(fewest_epochs, plan)), best)

    def _bracket(self, rungs: list[Rung], alive: list[int], trained: np.ndarray) -> float:
        """Train the runs of a bracket; returns the best gain at R."""
        best = -np.inf
        for rung, promoted in zip(rungs, [*(rung.n for rung in rungs[1:]), 0], strict=True):
            k = max(1, math.floor(self._setting.kappa * promoted + 1e-9))
            scores, measured = self._rung(rung.epochs, alive, trained, k)
            if rung.epochs == self._budget:
                best = max([best, *measured])
            alive = sorted(alive, key=lambda run: -scores[run])[:promoted]
        return best

    def _rung(
        self, rung_end: int, alive: list[int], trained: np.ndarray, k: int
    ) -> tuple[dict[int, float], list[float]]:
        """Train the runs `alive` to the rung's end, or until they cannot be among the k best.

        Returns their gains there, predicted ones of stopped runs, and the measured ones alone.
        """
        record = self._record
        column = int(np.searchsorted(record.epochs, rung_end))
        stage = self._stage(rung_end)
        measured: list[float] = []
        scores: dict[int, float] = {}
        for run in self._in_turn(alive, trained, stage):
            if stage is not None and len(measured) >= k:
                bar = sorted(measured)[-k] - self._setting.offset
                below = stops(stage.bound[run], bar) & (stage.columns > trained[run])
                if below.any():
                    first = int(np.argmax(below))
                    trained[run] = stage.columns[first]
                    scores[run] = float(stage.mean[run, first])
                    continue
            trained[run] = min(column, record.end[run])
            reached = record.end[run] > column or record.complete[run]
            scores[run] = float(record.gain[run, column]) if reached else -np.inf
            measured.append(scores[run])
            if reached:
                self._reached.setdefault(rung_end, []).append(run)
        return scores, measured

    def _in_turn(self, alive: list[int], trained: np.ndarray, stage: _Stage | None) -> list[int]:
        """The runs of a rung in the order in which they are trained to its end."""
        if stage is None or not self._setting.promising_first:
            return alive

        def promise(run: int) -> float:
            later = np.flatnonzero(stage.columns > trained[run])
            if not len(later):
                return np.inf
            mean = float(stage.mean[run, later[0]])
            return -np.inf if np.isnan(mean) else mean  # it has diverged by then

        return sorted(alive, key=promise, reverse=True)

    def _stage(self, rung_end: int) -> _Stage | None:
        """The rung's forecasts once enough runs have reached its end."""
        reached, setting = self._reached.get(rung_end, []), self._setting
        if self._forecaster is None or rung_end == self._lowest or len(reached) < setting.n_start:
            return None
        stage = self._stages.get(rung_end)
        if stage is None or (setting.again and len(reached) >= max(1, 2 * stage.n_train)):
            n = len(reached) if setting.again else setting.n_start
            forecasts = self._forecaster(rung_end, np.unique(np.array(reached[:n], dtype=int)))
            at = self._forecaster.epochs_before(rung_end)
            mean, bound = forecasts.mean(at), forecasts.bound(at, setting.delta)
            stage = self._stages[rung_end] = _Stage(n, self._record.columns(at), mean, bound)
        return stage
