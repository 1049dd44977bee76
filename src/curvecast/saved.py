"""Saves fitted predictors, and asks them about runs under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from curvecast.curves import CurveSet
from curvecast.data import logs
from curvecast.data.cells import counted, logged, read_table, setting
from curvecast.data.columns import epoch_columns, ids_of
from curvecast.files import DataError
from curvecast.predictors import make_predictor, storage
from curvecast.predictors.base import Predictor
from curvecast.predictors.domain import reached
from curvecast.protocol import seed_from, tau_grid
from curvecast.stopping.advice import MODEL, outlook
from curvecast.stopping.rules.predicted import Predicted

_PARTS = ("model", "predictor", "taus", "finals", "curve_columns", "first_epoch", "id")
_FACTS = ("values", "epochs", "metric", "direction", "name", "source", "log_columns")
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
# Loading asks a model about so many of its training runs, at so many epochs: it has to answer as
# it did when it was saved, to a share of the standard deviation that other machines' sums need.
_TRIED_RUNS, _TRIED_TAUS, _TOLERANCE = 2, 8, 1e-3
# So many runs are asked about at a time, for the memory that a large table needs.
_BLOCK = 10_000


@dataclass(frozen=True, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
class Saved:
    """A fitted predictor with what is needed to show it further runs.

    Attributes
    ----------
    model : its name.
    predictor : fitted at `taus`.
    like : up to two of the training runs: the columns, categories, epochs and direction that
        runs need, and what loading tries the predictor on.
    taus : epochs at which it can predict, increasing.
    finals : finite final values of the training runs, shape (n_runs,).
    curve_columns : pattern of the curve's columns in a table; "" where it is not known.
    first_epoch : trained epochs behind the first such column; None where the number in its name
        is that.
    id : column that names the runs; "" where it is not known.
    """

    model: str
    predictor: Predictor
    like: CurveSet
    taus: tuple[int, ...]
    finals: np.ndarray
    curve_columns: str = ""
    first_epoch: int | None = None
    id: str = ""

    def bar(self, runs: CurveSet) -> tuple[float, str]:
        """The value that runs have to beat, and what it is.

        It is the best final value of the training runs, or where there was none the best value
        that the runs have reached so far.
        """
        known = self.finals if len(self.finals) else runs.values[np.isfinite(runs.values)]
        if not len(known):
            return np.nan, "no value yet"
        best = float(self.like.sign * (self.like.sign * known).max())
        return best, "the best finished run" if len(self.finals) else "the best value so far"


def train(
    model: str,
    curves: CurveSet,
    fractions: Sequence[float] = FRACTIONS,
    *,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    curve_columns: str = "",
    first_epoch: int | None = None,
    id: str | None = None,
) -> Saved:
    """Fit a model on all complete runs of a collection.

    Parameters
    ----------
    fractions : of the curve, after which it can predict; a model that needs no training runs can
        after every epoch.
    seed : default: from the names of data set and model.

    Raises
    ------
    DataError : fewer than four complete runs for a model that needs any, no epoch before the last
        one, an unknown model or option.
    """
    complete = curves.take(np.isfinite(curves.final))
    seed = seed_from(curves.name, model) if seed is None else seed
    predictor = make_predictor(model, seed=seed, **(options or {}))
    if predictor.needs_training and len(complete) < 4:
        raise DataError(
            f"{len(complete)} runs have a final value, at least 4 are needed to fit on",
            file=curves.name,
        )
    grid = tau_grid(curves.epochs, fractions) if predictor.needs_taus else curves.epochs
    taus = [int(tau) for tau in grid if max(curves.epochs[0], 1) <= tau < curves.last_epoch]
    if not taus:
        problem = f"there is no epoch to predict at before the last one, {curves.last_epoch}"
        raise DataError(problem, file=curves.name)
    begun = np.all([reached(complete, tau) for tau in _tried(taus)], axis=0)
    return Saved(
        model=model,
        predictor=predictor.fit(complete, taus),
        like=complete.take(np.flatnonzero(begun)[:_TRIED_RUNS]),
        taus=tuple(taus),
        finals=complete.final,
        curve_columns=curve_columns,
        first_epoch=first_epoch,
        id=id or "",
    )


def save(saved: Saved, path: str | Path) -> None:
    """Write a model; see `curvecast.predictors.storage` for the format."""
    like = saved.like
    content = {key: getattr(saved, key) for key in _PARTS}
    content |= {key: getattr(like, key) for key in _FACTS}
    content |= {
        "settings": {name: _plain(column) for name, column in like.configs.items()},
        "series": dict(like.series),
        "answers": _answers(saved),
    }
    storage.write(path, content)


def _plain(column: pd.Series) -> tuple[list[Any], list[Any] | None]:
    """The cells of a column, and its categories if it has any."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.tolist(), column.cat.categories.tolist()
    return column.tolist(), None


def _tried(taus: Sequence[int]) -> Sequence[int]:
    return taus[:: -(-len(taus) // _TRIED_TAUS)]


def _answers(saved: Saved) -> np.ndarray:
    """Means and standard deviations of `like`, shape (n_tried, 2, n_runs)."""
    if not len(saved.like):
        return np.zeros((0, 2, 0))
    predicted = [saved.predictor.predict(saved.like, tau) for tau in _tried(saved.taus)]
    return np.array([[p.mean, p.std] for p in predicted])


def load(path: str | Path) -> Saved:
    """Read a model, and try it. Raises DataError for a file that `save` did not write whole."""
    content = storage.read(path)
    try:
        configs = {
            name: cells if known is None else pd.Categorical.from_codes(cells, known)
            for name, (cells, known) in content["settings"].items()
        }
        facts = {key: content[key] for key in _FACTS}
        like = CurveSet(configs=pd.DataFrame(configs), series=content["series"], **facts)
        saved = Saved(like=like, **{key: content[key] for key in _PARTS})
        answers, expected = _answers(saved), content["answers"]
        tolerance = _TOLERANCE * np.abs(np.nan_to_num(expected[:, 1:]))
        same = np.isclose(answers, expected, rtol=1e-6, atol=tolerance, equal_nan=True)
        if not (same.all() and np.isfinite(saved.finals).all() and saved.taus):
            raise DataError("the model answers otherwise than when it was saved")
    except storage.BROKEN as error:
        problem = f"not a complete saved model ({error or type(error).__name__})"
        raise DataError(problem, file=path) from error
    return saved


def load_predictor(path: str | Path) -> Predictor:
    """The fitted predictor of a saved model: the same predictions as before, bit for bit.

    Raises
    ------
    DataError : not a whole saved model, one of another format, or one with types that are not
        trusted.
    """
    return load(path).predictor


def read_runs(path: str | Path, saved: Saved, curve_columns: str = "") -> CurveSet:
    """Read runs for a model from a table with one row per run, or from the log of any tool where
    the columns of the curve are known neither to the model nor given.

    Settings of a table have their names with or without `hp_` or `ap_`; further columns are passed
    over. An empty cell of a curve (or NA, N/A, null, None) is an epoch that is not trained yet
    (NaN), `nan` and `inf` are a run that diverged (inf).

    Raises
    ------
    DataError : names file, row and column: a missing column, text in a column of numbers, an
        epoch after the model's last one, a log without the model's metric or settings.
    """
    path, like = Path(path), saved.like
    pattern = curve_columns or saved.curve_columns
    if not pattern:
        direction: Any = like.direction
        runs = logs.read(path, like.metric, direction, epochs=like.last_epoch)
        series = {name: np.full(runs.values.shape, np.nan) for name in like.series}
        cells = runs.configs.set_index("id").filter(regex="^hp_")
        configs = _settings(cells.rename(columns=lambda name: name[3:]), saved, path)
        return replace(runs, configs=configs, series=series, log_columns=like.log_columns)
    cells = read_table(path)
    numbered = epoch_columns(list(cells.columns), pattern, path)
    shift = 0 if saved.first_epoch is None else saved.first_epoch - next(iter(numbered))
    at = {number + shift: column for number, column in numbered.items()}
    for epoch, column in at.items():
        if epoch not in like.epochs:
            known = f"{like.epochs[0]} to {like.last_epoch}"
            problem = f"epoch {epoch} is none of those that the model knows ({known})"
            raise DataError(problem, file=path, column=column)
    values = np.full((len(cells), len(like.epochs)), np.nan)
    values[:, np.searchsorted(like.epochs, list(at))] = logged(cells, list(at.values()), path)
    return replace(
        like,
        configs=_settings(cells, saved, path),
        values=values,
        series={name: np.full(values.shape, np.nan) for name in like.series},
        name=path.name,
        source=path.name,
    )


def _settings(cells: pd.DataFrame, saved: Saved, path: Path) -> pd.DataFrame:
    """The columns of `saved.like.configs` for the rows of a table; new categories stay."""
    ids = next((name for name in (saved.id, "id", "run") if name in cells.columns), None)
    settings: dict[str, Any] = {"id": ids_of(cells, ids, path), "group": range(len(cells))}
    for name, known in saved.like.configs.items():
        if not str(name).startswith(("hp_", "ap_")):
            continue
        columns = [c for c in (str(name)[3:], name) if c in cells.columns]
        if not columns:
            raise DataError("the model needs this column", file=path, column=str(name)[3:])
        column = str(columns[0])
        if len(columns) > 1:
            raise DataError(f"both this column and {column} are {name}", file=path, column=name)
        categorical = isinstance(known.dtype, pd.CategoricalDtype)
        values = setting(cells[column], path, categorical=categorical)
        if not categorical and isinstance(values.dtype, pd.CategoricalDtype):
            row = values.first_valid_index()
            problem = f"{values[row]!r} is text in a column of numbers"
            raise DataError(problem, file=path, row=counted(row), column=column)
        if isinstance(known.dtype, pd.CategoricalDtype):
            new = values.cat.categories.difference(known.cat.categories)
            values = values.cat.set_categories([*known.cat.categories, *new])
        settings[str(name)] = values.reset_index(drop=True)
    return pd.DataFrame(settings)


def without_training(
    path: str | Path,
    metric: str | None = None,
    direction: Any = None,
    epochs: int | None = None,
    model: str = MODEL,
) -> tuple[Saved, CurveSet]:
    """A model that needs no training runs, and the runs of a log to ask it about.

    Its context are the finished runs of the same log, none at first.

    Parameters
    ----------
    path : log of any tool, or a table, as `curvecast.data.logs.read_log` reads it.
    metric, direction, epochs : as in `curvecast.data.logs.curves_of`.
    model : "pfn", or "pfn:FILE" with weights that `curvecast adapt` wrote.

    Raises
    ------
    DataError : as these raise it.
    """
    runs = logs.read(path, metric, direction, epochs=epochs)
    return train(model, runs), runs


def predictions(
    saved: Saved,
    runs: CurveSet,
    *,
    epoch: int | None = None,
    beat: float | None = None,
    level: float = 0.8,
) -> pd.DataFrame:
    """Predicted final values of runs under way.

    Parameters
    ----------
    runs : with the columns and epochs of the model; NaN where nothing is recorded yet, inf where
        a run diverged.
    epoch : see nothing after it; default: for each run the last fitted epoch that it has reached.
    beat : value to compare with; default: `Saved.bar`.
    level : of the interval.

    Returns
    -------
    One row per run: `run, seen` (epochs trained), `epoch` (that the prediction is made at),
    `mean, low, high` (interval), `beats` (probability of ending better than `beat`) and `note`,
    what is unusual about a run (`Predictor.notes`); numbers are NaN with a note where a run
    diverged or has not reached a fitted epoch. A finished run has its final value, unless it is
    asked about at an `epoch`.

    Raises
    ------
    DataError : `epoch` is none of the fitted ones.
    """
    rows, ends = _outlook(saved, runs, beat, levels=[0.5 - level / 2, 0.5 + level / 2], epoch=epoch)
    rows[["mean", "low", "high"]] = np.column_stack([rows["mean"], ends]).clip(*runs.limits)
    rows["beats"] = (1 - rows["worse"]).mask(rows["note"] == "diverged")
    return rows[["run", "seen", "epoch", "mean", "low", "high", "beats", "note"]]


def decisions(
    saved: Saved, runs: CurveSet, *, beat: float | None = None, delta: float = 0.9
) -> pd.DataFrame:
    """Whether to end runs under way: those that diverged, and others by the rule `Predicted`.

    Parameters
    ----------
    beat : final value that a run has to beat; default: `Saved.bar`.
    delta : share of the would-be winners that is to survive all decision epochs together.

    Returns
    -------
    One row per run: `run, decision` ("stop" or "go on"), `worse` (1 - `beats` of `predictions`),
    `stops_at` (the `worse` from which on the run ends; NaN where it is too early) and `reason`.
    """
    rows = _outlook(saved, runs, beat, delta)[0].rename(columns={"level": "stops_at"})
    rows["decision"] = np.where(rows["stop"], "stop", "go on")
    rows["worse"] = rows["worse"].mask(rows["note"] == "finished")
    return rows[["run", "decision", "worse", "stops_at", "reason"]]


def _outlook(
    saved: Saved, runs: CurveSet, beat: float | None, delta: float = 0.9, **more: Any
) -> tuple[pd.DataFrame, np.ndarray]:
    epoch, n_finished = more.get("epoch"), len(saved.finals)
    if epoch is not None and epoch not in saved.taus:
        fitted = ", ".join(map(str, saved.taus))
        raise DataError(f"the model was not fitted for epoch {epoch}, only for {fitted}")
    numbers = n_finished, n_finished or len(runs), runs.last_epoch
    rule = Predicted.of(saved.predictor, *numbers, delta=delta)
    beat = saved.bar(runs)[0] if beat is None else beat
    blocks = np.array_split(np.arange(len(runs)), max(1, -(-len(runs) // _BLOCK)))
    parts = [
        outlook(rule, saved.predictor, saved.taus, runs.take(block), beat, **more)
        for block in blocks
    ]
    rows, ends = zip(*parts, strict=True)
    return pd.concat(rows, ignore_index=True), np.concatenate(ends)
