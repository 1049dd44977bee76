"""Runs of one task as they report, and what `advise` says of one: all integrations share this."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import DIRECTIONS, CurveSet, DataError
from curvecast.data.cells import flat
from curvecast.fidelity import nearest
from curvecast.files import read_csv, write_csv
from curvecast.stopping.accounting import Record
from curvecast.stopping.advice import FEW, LEFT, MODEL, PROMISE, finished, fitted
from curvecast.stopping.rules.predicted import Forecasts, Predicted

_LOGGER = logging.getLogger("curvecast")
# A run that reports more often is asked about with so many of its values.
_MOST = 200
# A setting is drawn on a log scale where its values span more than this factor.
_LOG = 30.0


@dataclass(frozen=True)
class Advice:
    """What is predicted of a run that is under way.

    Attributes
    ----------
    run, epoch, value : the run, its last epoch (or step) and its value there.
    predicted, low, high : the value at the last planned epoch, and its 80 % interval.
    worse : P(ends worse than the best finished run, or while few are, than what the best one
        under way reaches with nine tenths: see `stopping.advice.advise`); NaN without another run.
    stop : whether to end it. reason : "predicted worse" (than a run under way: with its name),
        "diverged" or "".
    """

    run: str
    epoch: int
    value: float
    predicted: float
    low: float
    high: float
    worse: float
    stop: bool
    reason: str

    def __str__(self) -> str:
        """One line for a log."""
        if self.reason == "diverged":
            return f"curvecast: diverged at {self.epoch}, stop"
        text = f"curvecast: {self.value:.4g} at {self.epoch}, ends at {self.predicted:.4g} "
        text += f"[{self.low:.4g}, {self.high:.4g}]"
        if np.isfinite(self.worse):
            text += f", worse than the best with {100 * self.worse:.1f} %"
        return text + (", stop" if self.stop else "")

    def scalars(self) -> dict[str, float]:
        """The numbers to log: the finite ones of predicted, low, high and worse."""
        numbers = {name: getattr(self, name) for name in ("predicted", "low", "high", "worse")}
        return {name: number for name, number in numbers.items() if np.isfinite(number)}


def values_at(epochs: np.ndarray, reported: Mapping[int, float]) -> np.ndarray:
    """Reported values by epoch at other epochs, shape (n,): on a line between two reports.

    NaN before the first and after the last report.
    """
    steps = sorted(reported)
    return np.interp(epochs, steps, [reported[s] for s in steps], left=np.nan, right=np.nan)


class Runs:
    """Runs of one task that report values of a metric.

    Parameters
    ----------
    direction : "maximize" or "minimize".
    last_epoch : the planned last epoch (or step) of a run; `report` accepts any up to there.
    earlier : runs of the same task with epochs in the same unit, as `curvecast.read` gives them;
        those with a value at `last_epoch` are finished.
    promise : share of the runs that would become the best that is to survive.

    Raises
    ------
    DataError : the direction or the promise is none, or the earlier runs have the other direction.
    """

    def __init__(
        self,
        direction: str,
        last_epoch: int,
        earlier: CurveSet | None = None,
        promise: float = PROMISE,
    ) -> None:
        if direction not in DIRECTIONS:
            raise DataError(f"direction is {direction!r}, not one of {DIRECTIONS}")
        check_promise(promise)
        self.direction, self.last_epoch, self.promise = direction, last_epoch, promise
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._values: dict[str, dict[int, float]] = {}
        self._running: set[str] = set()
        self._latest: dict[str, Advice] = {}  # of the runs under way
        self.history: list[Advice] = []
        if earlier is not None:
            self._take(earlier)

    def _take(self, earlier: CurveSet) -> None:
        if earlier.direction != self.direction:
            raise DataError(
                f"the earlier runs {earlier.direction}, this one has to {self.direction}",
                file=earlier.name,
            )
        settings = earlier.configs.filter(regex="^(hp|ap)_").rename(columns=lambda c: c[3:])
        for run, config, row in zip(
            earlier.configs["id"].astype(str),
            settings.astype(object).where(settings.notna(), None).to_dict("records"),
            earlier.values,
            strict=True,
        ):
            seen = np.isfinite(row)
            self._settings[f"earlier {run}"] = {str(name): cell for name, cell in config.items()}
            self._values[f"earlier {run}"] = dict(
                zip(earlier.epochs[seen].tolist(), row[seen].tolist(), strict=True)
            )

    def start(self, run: str, config: Mapping[str, Any] | None = None) -> None:
        """A run begins, or begins anew; settings may be nested."""
        self._settings[run], self._values[run] = flat(config or {}), {}
        self._latest.pop(run, None)

    def report(self, run: str, epoch: int, value: float) -> None:
        """A value of a run that has begun, and is under way; epochs are trained ones, or steps."""
        self._values[run][int(epoch)] = float(value)
        self._running.add(run)

    def has_reported(self, run: str) -> bool:
        """Whether a run has begun and reported a value."""
        return bool(self._values.get(run))

    def end(self, run: str) -> None:
        """A run has ended: from now on it is one that others are compared with."""
        self._running.discard(run)
        self._latest.pop(run, None)

    def stops(self, run: str, epoch: int, value: float, config: Mapping[str, Any]) -> bool:
        """Whether a scheduler ends a run that reports a value: at the last epoch, or on advice."""
        if run not in self._values:
            self.start(run, config)
        self.report(run, epoch, value)
        advice = self.advise(run)
        ends = advice is None or advice.stop
        if ends:
            self.end(run)
        return ends

    def advise(self, run: str) -> Advice | None:
        """Advice on a run that has reported; None at the last epoch, where nothing is open."""
        reported = self._values[run]
        epoch = max(reported, default=self.last_epoch)
        if epoch >= self.last_epoch:
            return None
        if not np.isfinite(value := reported[epoch]):
            end = low = high = float("nan")
            advice = Advice(run, epoch, value, end, low, high, 1.0, True, "diverged")
        else:
            advice = self._asked(run, epoch, value)
            self._latest[run] = advice
        self.history.append(advice)
        return advice

    def _asked(self, run: str, epoch: int, value: float) -> Advice:
        """What `advise` would say, without its table: that takes twice as long."""
        curves = self.curves(run)
        before, own = np.arange(len(curves) - 1), curves.take([len(curves) - 1])
        predictor = fitted(curves, before, [epoch], MODEL)
        prediction = predictor.predict(own, epoch)
        ask = Forecasts({epoch: [(np.array([0]), prediction)]}, curves.sign, 1).known
        known = curves.sign * curves.final[finished(curves)]
        numbers = len(known), len(before), self.last_epoch, self.promise
        rule = Predicted(ask, *numbers, calibrated=predictor.calibrated)
        decision = rule.decide(Record(own), epoch, float(known.max(initial=-np.inf)))
        reason = str(decision.reason[0])
        ahead = self._ahead(run, curves.sign)
        if not reason and len(known) < FEW and ahead and len(known) + len(ahead) >= LEFT:
            among = replace(rule, n_started=len(before) + len(ahead) + 1)
            first = max(ahead, key=ahead.__getitem__)
            other = among.decide(Record(own), epoch, ahead[first])
            if other.stop[0] or not len(known):
                decision, reason = other, f"{other.reason[0]} than {first}" * bool(other.stop[0])
        shown = [prediction.mean[0], *prediction.quantile([0.1, 0.9])[0]]
        end, low, high = np.clip(shown, *curves.limits).tolist()
        worse, stop = float(decision.probability[0]), bool(decision.stop[0])
        return Advice(run, epoch, value, end, low, high, worse, stop, reason)

    def _ahead(self, run: str, sign: float) -> dict[str, float]:
        """Gains that the other runs under way reach with nine tenths, when last asked, by name."""
        others = {name: advice for name, advice in self._latest.items() if name != run}
        return {name: min(sign * a.low, sign * a.high) for name, a in others.items()}

    def curves(self, run: str) -> CurveSet:
        """The ended runs and `run`, at the epochs that it has reported and at the last one."""
        reported = {e: v for e, v in self._values[run].items() if np.isfinite(v)}
        own = np.array(sorted(reported))
        if len(own) > _MOST:
            own = np.unique(nearest(own, np.linspace(own[0], own[-1], _MOST)))
        names = [name for name in self._values if name not in self._running and self._values[name]]
        names = [name for name in names if name != run] + [run]
        epochs = np.append(own, self.last_epoch)
        values = np.array([values_at(epochs, self._values[name]) for name in names])
        configs, log = _configs([self._settings[name] for name in names])
        configs["id"], configs["group"] = names, np.arange(len(names))
        configs["info_state"] = ["ended"] * (len(names) - 1) + ["running"]
        return CurveSet(
            configs=configs,
            values=values,
            epochs=epochs,
            metric="value",
            direction=self.direction,
            name="runs under way",
            log_columns=log,
        )

    def write(self, path: str | Path) -> None:
        """Write the advice so far as CSV, a row per time that it was asked for."""
        write_csv(pd.DataFrame([asdict(advice) for advice in self.history]), path)


class Watch:
    """The part of a callback: one run under way, what is predicted of it, and where that is stored.

    Parameters
    ----------
    monitor, mode : the metric, and "min" or "max".
    earlier, promise : as of `Runs`.
    config : settings of this run, by the names that they have in `earlier`.
    stop : whether to end the run when it is predicted to end worse than the best earlier one.
        A run that diverges is ended in any case.
    path : CSV file with a row per validation, written again each time.
    writer : a TensorBoard `SummaryWriter`, which gets the prediction as a scalar with its bounds.

    Raises
    ------
    DataError : `mode` is neither, or `promise` is no share.
    """

    RUN = "this run"

    def __init__(
        self,
        monitor: str,
        mode: str,
        *,
        earlier: CurveSet | None = None,
        config: Mapping[str, Any] | None = None,
        promise: float = PROMISE,
        stop: bool = True,
        path: str | Path | None = None,
        writer: Any = None,
    ) -> None:
        check_promise(promise)
        self.monitor, self.direction = monitor, direction_of(mode)
        self.earlier, self.config, self.promise = earlier, config, promise
        self.stop, self.path, self.writer = stop, path, writer
        self.runs: Runs | None = None

    def begin(
        self,
        last_epoch: int,
        config: Mapping[str, Any] | None = None,
        history: Iterable[Advice] = (),
    ) -> None:
        """Training begins, or goes on after the validations in `history`.

        `config` are settings that the tool knows, where none were given.
        """
        self.runs = Runs(self.direction, last_epoch, self.earlier, self.promise)
        self.runs.start(self.RUN, self.config if self.config is not None else config)
        for advice in history:
            self.runs.report(self.RUN, advice.epoch, advice.value)
            self.runs.history.append(advice)
        if hasattr(self.writer, "add_custom_scalars_marginchart"):
            names = [f"curvecast/{name}" for name in ("predicted", "low", "high")]
            self.writer.add_custom_scalars_marginchart(names, "curvecast", "predicted end")

    def validated(self, epoch: int, metrics: Mapping[str, Any]) -> Advice | None:
        """A validation is over: what is predicted, None at the last epoch.

        Raises
        ------
        DataError : the monitored metric is not among the metrics.
        """
        assert self.runs is not None
        if self.monitor not in metrics:
            known = ", ".join(sorted(map(str, metrics)))
            raise DataError(f"the metric {self.monitor!r} is not logged; there are {known}")
        self.runs.report(self.RUN, epoch, float(metrics[self.monitor]))
        advice = self.runs.advise(self.RUN)
        if advice is None:
            return None
        if self.path is not None:
            self.runs.write(self.path)
        if self.writer is not None:
            for name, number in advice.scalars().items():
                self.writer.add_scalar(f"curvecast/{name}", number, epoch)
        ends = self.ends(advice)
        _LOGGER.log(logging.WARNING if ends else logging.INFO, "%s", advice)
        return advice

    def ends(self, advice: Advice | None) -> bool:
        """Whether to end the run now."""
        return advice is not None and advice.stop and (self.stop or advice.reason == "diverged")

    def end(self) -> None:
        """Training is over: warn where there was no validation, and so no prediction."""
        if self.runs is not None and not self.runs.has_reported(self.RUN):
            _LOGGER.warning("curvecast: %s was never validated, nothing is predicted", self.monitor)

    @property
    def history(self) -> list[Advice]:
        """What was predicted at each validation."""
        return self.runs.history if self.runs is not None else []

    def stored(self, epoch: int) -> list[Advice]:
        """What the file at `path` tells of this run up to an epoch; nothing without a file.

        Raises
        ------
        DataError : the file has other columns.
        """
        if self.path is None or not Path(self.path).is_file():
            return []
        table = read_csv(self.path, own=False)
        if list(table) != [field.name for field in fields(Advice)]:
            raise DataError("not a file that this callback wrote", file=self.path)
        rows = table[table["epoch"] <= epoch].astype({"reason": object}).fillna({"reason": ""})
        return [Advice(*row) for row in rows.itertuples(index=False, name=None)]


def check_promise(promise: float) -> None:
    """Raise DataError where it is no share."""
    if not 0 < promise <= 1:
        raise DataError(f"promise is {promise}, not above 0 and at most 1")


def direction_of(mode: str) -> str:
    """The direction that tools call min or max. Raises DataError for anything else."""
    if mode not in ("min", "max"):
        raise DataError(f"mode is {mode!r}, not min or max")
    return f"{mode}imize"


def _configs(settings: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Columns `hp_*` of what the runs were set to, and those that span orders of magnitude.

    What is no number in one run is a category in all; what is neither, or equal in all runs that
    have it, is left out.
    """
    columns: dict[str, Any] = {}
    log = []
    for name in dict.fromkeys(name for config in settings for name in config):
        given = (config.get(name) for config in settings)
        cells = [cell.item() if isinstance(cell, np.generic) else cell for cell in given]
        known = [cell for cell in cells if cell is not None]
        plain = all(isinstance(cell, str | int | float) for cell in known)
        if not plain or len(set(known)) < 2:
            continue
        if all(isinstance(cell, int | float) for cell in known):
            numbers = np.array([np.nan if cell is None else float(cell) for cell in cells])
            columns[f"hp_{name}"] = numbers
            low, high = np.nanmin(numbers), np.nanmax(numbers)
            if low > 0 and high > _LOG * low:
                log.append(f"hp_{name}")
        else:
            texts = [None if cell is None else str(cell) for cell in cells]
            columns[f"hp_{name}"] = pd.Categorical(texts)
    return pd.DataFrame(columns, index=range(len(settings))), tuple(log)
