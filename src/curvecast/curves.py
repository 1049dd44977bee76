"""The one data type that all stages speak: a set of recorded learning curves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.files import DataError, read_parquet, write_parquet

DIRECTIONS = ("maximize", "minimize")
# Names of metrics that are shares; "accumulated" and "previous" hold two of them.
_SHARE = re.compile(
    r"accuracy|(?<![a-z])accs?(?![a-z])|auc|auroc|precision|recall|jaccard"
    r"|(?<![a-z])(f1|m?iou|dice|top|m?ap)\d*(?![a-z])",
    re.I,
)
_SERIES = "series"
_FACTS = ("metric", "direction", "name", "source", "log_columns")
_SETTINGS = ("hp_", "ap_", "info_", "end_")


def collection_of(name: str) -> str:
    """The collection that the data set `name` belongs to: what stands before its slash."""
    return name.split("/")[0]


@dataclass(frozen=True, eq=False)
class CurveSet:
    """Learning curves of many runs of one task.

    Attributes
    ----------
    configs : DataFrame, one row per run with the columns `id` (str, unique), `group` (int, equal
        for repeated configurations), `hp_*` (training hyper-parameters), `ap_*` (architecture
        parameters), `info_*` (further facts that are known before the run, of no feature block)
        and `end_*` (facts that are known after it, which no predictor reads); text columns have a
        categorical dtype.
    values : float64 array of shape (n_configs, n_epochs), in the unit of `metric`; NaN means
        not observed, inf a run that overflowed.
    epochs : int array of shape (n_epochs,), strictly increasing numbers of *trained* epochs; a
        value at epoch 0 is of the untrained network.
    metric : what `values` measure, for instance "validation accuracy".
    direction : "maximize" or "minimize".
    name : the data set, for instance "lcbench/Fashion-MNIST".
    source : citation or path that the curves come from.
    log_columns : `hp_*`/`ap_*` columns that were drawn on a log scale; features take their log.
    series : further series by name, each of the shape of `values` (training loss, gradient
        norms, ...). The series `seconds` is the cumulative time since the start of the run.
    notes : remarks on what a reader did (duplicates dropped, ...), shown in the report.
    """

    configs: pd.DataFrame
    values: np.ndarray
    epochs: np.ndarray
    metric: str
    direction: str
    name: str
    source: str = ""
    log_columns: tuple[str, ...] = ()
    series: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        epochs = np.asarray(self.epochs, dtype=np.int64)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "epochs", epochs)
        object.__setattr__(self, "configs", self.configs.reset_index(drop=True))
        object.__setattr__(self, "log_columns", tuple(self.log_columns))
        object.__setattr__(self, "notes", tuple(self.notes))
        self._check()

    def _check(self) -> None:
        def refuse(problem: str, **where: Any) -> None:
            raise DataError(problem, file=self.name, **where)

        shape = (len(self.configs), len(self.epochs))
        if self.direction not in DIRECTIONS:
            refuse(f"direction is {self.direction!r}, not one of {DIRECTIONS}")
        if self.values.shape != shape:
            refuse(f"values have shape {self.values.shape}, configs and epochs imply {shape}")
        if not len(self.epochs) or np.any(np.diff(self.epochs) <= 0) or self.epochs[0] < 0:
            refuse("epochs are not increasing numbers from 0")
        for column in ("id", "group"):
            if column not in self.configs:
                refuse("missing column in configs", column=column)
        for row in np.flatnonzero(self.configs["id"].duplicated())[:1]:
            refuse(f"duplicate id {self.configs['id'][row]!r}", row=int(row), column="id")
        for column in self.configs.columns:
            if column not in ("id", "group") and not column.startswith(_SETTINGS):
                refuse("configs columns are id, group, hp_*, ap_*, info_*, end_*", column=column)
        for column in self.log_columns:
            if column not in self.configs:
                refuse("log column is not in configs", column=column)
        for name, array in self.series.items():
            if np.shape(array) != shape:
                refuse(f"series has shape {np.shape(array)}, not {shape}", column=name)

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def last_epoch(self) -> int:
        """E, the last trained epoch."""
        return int(self.epochs[-1])

    @property
    def final(self) -> np.ndarray:
        """Value after the last epoch, shape (n_configs,); not finite for a diverged run."""
        return self.values[:, -1]

    @property
    def groups(self) -> np.ndarray:
        """Integer per run, equal for repeated configurations; shape (n_configs,)."""
        return self.configs["group"].to_numpy(dtype=np.int64)

    @property
    def sign(self) -> float:
        """+1 where larger is better, -1 where smaller is better."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def limits(self) -> tuple[float, float]:
        """Between which values the metric lies: of a share 0 and 1, or 0 and 100; of others inf.

        A share has the name of one (accuracy, precision, ...), is better when larger, and has
        values that fit. Where all are under a half, they may also be per cent: no limits then.
        """
        known = self.values[np.isfinite(self.values)]
        named = self.direction == "maximize" and _SHARE.search(self.metric)
        if named and known.min(initial=0.0) >= 0:
            for low, high in ((0.5, 1.0), (1.0, 100.0)):
                if low < known.max(initial=0.0) <= high:
                    return 0.0, high
        return -np.inf, np.inf

    def seen(self, tau: int) -> np.ndarray:
        """Boolean mask over epochs that a predictor may see at `tau`; shape (n_epochs,)."""
        return self.epochs <= tau

    def take(self, rows: np.ndarray | Sequence[int]) -> CurveSet:
        """The runs at the integer positions (or under the boolean mask) `rows`, in that order."""
        rows = np.asarray(rows, dtype=None if len(rows) else np.int64)
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        return self._changed(lambda array: array[rows], configs=self.configs.iloc[positions])

    def hide_after(self, tau: int) -> CurveSet:
        """A copy in which everything after epoch `tau` is NaN, further series included."""
        seen = self.seen(tau)
        return self._changed(lambda array: np.where(seen, array, np.nan))

    def until(self, epoch: int) -> CurveSet:
        """The same runs as if `epoch` were their last one, further series included."""
        seen = self.seen(epoch)
        return self._changed(lambda array: array[:, seen], epochs=self.epochs[seen])

    def _changed(self, change: Callable[[np.ndarray], np.ndarray], **others: Any) -> CurveSet:
        """A copy with `change` applied to the values and to every series."""
        series = {name: change(array) for name, array in self.series.items()}
        return replace(self, values=change(self.values), series=series, **others)

    def negated(self) -> CurveSet:
        """The same curves with the sign of the metric and the direction turned round."""
        direction = "minimize" if self.direction == "maximize" else "maximize"
        return replace(self, values=-self.values, direction=direction)

    def to_parquet(self, path: str | Path) -> None:
        """Write one Parquet file: configs, `y_{epoch}` and `series:{name}:{epoch}` columns."""
        table: dict[Any, Any] = {column: self.configs[column] for column in self.configs}
        table |= {f"y_{e}": self.values[:, i] for i, e in enumerate(self.epochs)}
        for name, array in self.series.items():
            table |= {f"{_SERIES}:{name}:{e}": array[:, i] for i, e in enumerate(self.epochs)}
        meta = {key: getattr(self, key) for key in _FACTS}
        meta |= {"series": list(self.series), "epochs": self.epochs.tolist(), "notes": self.notes}
        write_parquet(pd.DataFrame(table), path, meta)

    @classmethod
    def from_parquet(cls, path: str | Path) -> CurveSet:
        """Read what `to_parquet` wrote. Raises DataError for any other or a damaged file."""
        # Files that other people share may be of an earlier version, without a digest.
        frame, meta = read_parquet(path, own=False)
        if "epochs" not in meta:
            raise DataError("not a curve file (its metadata has no epochs)", file=path)
        epochs = np.array(meta.pop("epochs"), dtype=np.int64)
        names = meta.pop("series")

        def matrix(prefix: str) -> np.ndarray:
            return frame[[f"{prefix}{e}" for e in epochs]].to_numpy(dtype=np.float64)

        configs = frame[
            [c for c in frame.columns if c in ("id", "group") or c.startswith(_SETTINGS)]
        ].copy()
        return cls(
            configs=configs,
            values=matrix("y_"),
            epochs=epochs,
            series={name: matrix(f"{_SERIES}:{name}:") for name in names},
            **meta,
        )


def group_equal_rows(frame: pd.DataFrame) -> np.ndarray:
    """Number the distinct rows of `frame` in order of appearance; int array of shape (n_rows,)."""
    if not len(frame.columns):
        return np.arange(len(frame))
    return (
        frame.groupby(list(frame.columns), sort=False, dropna=False, observed=True)
        .ngroup()
        .to_numpy()
    )


def concat(sets: Iterable[CurveSet]) -> CurveSet:
    """Runs of several sets with the same epochs, one after the other; ids must stay unique."""
    sets = list(sets)
    first = sets[0]
    for other in sets[1:]:
        if not np.array_equal(other.epochs, first.epochs):
            raise DataError("sets have different epochs", file=other.name)
    return replace(
        first,
        configs=pd.concat([s.configs for s in sets], ignore_index=True),
        values=np.concatenate([s.values for s in sets]),
        series={n: np.concatenate([s.series[n] for s in sets]) for n in first.series},
    )
