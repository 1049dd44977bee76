"""Saves fitted predictors, and asks them about runs under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.data.cells import counted, numbers, read_table, setting
from curvecast.data.columns import epoch_columns
from curvecast.files import DataError
from curvecast.predictors import make_predictor, storage
from curvecast.predictors.base import Predictor
from curvecast.protocol import seed_from, tau_grid
from curvecast.stopping.accounting import Record
from curvecast.stopping.rule import Decision
from curvecast.stopping.rules.predicted import Predicted, probability_worse

_PARTS = ("model", "predictor", "finals", "curve_columns", "first_epoch")
_FACTS = ("epochs", "metric", "direction", "name", "source")
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Saved:
    """A fitted predictor with what is needed to show it further runs.

    Attributes
    ----------
    model : its name.
    predictor : fitted at `taus`.
    like : a CurveSet without runs: the columns, categories, epochs and direction that runs need.
    taus : epochs at which it can predict, increasing.
    finals : finite final values of the training runs, shape (n_runs,).
    curve_columns : pattern of the curve's columns in a table; "" where it is not known.
    first_epoch : trained epochs behind the first such column; None where the number in its name
        is that.
    """

    model: str
    predictor: Predictor
    like: CurveSet
    taus: tuple[int, ...]
    finals: np.ndarray
    curve_columns: str = ""
    first_epoch: int | None = None

    @property
    def best(self) -> float:
        """The best final value of the training runs."""
        return float(self.like.sign * (self.like.sign * self.finals).max())

    def epoch_for(self, seen: int) -> int | None:
        """The last fitted epoch among the first `seen` trained ones; None where there is none."""
        return max((tau for tau in self.taus if tau <= seen), default=None)


def train(
    model: str,
    curves: CurveSet,
    fractions: Sequence[float] = FRACTIONS,
    *,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    curve_columns: str = "",
    first_epoch: int | None = None,
) -> Saved:
    """Fit a model on all complete runs of a collection.

    Parameters
    ----------
    fractions : of the curve, after which it can predict.
    seed : default: from the names of data set and model.

    Raises
    ------
    DataError : fewer than four complete runs, an unknown model or option.
    """
    complete = np.isfinite(curves.final)
    if complete.sum() < 4:
        raise DataError(
            f"{int(complete.sum())} runs have a final value, at least 4 are needed to fit on",
            file=curves.name,
        )
    taus = [tau for tau in tau_grid(curves.last_epoch, fractions) if tau >= curves.epochs[0]]
    seed = seed_from(curves.name, model) if seed is None else seed
    predictor = make_predictor(model, seed=seed, **(options or {})).fit(curves, taus)
    return Saved(
        model=model,
        predictor=predictor,
        like=curves.take([]),
        taus=tuple(taus),
        finals=curves.final[complete],
        curve_columns=curve_columns,
        first_epoch=first_epoch,
    )


def save(saved: Saved, path: str | Path) -> None:
    """Write a model; see `curvecast.predictors.storage` for the format."""
    like = saved.like
    content = {key: getattr(saved, key) for key in _PARTS} | {
        key: getattr(like, key) for key in _FACTS
    }
    content |= {
        "columns": {
            name: list(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else None
            for name, dtype in like.configs.dtypes.items()
        },
        "taus": list(saved.taus),
        "log_columns": list(like.log_columns),
        "series": list(like.series),
    }
    storage.write(path, content)


def load(path: str | Path) -> Saved:
    """Read a model. Raises DataError for a file that `save` did not write whole."""
    content = storage.read(path)
    try:
        empty = np.zeros((0, len(content["epochs"])))
        columns = {
            name: pd.Series([], dtype=float if known is None else pd.CategoricalDtype(known))
            for name, known in content["columns"].items()
        }
        like = CurveSet(
            configs=pd.DataFrame(columns),
            values=empty,
            log_columns=tuple(content["log_columns"]),
            series=dict.fromkeys(content["series"], empty),
            **{key: content[key] for key in _FACTS},
        )
        parts = {key: content[key] for key in _PARTS}
        return Saved(like=like, taus=tuple(content["taus"]), **parts)
    except KeyError as error:
        raise DataError(f"the file lacks {error}", file=path) from error


def load_predictor(path: str | Path) -> Predictor:
    """The fitted predictor of a saved model: the same predictions as before, bit for bit.

    Raises
    ------
    DataError : not a whole saved model, one of a later format, or one with types that are not
        trusted.
    """
    return load(path).predictor


@dataclass(frozen=True)
class Runs:
    """Runs under way, as a table shows them.

    Attributes
    ----------
    curves : with the columns and epochs of the model; NaN where nothing is recorded yet.
    seen : last epoch of each run with a cell that is not empty, -1 without any; shape (n_runs,).
    diverged : whether that cell holds something else than a finite number, shape (n_runs,).
    """

    curves: CurveSet
    seen: np.ndarray
    diverged: np.ndarray


def read_runs(path: str | Path, saved: Saved, curve_columns: str = "") -> Runs:
    """Read runs for a model from a table with one row per run.

    Settings have their names with or without `hp_` or `ap_`; further columns are passed over. An
    empty cell of a curve is an epoch that is not trained yet, `nan` and `inf` are a run that
    diverged.

    Raises
    ------
    DataError : names file, row and column: a missing column, text in a column of numbers, a
        category that the model was not trained with, an epoch after the model's last one.
    """
    path, like = Path(path), saved.like
    cells = read_table(path)
    pattern = curve_columns or saved.curve_columns
    if not pattern:
        raise DataError("which columns hold the curve? Name them, as acc_{epoch}", file=path)
    numbered = epoch_columns(list(cells.columns), pattern, path)
    first = next(iter(numbered))
    shift = 0 if saved.first_epoch is None else saved.first_epoch - first
    at = {number + shift: column for number, column in numbered.items()}
    for epoch, column in at.items():
        if epoch not in like.epochs:
            known = f"{like.epochs[0]} to {like.last_epoch}"
            problem = f"epoch {epoch} is none of those that the model knows ({known})"
            raise DataError(problem, file=path, column=column)
    positions = np.searchsorted(like.epochs, list(at))
    values = np.full((len(cells), len(like.epochs)), np.nan)
    values[:, positions] = numbers(cells, list(at.values()), path)
    written = np.zeros(values.shape, dtype=bool)
    written[:, positions] = _written(cells[list(at.values())])
    last = np.where(written, np.arange(values.shape[1]), -1).max(axis=1)
    curves = replace(
        like,
        configs=_settings(cells, like, path),
        values=values,
        series={name: np.full(values.shape, np.nan) for name in like.series},
        name=path.name,
        source=path.name,
    )
    return Runs(
        curves=curves,
        seen=np.where(last >= 0, like.epochs[last], -1),
        diverged=(last >= 0) & ~np.isfinite(values[np.arange(len(cells)), last]),
    )


def _written(block: pd.DataFrame) -> np.ndarray:
    """Whether a cell holds anything at all, shape of the block."""
    if all(pd.api.types.is_numeric_dtype(dtype) for dtype in block.dtypes):
        return block.notna().to_numpy()
    return np.array([[str(cell).strip() != "" for cell in row] for row in block.to_numpy()])


def _settings(cells: pd.DataFrame, like: CurveSet, path: Path) -> pd.DataFrame:
    """The columns of `like.configs` for the rows of a table."""
    ids = next((name for name in ("id", "run") if name in cells.columns), None)
    labels = cells.index if ids is None else cells[ids]
    settings: dict[str, Any] = {"id": [str(label) for label in labels], "group": range(len(cells))}
    for name in map(str, like.configs.columns):
        if not name.startswith(("hp_", "ap_")):
            continue
        dtype = like.configs[name].dtype
        column = next((c for c in (name[3:], name) if c in cells.columns), None)
        if column is None:
            raise DataError("the model needs this column", file=path, column=name[3:])
        categorical = isinstance(dtype, pd.CategoricalDtype)
        values = setting(cells[column], path, categorical=categorical)
        if isinstance(dtype, pd.CategoricalDtype):
            unknown = values.notna() & ~values.isin(dtype.categories)
            for row in values.index[unknown][:1]:
                known = ", ".join(map(str, dtype.categories))
                raise DataError(
                    f"{values[row]!r} is no value that the model was trained with ({known})",
                    file=path,
                    row=counted(row),
                    column=column,
                )
        settings[name] = pd.Series(list(values), dtype=dtype)
    return pd.DataFrame(settings)


def predictions(
    saved: Saved,
    runs: Runs,
    *,
    epoch: int | None = None,
    beat: float | None = None,
    level: float = 0.8,
) -> pd.DataFrame:
    """Predicted final values of runs under way.

    Parameters
    ----------
    epoch : see nothing after it; default: for each run the last fitted epoch that it has reached.
    beat : value to compare with; default: the best final value of the training runs.
    level : of the interval.

    Returns
    -------
    One row per run: `run, seen` (epochs trained), `epoch` (that the prediction is made at),
    `mean, low, high` (interval), `beats` (probability of ending better than `beat`) and `note`;
    numbers are NaN with a note where a run diverged or has not reached a fitted epoch.

    Raises
    ------
    DataError : `epoch` is none of the fitted ones.
    """
    if epoch is not None and epoch not in saved.taus:
        fitted = ", ".join(map(str, saved.taus))
        raise DataError(f"the model was not fitted for epoch {epoch}, only for {fitted}")
    beat = saved.best if beat is None else beat
    rows = pd.DataFrame({"run": runs.curves.configs["id"], "seen": np.maximum(runs.seen, 0)})
    if epoch is None:
        at = np.array([saved.epoch_for(int(seen)) or -1 for seen in runs.seen])
    else:
        at = np.where(runs.seen >= epoch, epoch, -1)
    rows["epoch"] = pd.Series(at, dtype="Int64").mask(at < 0)
    numeric = ["mean", "low", "high", "beats"]
    rows[numeric] = np.nan
    early = f"too early: the first epoch for a prediction is {epoch or saved.taus[0]}"
    rows["note"] = np.select([runs.diverged, at < 0], ["diverged", early], "")
    usable = (at > 0) & ~runs.diverged
    for tau in np.unique(at[usable]):
        here = np.flatnonzero(usable & (at == tau))
        predicted = saved.predictor.predict(runs.curves.take(here), int(tau))
        low, high = predicted.quantile([0.5 - level / 2, 0.5 + level / 2]).T
        beats = 1 - probability_worse(predicted, saved.like.sign, saved.like.sign * beat)
        rows.loc[here, numeric] = np.column_stack([predicted.mean, low, high, beats])
    return rows


def decisions(
    saved: Saved, runs: Runs, *, beat: float | None = None, delta: float = 0.9
) -> Decision:
    """Whether to end runs under way, by `Predicted` at the last fitted epoch reached.

    Its probability of ending worse is 1 - `beats` of `predictions`.

    Parameters
    ----------
    beat : final value that a run has to beat; default: the best one of the training runs.
    delta : share of the would-be winners that is to survive all decision epochs together.
    """
    n, last = len(saved.finals), saved.like.last_epoch
    rule = Predicted.of(saved.predictor, n, n, last, delta=delta)
    bar = saved.like.sign * (saved.best if beat is None else beat)
    at = np.array([saved.epoch_for(int(seen)) or -1 for seen in runs.seen])
    decision = Decision(
        stop=runs.diverged.copy(),
        probability=np.where(runs.diverged, 1.0, np.nan),
        reason=np.where(runs.diverged, "diverged", "").astype(object),
        level=np.full(len(at), np.nan),
    )
    for tau in np.unique(at[(at > 0) & ~runs.diverged]):
        rows = np.flatnonzero((at == tau) & ~runs.diverged)
        decided = rule.decide(Record(runs.curves.take(rows)), int(tau), bar)
        for name, values in vars(decided).items():
            getattr(decision, name)[rows] = values
    return decision
