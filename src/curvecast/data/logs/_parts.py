"""What several formats share: files of runs, their settings, cells as numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from curvecast.data.cells import counted, flat, floats, numbers
from curvecast.data.logs import EPOCH, RUN, is_metric, is_of_validation
from curvecast.files import DataError, read_text

BESIDE = (
    *("hparams.yaml", "config.yaml", "args.yaml", "params.yaml"),
    *("config.json", "args.json", "params.json"),
)
# Columns that count epochs or what stands for them; an earlier one comes before a later one.
EPOCHS = (
    *("epoch", "step", "iteration", "iterations", "iter", "training_iteration"),
    *("global_step", "current_steps", "budget", "fidelity", "tokens", "n_samples", "train_size"),
    *("total_timesteps", "timestep", "episode", "number_of_trees"),
)
NO_METRICS = (
    *(*EPOCHS, "steps", "total_steps", "ep", "lr", "learning_rate", "v_num", "percentage"),
    *("batch", "batch_size", "num_epochs", "max_epochs"),
    *("time", "data_time", "wall_time", "time_elapsed", "elapsed_time", "runtime", "timestamp"),
    *("step_time", "iter_time", "batch_time", "epoch_time", "loader_time", "avg_loader_time"),
    *("time_cost", "batch_cost", "data_cost", "reader_cost", "avg_batch_cost", "avg_reader_cost"),
    *("duration", "dur", "seconds", "eta", "eta_seconds", "fps", "ips", "memory", "max_mem"),
    *("passed", "remaining", "took", "wall", "grad_norm", "gnorm", "wd", "weight_decay"),
    *("samples", "num_samples", "avg_samples", "consumed_samples", "examples", "num_updates"),
    *("parameters", "n_parameters", "sequence_length", "wps", "ups", "wpb", "bsz", "loss_scale"),
    *("total_flos", "dt", "dt_data", "dt_net", "time_diff"),
)
# Parts of the data that a run logs into folders or tables of their own: Keras the first two,
# TensorFlow's estimators `eval`, CatBoost `learn` and `test`.
PARTS = ("train", "validation", "training", "valid", "val", "dev", "eval", "test", "learn")
_OF_PART = re.compile(rf"^({'|'.join(PARTS)})_")
_ABOVE = 4  # folders up to Hydra's, in which the folders of a tool may lie
_PER_BUDGET = 100  # of a budget that is no whole number
# Names of an index in a table, rates (`eval_steps_per_second`, `SamplesPerSec`), memory.
_NO_METRIC = re.compile(r"unnamed_\d+|.*per_?sec(ond)?|peak_memory_\w+|")
# In a table with a row per metric: columns that name the metric, and that hold its value.
_KEYS = ("key", "metric", "metric_name", "metricname", "tag", "variable")
_VALUES = ("value", "metric_value", "metricvalue")
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
PAIR = re.compile(r"([A-Za-z][\w.]*?)=([^,=]+)")


def run_files(path: Path, pattern: str) -> dict[str, Path]:
    """Files below a folder that fit a pattern (or the one file `path`), by the name of their run.

    The name is that of the folder that holds the file, from `path` on; where a folder holds
    several such files, the file's own without its suffix.
    """
    if path.is_file():
        fits = path.match(pattern)
        return {path.resolve().parent.name or path.stem: path} if fits else {}
    files = sorted((f for f in path.rglob(pattern) if f.is_file()), key=_natural)
    folders = [file.parent.relative_to(path).as_posix() for file in files]
    if len(set(folders)) < len(folders):
        names = [file.relative_to(path).with_suffix("").as_posix() for file in files]
    else:
        names = [path.name if folder == "." else folder for folder in folders]
    return dict(zip(names, files, strict=True))


def _natural(path: Path) -> list[Any]:
    """A sorting key that puts `train2` before `train10`."""
    return [(not t.isdigit(), int(t) if t.isdigit() else t) for t in re.split(r"(\d+)", str(path))]


def lines_of(file: Path) -> list[str]:
    """The lines of a text without the last one where it has no end: it is being written."""
    return read_text(file).split("\n")[:-1]


def settings_of(run: str, folder: Path) -> dict[str, Any]:
    """The settings of a run: `key=value` in the folders of its name, and files beside its log.

    Where there is none, Hydra's configuration of the folder counts, or of one above it.

    Raises DataError for such a file that cannot be read.
    """
    named = dict(p for part in Path(run).parts for p in PAIR.findall(part))
    beside = {k: v for name in BESIDE for k, v in _settings_in(folder / name).items()}
    above = [folder, *folder.absolute().parents][:_ABOVE]
    of_hydra = (_settings_in(place / ".hydra/config.yaml") for place in above)
    return named | (beside or next(filter(None, of_hydra), {}))


def _settings_in(file: Path) -> dict[str, Any]:
    """The settings in a file, none where there is no such file."""
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"the settings cannot be read ({problem})", file=file) from error
    return flat(content) if isinstance(content, dict) else {}


class _Loader(yaml.SafeLoader):
    """Reads objects of other programs as text and makes none of them."""


_Loader.add_multi_constructor("", lambda loader, tag, node: str(node.value)[:80])


def first_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column with the first of these names that there is, in capitals or not.

    Underscores around a column's name are passed over. Where there is none, a name may follow a
    group, as in `time/iterations`.
    """
    lower = {column.lower().strip("_"): column for column in reversed(columns)}
    grouped = {name.rpartition("/")[2]: column for name, column in lower.items()}
    return next((c[name] for c in (lower, grouped) for name in names if name in c), None)


def epochs_in(tables: Iterable[pd.DataFrame]) -> str | None:
    """The column that counts epochs: the first of EPOCHS, one without fractions before others."""
    tables = list(tables)
    names = [str(column) for column in dict.fromkeys(c for table in tables for c in table)]
    left = list(names)
    while at := first_of(EPOCHS, left):
        cells = [floats(table[at]) for table in tables if at in table]
        if all(x is None or not (x[np.isfinite(x)] % 1).any() for x in cells):
            return at
        left.remove(at)
    return first_of(EPOCHS, names)


@cache
def no_metric(name: str) -> bool:
    """Whether a name, in capitals or after a group, counts, times or sets and measures nothing.

    `Loss/Val_Epoch` is a loss, `train_epoch` a count.
    """
    group, _, last = name.rpartition("/")
    last = re.sub(r"\W+", "_", last.lower()).strip("_")
    names = (last, last if is_metric(group) else _OF_PART.sub("", last))
    return not {*names}.isdisjoint(NO_METRICS) or _NO_METRIC.fullmatch(last) is not None


def spread(table: pd.DataFrame, run: str | None) -> pd.DataFrame:
    """A table with a row per metric as one with a column per metric; another one as it is.

    One column names the metric, as in `key`, `value`, and has several names in a run (column
    `run`; None: the table is of one run) or names of metrics alone.
    """
    key, value = (first_of(names, list(table.columns)) for names in (_KEYS, _VALUES))
    if key is None or value is None or key == run or floats(table[key]) is not None:
        return table
    metrics = table[key].astype(str).str.strip()
    several = metrics.groupby(0 * table.index if run is None else table[run]).nunique().max() > 1
    if not several and not all(map(is_metric, metrics.unique())):
        return table
    names = [name for name in metrics.unique() if not (no_metric(name) or name in table)]
    columns = {name: table[value].where(metrics == name) for name in names}
    return table.drop(columns=[key, value]).assign(**columns) if names else table


def table_of(settings: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Settings by run as a table: index run, one column per setting."""
    return pd.DataFrame.from_dict(settings, orient="index")


def names_in(cells: pd.Series, path: Path) -> pd.Series:
    """A column that names runs, as text. Raises DataError for a cell that is empty."""
    names = cells.astype(str).str.strip()
    for row in cells.index[cells.isna() | (names == "")][:1]:
        raise DataError("the run has no name", file=path, row=counted(row), column=cells.name)
    return names


def trained(epochs: np.ndarray) -> np.ndarray:
    """Numbers of trained epochs, where a tool counts the first one as 0; int64, same shape."""
    epochs = np.asarray(epochs, dtype=np.int64)
    return epochs + int(len(epochs) > 0 and epochs.min() == 0)


def whole(cells: pd.Series, path: Path) -> np.ndarray:
    """Cells of an epoch's column as int64. Raises DataError for any that is no whole number."""
    values = numbers(cells.to_frame(), [str(cells.name)], path)[:, 0]
    bad = ~np.isfinite(values) | (values != np.round(values)) | (values < 0)
    for row in cells.index[bad][:1]:
        raise DataError(
            f"{str(cells[row])!r} is not a whole number of epochs",
            file=path,
            row=counted(row),
            column=str(cells.name),
        )
    return values.astype(np.int64)


def epochs_of_budgets(budgets: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Budgets as whole numbers of epochs, int64, same shape, and a remark where they are parts."""
    notes = []
    if np.any(budgets != np.round(budgets)):
        budgets = budgets * _PER_BUDGET
        notes.append(f"budgets are not whole numbers: epochs are 1/{_PER_BUDGET} of a budget")
    return np.round(budgets).astype(np.int64), notes


def joined(parts: list[pd.DataFrame], path: Path) -> pd.DataFrame:
    """The rows of all runs. Raises DataError where no run has any."""
    if not parts:
        raise DataError("no run has logged anything", file=path)
    return pd.concat(parts, ignore_index=True)


def logged_numbers(entry: dict[str, Any]) -> dict[str, float]:
    """The numbers that a tracker logged at once; inf for one that is not finite, as text too."""
    numbers = {k: v for k, v in entry.items() if type(v) in (int, float) or v in _NOT_FINITE}
    return {k: x if math.isfinite(x := float(v)) else math.inf for k, v in numbers.items()}


def on_epochs(rows: pd.DataFrame, counter: str, path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """What a tracker logged as rows of a Log, and a remark on rows that are left out.

    Epochs are those that were logged, alone or in a group (`epoch`, `train/epoch`), where
    validation has whole ones; else `global_step`; else the tracker's own counter.

    Parameters
    ----------
    rows : `run`, `counter` and what was logged at once, NaN for what was not.

    Raises
    ------
    DataError : there is no row.
    """
    if counter not in rows:
        raise DataError("no run has logged anything", file=path)
    metrics = [c for c in rows if not (c == RUN or no_metric(str(c)) or str(c).startswith("_"))]
    measured = rows[[c for c in metrics if is_of_validation(str(c))] or metrics].notna().any(axis=1)
    logged = list(rows.columns.drop([RUN, counter]))
    names = (first_of([name], logged) for name in (EPOCH, "global_step"))
    at = next((n for n in names if n is not None and _counts(rows.loc[measured, n])), counter)
    fits = rows[at] % 1 == 0
    epochs = rows.loc[fits, at].to_numpy(dtype=np.int64)
    # Where parts of epochs are logged, 0 stands for what was before the first one.
    epochs = trained(epochs) if fits[rows[at].notna()].all() else epochs
    table = pd.DataFrame({RUN: rows.loc[fits, RUN], EPOCH: epochs})
    left_out = int(rows[at].isna().sum())
    note = f"{left_out} rows without {at} are left out"
    return table.join(rows.loc[fits, metrics].dropna(axis=1, how="all")), (note,) * (left_out > 0)


def _counts(numbers: pd.Series) -> bool:
    """Whether numbers of epochs are whole, and there in half of the rows or more."""
    return bool((numbers.dropna() % 1 == 0).all() and 2 * numbers.notna().sum() >= len(numbers) > 0)


def metrics_in(table: pd.DataFrame, without: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of numbers that are not among `without`, by name; each of shape (n_rows,)."""
    columns = {str(name): floats(table[name]) for name in table if name not in without}
    return {
        name: values
        for name, values in columns.items()
        if values is not None and not np.isnan(values).all()
    }


def unique(names: dict[str, str]) -> dict[str, str]:
    """Names of runs by key, with the key where two runs have the same name."""
    doubled = set(pd.Series(list(names.values())).loc[lambda n: n.duplicated()])
    return {
        key: f"{name} {Path(key).name}" if name in doubled else name for key, name in names.items()
    }
