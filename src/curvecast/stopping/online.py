"""Online sequential search: few full runs first, and a predictor that learns as runs complete.

Nothing is known of a run but the epochs that the search itself trained. Forecasts learn from
finished and from stopped runs (`unfinished`), and how far they can be trusted comes from other
collections (`calibration`). A random share of all runs is always finished, whatever the rule
says; its cost counts. With `pfn`, which has seen other trainings, no full run has to be first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from itertools import product

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import online_epochs
from curvecast.predictors import make_predictor
from curvecast.predictors.gain_gp import static_features
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record, Replay, ordering
from curvecast.stopping.calibration import widths
from curvecast.stopping.frames import Frames, Rows
from curvecast.stopping.rule import stops
from curvecast.stopping.rules.predicted import Predicted
from curvecast.stopping.sequential import oracle_speedup
from curvecast.stopping.unfinished import UnfinishedProcesses

ONLINE = "online"
PREDICTOR = "gain_gp"
PRIOR = "pfn"
# About how many decision epochs there are.
N_EPOCHS = 20
# Share of the later runs that is finished whatever the rule says.
_ALWAYS = 0.05
# The predictor is fitted again whenever the number of started runs has grown by this factor.
_GROWTH = 2.0
# Weight of the earlier decision epochs in a run's forecast.
_MEMORY = 0.3


@dataclass(frozen=True)
class OnlineSetting:
    """The options of the online search; the defaults are the fixed setting of this project.

    Attributes
    ----------
    delta : share of the runs that would win that must survive all decision epochs together.
    n_full : runs trained to the end before the first fit; may be 0 with the model "pfn".
    model : "gain_gp", fitted on finished and stopped runs, or "pfn", with both as its context.
    """

    delta: float = 0.9
    n_full: int = 12
    model: str = PREDICTOR

    def __post_init__(self) -> None:
        if self.model not in (PREDICTOR, PRIOR):
            raise DataError(f"model {self.model!r} is not {PREDICTOR} or {PRIOR}")
        if not (0 < self.delta <= 1 and self.n_full >= 3 * (self.model == PREDICTOR)):
            raise DataError(f"delta or n_full is out of range in {self}")

    @property
    def name(self) -> str:
        return ONLINE if self.model == PREDICTOR else f"{ONLINE} from {self.n_full} full runs"


# Of runs that diverged or were not started: nothing is learnt from them.
_UNKNOWN = -1


def search_online(
    curves: CurveSet,
    deltas: Iterable[float] = (),
    orderings: int = 10,
    setting: OnlineSetting | None = None,
    *,
    prior: bool = False,
) -> Frames:
    """The online search with one setting, and with the same at further `deltas`.

    The setting (default: the fixed one) is drawn; with `prior` there is also one with `pfn` that
    has no full run first. Raises DataError as `replay_online` does.
    """
    setting = setting or OnlineSetting()
    settings = [setting, *([replace(setting, n_full=0, model=PRIOR)] if prior else [])]
    record, at = Record.of(curves), online_epochs(curves.epochs, N_EPOCHS)
    rows, timings = Rows(record), []
    for repeat in range(orderings):
        for one, delta in product(settings, sorted({setting.delta, *deltas})):
            chosen = replace(one, delta=delta)
            best_possible = oracle_speedup(record, ordering(curves, repeat), at, chosen.n_full)
            replay, cost = replay_online(curves, repeat, at, chosen)
            marks = {"shown": delta == setting.delta, "default": chosen == OnlineSetting()}
            rows.add((chosen.model, chosen.name, delta), repeat, replay, best_possible, **marks)
            timings.append((curves.name, chosen.model, ONLINE, repeat, *astuple(cost)))
    return rows.frames(timings)


def replay_online(
    curves: CurveSet, repeat: int, at: np.ndarray, setting: OnlineSetting
) -> tuple[Replay, Cost]:
    """Replay the online search in ordering `repeat`.

    Raises
    ------
    DataError : not more than `setting.n_full` runs, or fewer than two of these complete.
    """
    n, n_full = len(curves), setting.n_full
    if n <= n_full:
        raise DataError(f"{n} runs are too few for {n_full} full ones", file=curves.name)
    record, order = Record.of(curves), ordering(curves, repeat)
    rng = np.random.default_rng(seed_from(curves.name, "always", repeat))
    forced = np.zeros(n, dtype=bool)
    forced[order] = rng.random(n) < _ALWAYS
    forced[order[:n_full]] = False
    columns, ended = record.columns(at), record.end.copy()
    stopped = np.full(n, _UNKNOWN)
    stopped[order[:n_full]] = len(at)
    stopped[~record.complete] = _UNKNOWN
    best = float(np.where(stopped == len(at), record.final, -np.inf).max())
    bounds = (_Bounds if setting.model == PREDICTOR else _PriorBounds)(record, at, setting)
    for start, end in chunks(n, n_full, _GROWTH):
        rows = order[start:end]
        bounds.fit(stopped, start, seed_from(curves.name, "unfinished", repeat, start))
        scores = bounds.of(rows, best)
        lowest = np.fmin.reduce(scores, axis=1, initial=np.inf)
        for i, run in enumerate(rows.tolist()):
            if stops(lowest[i], best) and not forced[run]:
                stopped[run] = int(np.argmax(stops(scores[i], best)))
                ended[run] = min(int(ended[run]), int(columns[stopped[run]]))
            elif record.complete[run]:
                stopped[run] = len(at)
                best = max(best, float(record.final[run]))
    asked = ~forced
    asked[order[:n_full]] = False
    return Replay(order, ended, stopped == len(at), asked), bounds.cost


def chunks(n: int, n_full: int, growth: float) -> Iterator[tuple[int, int]]:
    """Half-open position ranges that one fit serves: n_full, n_full * growth, ..., n."""
    start = n_full
    while start < n:
        end = min(n, max(start + 1, int(start * growth)))
        yield start, end
        start = end


@dataclass
class Cost:
    """Number of fits of one replay, and the seconds of fitting and of asking the predictors."""

    fits: int = 0
    fit: float = 0.0
    predict: float = 0.0


class _Bounds:
    """The gains that runs stay below with the wanted confidence, by the newest fit."""

    def __init__(self, record: Record, at: np.ndarray, setting: OnlineSetting) -> None:
        self._record, self._at, self._setting = record, at, setting
        self._static = static_features(record.curves).to_numpy()
        self._model: UnfinishedProcesses | None = None
        self._smooth: np.ndarray | None = None
        self.cost = Cost()

    def fit(self, stopped: np.ndarray, n_started: int, seed: int) -> None:
        """Learn from the runs that ended: `stopped` is their position among the epochs."""
        if self._setting.delta >= 1:
            return
        started = time.perf_counter()
        self._learn(np.flatnonzero(stopped != _UNKNOWN), stopped, n_started, seed)
        self.cost.fit += time.perf_counter() - started
        self.cost.fits += 1

    def _learn(self, known: np.ndarray, stopped: np.ndarray, n_started: int, seed: int) -> None:
        self._model = UnfinishedProcesses(
            self._record.gain[known],
            self._record.epochs,
            self._static[known],
            self._at,
            stopped[known],
            np.random.default_rng(seed),
            self._model,
        )
        fractions = self._at / self._record.epochs[-1]
        n_finished = self._model.n_finished
        self._widths = widths(n_finished, n_started, fractions, self._setting.delta)

    def of(self, rows: np.ndarray, best: float) -> np.ndarray:
        """Bounds of `rows`, shape (n_rows, n_at).

        NaN after a decision epoch at which the run cannot beat the `best` gain of now.
        """
        if not self.cost.fits:
            return np.full((len(rows), len(self._at)), np.inf)
        started = time.perf_counter()
        record, self._smooth = self._record, None
        bounds = np.full((len(rows), len(self._at)), np.nan)
        going = np.ones(len(rows), dtype=bool)
        for i, tau in enumerate(self._at):
            going &= record.epochs[record.end[rows]] > tau
            if not going.any():
                break
            bounds[going, i] = self._bound(i, rows, going)
            # The best only rises: these are stopped here at the latest, whatever happens before.
            going &= ~stops(bounds[:, i], best)
        self.cost.predict += time.perf_counter() - started
        return bounds

    def _bound(self, i: int, rows: np.ndarray, going: np.ndarray) -> np.ndarray:
        """Bounds at one decision epoch of the `rows` that are `going` on."""
        assert self._model is not None
        asked = rows[going]
        moments = np.full((2, len(rows)), np.nan)
        moments[:, going] = self._model.predict(self._record.gain[asked], self._static[asked], i)
        # One noisy epoch stops no winner. The spreads are smoothed like the locations, as if
        # successive forecasts erred together.
        if self._smooth is not None:
            moments = _MEMORY * self._smooth + (1 - _MEMORY) * moments
        self._smooth = moments
        location, spread = moments[:, going]
        return self._model.warp.inverse(location + self._widths[i] * spread)


class _PriorBounds(_Bounds):
    """The same by the rule for runs under way with `pfn`, whose context are the ended runs."""

    def _learn(self, known: np.ndarray, stopped: np.ndarray, n_started: int, seed: int) -> None:
        curves, n_epochs = self._record.curves, len(self._record.epochs)
        last = np.append(self._record.columns(self._at), n_epochs - 1)[stopped[known]]
        seen = np.arange(n_epochs) <= last[:, None]
        context = curves.take(known)
        context = replace(context, values=np.where(seen, context.values, np.nan), series={})
        predictor = make_predictor(PRIOR, seed=seed).fit(context, self._at.tolist())
        numbers = int((last == n_epochs - 1).sum()), n_started, curves.last_epoch
        self._rule = Predicted.of(predictor, *numbers, delta=self._setting.delta)

    def _bound(self, i: int, rows: np.ndarray, going: np.ndarray) -> np.ndarray:
        runs = Record(self._record.curves.take(rows[going]))
        return self._rule.scores(runs, self._at[i : i + 1])[:, 0]
