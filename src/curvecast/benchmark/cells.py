"""Trains one model on one data set over all cells: what a prediction job of the workflow does.

A cell is one (feature blocks, number of training runs, repeat, tau), and a depth to cut at where
generalisation across depths is asked for. All cells of one split share it, curve predictors are
fitted once for all taus of a split, and tabular ones get the frames that `features.build` made.
Test runs without a value up to tau are in no cell of that tau.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast import protocol
from curvecast.curves import CurveSet
from curvecast.features import COMBINATIONS, present, select
from curvecast.files import DataError, read_parquet
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Prediction, Predictor, TabularPredictor
from curvecast.predictors.domain import reached
from curvecast.predictors.quantiles import LEVELS, SHAPES

ALL_BLOCKS = "TS+AP+HP"
# A run may end at a value that single precision does not hold; in a file it is the largest one.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Cell:
    """One fit with its test runs: of the random split `repeat`, at the truncation epoch `tau`.

    `reserve` is the size of the largest training set with the same test runs, `disjoint` the number
    of training sets that share no run (see `protocol.split`). A `depth` trains on networks below
    it and tests on the others. `features` are the blocks that a tabular model sees, "TS+AP+HP" all
    that the data set has.
    """

    repeat: int
    n_train: int
    reserve: int
    disjoint: int
    depth: int | None
    features: str
    tau: int

    def keys(self) -> dict[str, Any]:
        """The columns that name the cell in files."""
        names = (
            "features",
            "n_train",
            "repeat",
            "tau",
            *(["depth"] if self.depth is not None else []),
        )
        return {name: getattr(self, name) for name in names}


def cells_of(
    curves: CurveSet,
    *,
    n_train: Sequence[int],
    repeats: Iterable[int],
    fractions: Sequence[float],
    taus: Sequence[int] = (),
    features: Sequence[str] = (ALL_BLOCKS,),
    depths: Sequence[int] = (),
    reserve: int = 0,
    of: int | None = None,
) -> list[Cell]:
    """The cells of some `repeats`, out of `of` (default all), of an experiment on a data set.

    `reserve` is that of `protocol.split`. In a collection that is too small, sizes of more than
    half of the runs with a finite final value give way to that half, and repeats beyond the
    training sets that share no run are left out; the tables name what was used. Where networks are
    cut by depth, the depth says how many runs there are on either side, sizes and repeats stay.
    """
    repeats, disjoint = list(repeats), 0
    reserve = max([reserve, *n_train])
    if not depths:
        half = max(2, int(np.isfinite(curves.final).sum()) // 2)
        n_train, reserve = sorted({min(n, half) for n in n_train}), min(reserve, half)
        disjoint = protocol.disjoint_sets(curves, reserve, len(repeats) if of is None else of)
        repeats = [repeat for repeat in repeats if not disjoint or repeat < disjoint]
    grid = protocol.tau_grid(curves.epochs, fractions, taus)
    return [
        Cell(repeat, n, reserve, disjoint, depth, blocks, tau)
        for repeat, n, depth, blocks, tau in product(
            repeats, n_train, depths or (None,), features, grid
        )
    ]


def read_features(folder: str | Path, taus: Iterable[int]) -> dict[int, pd.DataFrame]:
    """The frames `tau={tau}.parquet` of a feature folder. Raises DataError where one is missing."""
    frames = {}
    for tau in taus:
        path = Path(folder, f"tau={tau}.parquet")
        if not path.is_file():
            raise DataError(f"no features at tau {tau}", file=path)
        frames[tau], _ = read_parquet(path)
    return frames


def run(
    model: str,
    options: Mapping[str, Any],
    curves: CurveSet,
    features: Mapping[int, pd.DataFrame],
    cells: Sequence[Cell],
    *,
    depth_column: str = "ap_depth",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit and predict every cell that the model can: without training runs few models can.

    `model`, `options` : as `make_predictor` takes them; seeds come from (data set, repeat, model).
    `features` : frames of all blocks by tau, shape (n_configs, n_features). `depth_column` :
    column of `curves.configs` that cells with a depth cut at.

    Returns
    -------
    predictions : a row per cell and test run that has reached tau (`domain.reached`), in the order
        of the cells: `features` (category),
        `n_train`, `repeat`, `tau`, `depth` (only where cells have one), `configuration` (row
        position in `curves`), then float32 `y_true, y_mean, y_std`, the quantiles `LEVELS` and
        `SHAPES`. Where the runs of a cell have few different (quantile - y_mean) / y_std, as for
        all Gaussian and conformal predictions, these numbers stand in `SHAPES` and the quantiles
        are null, which makes files small; else it is the other way round.
    timings : a row per cell with its keys, `seconds_fit`, `seconds_predict` (of processor time)
        and the diagnostics of the fitted model. A fit that serves several taus is charged to them
        in equal parts.

    Both are empty without cells. Raises DataError for an unknown model or option, too few runs, no
    cell that the model can do, or a single combination of blocks asked of a model without features.
    """
    predictions: list[pd.DataFrame] = []
    timings: list[dict[str, Any]] = []
    fewest = 1 if make_predictor(model, seed=0, **options).needs_training else 0
    able = [cell for cell in cells if cell.n_train >= fewest]
    for _, group in groupby(able, key=lambda c: (c.repeat, c.n_train, c.reserve, c.depth)):
        for cell, test, prediction, report in _of_split(
            model, options, curves, features, list(group), depth_column
        ):
            predictions.append(_rows(cell, prediction, curves, test))
            timings.append({**cell.keys(), **report})
    if cells and not predictions:
        raise DataError(
            f"{model}: no cell to train; the data set lacks the feature blocks or values so early, "
            "or the model needs training runs"
        )
    together = pd.concat(predictions, ignore_index=True) if predictions else pd.DataFrame()
    return together, pd.DataFrame(timings)


# A cell, the positions of its test runs, their predictions, and a row of timings.
Result = tuple[Cell, np.ndarray, Prediction, dict[str, Any]]


def _of_split(
    model: str,
    options: Mapping[str, Any],
    curves: CurveSet,
    features: Mapping[int, pd.DataFrame],
    cells: list[Cell],
    depth_column: str,
) -> Iterable[Result]:
    """The cells of one split."""
    first = cells[0]
    split = protocol.split(
        curves,
        first.n_train,
        first.repeat,
        reserve=first.reserve,
        disjoint=first.disjoint,
        **({} if first.depth is None else _pools(curves, depth_column, first.depth)),
    )
    seed = protocol.seed_from(curves.name, first.repeat, model)
    make = partial(make_predictor, model, seed=seed, **options)
    train = _tabular if isinstance(make(), TabularPredictor) else _from_curves
    for _, same in groupby(cells, key=lambda c: c.features):
        yield from train(make, curves, features, split, list(same))


def _pools(curves: CurveSet, column: str, depth: int) -> dict[str, np.ndarray]:
    """The runs to train and to test on where networks are cut by depth."""
    if column not in curves.configs:
        raise DataError("no such column to cut depths at", file=curves.name, column=column)
    shallow = curves.configs[column].to_numpy(dtype=np.float64) < depth
    return {"train_pool": shallow, "test_pool": ~shallow}


def tested(curves: CurveSet, split: protocol.Split, tau: int) -> np.ndarray:
    """Positions of the test runs that have come far enough to be predicted at `tau`."""
    return split.test[reached(curves.take(split.test), tau)]


def _tabular(
    make: Callable[[], Any],
    curves: CurveSet,
    features: Mapping[int, pd.DataFrame],
    split: protocol.Split,
    todo: list[Cell],
) -> Iterable[Result]:
    y, groups = curves.final[split.train], curves.groups[split.train]
    for cell in todo:
        test = tested(curves, split, cell.tau)
        wanted = make().blocks if cell.features == ALL_BLOCKS else cell.features
        blocks = present(features[cell.tau], wanted)
        if cell.features not in (ALL_BLOCKS, blocks) or len(test) < 2:
            continue
        X = select(features[cell.tau], blocks)
        start = time.process_time()
        fitted = make().fit_xy(X.iloc[split.train], y, groups)
        middle = time.process_time()
        prediction = fitted.predict_xy(X.iloc[test])
        if "TS" in blocks:
            prediction = fitted.settle(prediction, curves.take(test), cell.tau)
        yield cell, test, prediction, report(fitted, middle - start, time.process_time() - middle)


def _from_curves(
    make: Callable[[], Any],
    curves: CurveSet,
    features: Mapping[int, pd.DataFrame],
    split: protocol.Split,
    todo: list[Cell],
) -> Iterable[Result]:
    predictor, blocks = make(), todo[0].features
    if blocks != ALL_BLOCKS:
        raise DataError(
            f"{type(predictor).__name__} reads whole curves, it cannot be restricted to {blocks}"
        )
    start = time.process_time()
    predictor.fit(curves.take(split.train), [cell.tau for cell in todo])
    share = (time.process_time() - start) / len(todo)
    for cell in todo:
        test = tested(curves, split, cell.tau)
        if len(test) < 2:
            continue
        start = time.process_time()
        prediction = predictor.predict(curves.take(test), cell.tau)
        yield cell, test, prediction, report(predictor, share, time.process_time() - start)


def report(predictor: Predictor, fit: float, predict: float) -> dict[str, Any]:
    """Seconds and diagnostics of a fitted predictor, a row of timings."""
    seconds = {"seconds_fit": round(fit, 6), "seconds_predict": round(predict, 6)}
    return {**seconds, **predictor.diagnostics()}


def _rows(cell: Cell, prediction: Prediction, curves: CurveSet, test: np.ndarray) -> pd.DataFrame:
    """Prediction rows of one cell, see `run`."""
    quantiles = prediction.quantile(list(LEVELS.values()))
    shapes = _shapes(prediction, quantiles)
    quantiles[np.isfinite(shapes)] = np.nan
    numbers = {
        "y_true": curves.final[test],
        "y_mean": prediction.mean,
        "y_std": prediction.std,
        **dict(zip(LEVELS, quantiles.T, strict=True)),
        **dict(zip(SHAPES.values(), shapes.T, strict=True)),
    }
    rows = pd.DataFrame({**cell.keys(), "configuration": test}, index=range(len(test)))
    rows = rows.astype({name: np.int32 for name in rows if name != "features"})
    rows["features"] = pd.Categorical(rows["features"], COMBINATIONS)
    held = {name: np.clip(values, -_LARGEST, _LARGEST) for name, values in numbers.items()}
    return pd.concat([rows, pd.DataFrame(held, dtype=np.float32)], axis=1)


def _shapes(prediction: Prediction, quantiles: np.ndarray) -> np.ndarray:
    """(quantile - mean) / std, shape (n_runs, n_levels), where few runs have one of their own.

    Else NaN. A shape that several runs have in common is the same number for all of them.
    """
    mean, std = prediction.mean[:, None], prediction.std[:, None]
    gaps, inner = quantiles - mean, getattr(prediction, "inner", prediction)
    places = getattr(inner, "places", np.zeros(len(mean), dtype=np.int64))
    rounding, shapes = 1e-6 * std + 1e-14 * np.abs(mean), np.zeros_like(gaps)
    for place in np.unique(places):
        here = np.flatnonzero(places == place)
        widest = here[np.argmax(prediction.std[here])]
        if std[widest] > 0:
            shapes[here] = gaps[widest] / std[widest]
    common = (np.abs(gaps - std * shapes) <= rounding).all()
    return shapes if common else np.full_like(gaps, np.nan)
