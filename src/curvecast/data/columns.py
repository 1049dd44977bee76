"""Assembles the CurveSet of a table from what its columns mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, group_equal_rows
from curvecast.data.cells import as_text, counted, numbers, require, setting
from curvecast.data.roles import expanded, left_out, refuse_series
from curvecast.data.stanza import Direction, Names
from curvecast.files import DataError
from curvecast.validation import Strict

_DECADES = 2.0
# Floats hold all whole numbers up to here.
MAX_EPOCH = 10**15


class Layout(Strict):
    """What the columns of a table mean: the keywords of `read_curves` and the keys of its stanza.

    Attributes
    ----------
    curve_columns : names of the columns of the curve, with `{epoch}` in the place of the number
        of trained epochs: "acc_{epoch}" fits acc_1, acc_2, ...
    direction : "maximize" or "minimize".
    metric : for tables and figures; default: the text of the pattern.
    hyperparameters : columns that become `hp_*`. If given, a column without a role is an error.
        Default: every column without another role that can be a setting (`roles.left_out` says
        which cannot; columns that differ in a number alone are an error: are they a series?).
    architecture : columns that become `ap_*` (number of layers, of weights, ...).
    info : columns that become `info_*`: part of the runs, but no features.
    categorical : columns of numbers that mean categories. Columns of text are categories anyway.
    log : columns that were drawn on a log scale, or "auto": numeric columns whose values are all
        positive and span two decades or more.
    id : column that names the runs. Default: a column `id` if there is one, else the row numbers.
    group : column that is equal for repetitions of a configuration. Default: runs with equal
        hyper-parameters and architecture.
    ignore : columns without a role.
    series : further series, name to pattern ({"train_loss": "loss_{epoch}"}) or patterns alone.
        Epochs that a series lacks are NaN.
    first_epoch : number of trained epochs behind the first curve column, where the numbers in
        the names count differently.
    drop_duplicates : drop rows that equal an earlier one in every cell.

    In lists of columns `*` stands for anything: `loss_*`. `hyperparameters: ["*"]` declares all
    columns without another role; those that can be no setting stay out.
    """

    curve_columns: str
    direction: Direction
    metric: str = ""
    hyperparameters: Names | None = None
    architecture: Names = ()
    info: Names = ()
    categorical: Names = ()
    log: Names | Literal["auto"] = "auto"
    id: str | None = None
    group: str | None = None
    ignore: Names = ()
    series: Mapping[str, str] | Names = ()
    first_epoch: int | None = None
    drop_duplicates: bool = False


def epoch_columns(columns: Sequence[str], pattern: str, path: Path) -> dict[int, str]:
    """Columns that fit a pattern like "acc_{epoch}", by the number in their name, increasing.

    Raises DataError where the pattern has no place for the number or fits no column, or where
    two columns have the same number.
    """
    before, place, after = pattern.partition("{epoch}")
    if not place or "{epoch}" in after:
        raise DataError(f"the pattern {pattern!r} does not have one {{epoch}}", file=path)
    fits = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    by_epoch: dict[int, str] = {}
    for column in columns:
        if not (match := fits.fullmatch(column)):
            continue
        epoch = int(match[1])
        if epoch > MAX_EPOCH:
            raise DataError(f"an epoch above {MAX_EPOCH:.0e}", file=path, column=column)
        if epoch in by_epoch:
            problem = f"a second column for epoch {epoch} beside {by_epoch[epoch]}"
            raise DataError(problem, file=path, column=column)
        by_epoch[epoch] = column
    if not by_epoch:
        shown = ", ".join(list(columns)[:8])
        raise DataError(f"no column fits the pattern {pattern!r}; there are {shown}", file=path)
    return dict(sorted(by_epoch.items()))


def assemble(
    table: pd.DataFrame, layout: Layout, path: Path, *, name: str = "", source: str = ""
) -> CurveSet:
    """Make the CurveSet of a table as `read_table` gives it; errors as in `read_curves`."""
    notes = []
    repeated = table.duplicated().to_numpy()
    if repeated.any():
        done = "dropped" if layout.drop_duplicates else "kept"
        notes.append(f"{int(repeated.sum())} rows that equal an earlier one in every cell {done}")
    if layout.drop_duplicates:
        table = table[~repeated]
    columns = list(table.columns)
    curve = epoch_columns(columns, layout.curve_columns, path)
    patterns = layout.series
    if not isinstance(patterns, Mapping):
        patterns = {_text_of(pattern): pattern for pattern in patterns}
    series = {label: epoch_columns(columns, pattern, path) for label, pattern in patterns.items()}
    epochs = np.array(list(curve), dtype=np.int64)
    values = numbers(table, list(curve.values()), path)
    in_curves = {c for at in (curve, *series.values()) for c in at.values()}
    labels, remarks = _labels(table, values, layout, curve, in_curves, path)
    notes += remarks
    configs, log_columns = _configs(table, layout, labels, path)
    first = epochs[0] if layout.first_epoch is None else layout.first_epoch
    return CurveSet(
        configs=configs,
        values=values,
        epochs=epochs - epochs[0] + first,
        metric=layout.metric or _text_of(layout.curve_columns),
        direction=layout.direction,
        name=name or path.name.split(".")[0],
        source=source or path.name,
        log_columns=log_columns,
        series={label: _on_epochs(table, at, epochs, label, path) for label, at in series.items()},
        notes=(*notes, *_remarks(values, epochs, table.index, path)),
    )


def _configs(
    table: pd.DataFrame, layout: Layout, labels: Mapping[str, str], path: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The `configs` of the CurveSet, and which of its columns are on a log scale."""
    categories = expanded(layout.categorical, list(labels))
    require(table.columns, categories, path)
    settings = pd.DataFrame(
        {
            label: setting(table[column], path, categorical=column in categories)
            for column, label in labels.items()
        },
        index=table.index,
    )
    group = group_equal_rows(settings.filter(regex="^(hp|ap)_"))
    if len(np.unique(group)) == 1:  # no settings, or the same in all runs: nothing to keep together
        group = np.arange(len(table))
    if layout.group:
        # An empty cell is no group: such runs are repetitions where their settings are equal.
        name = as_text(table[layout.group].to_numpy(dtype=object, na_value=""))
        group = group_equal_rows(pd.DataFrame({0: name, 1: np.where(name == "nan", group, -1)}))
    identity = {"id": ids_of(table, id_column(table, layout.id), path), "group": group}
    log_columns = _log_columns(settings, layout.log, labels, path)
    return pd.concat([pd.DataFrame(identity, table.index), settings], axis=1), log_columns


def id_column(table: pd.DataFrame, name: str | None) -> str | None:
    """The column that names the runs: `name`, else a column `id`, else None."""
    return "id" if name is None and "id" in table.columns else name


def _labels(
    table: pd.DataFrame,
    values: np.ndarray,
    layout: Layout,
    curve: Mapping[int, str],
    in_curves: set[str],
    path: Path,
) -> tuple[dict[str, str], list[str]]:
    """Column to its name in the CurveSet for every setting, and remarks on columns left out."""
    columns = [str(column) for column in table.columns]
    special = [c for c in (id_column(table, layout.id), layout.group) if c]
    other = [*in_curves, *expanded(layout.ignore, columns), *special]
    free = [column for column in columns if column not in other]
    architecture, info = expanded(layout.architecture, free), expanded(layout.info, free)
    rest = [column for column in free if column not in (*architecture, *info)]
    listed = [*expanded(layout.hyperparameters or (), rest), *architecture, *info]
    require(columns, [*other, *listed], path)
    for position, column in enumerate(listed):
        if column in other or column in listed[:position]:
            raise DataError("the column has two roles", file=path, column=column)
    log = () if isinstance(layout.log, str) else layout.log
    named = [*(layout.hyperparameters or ()), *architecture, *info, *layout.categorical, *log]
    unnamed = [column for column in rest if column not in named]
    if layout.hyperparameters is None:
        refuse_series(unnamed, layout.curve_columns, curve, path)
    elif roleless := [column for column in rest if column not in listed]:
        problem = "list it under hyperparameters, architecture, info or ignore"
        raise DataError(f"the column has no role: {problem}", file=path, column=roleless[0])
    out, notes = left_out(table, values, layout.direction, unnamed)
    prefix = dict.fromkeys(info, "info_") | dict.fromkeys(architecture, "ap_")
    labels: dict[str, str] = {}
    for column in (column for column in free if column not in out):
        label = prefixed(prefix.get(column, "hp_"), column)
        if twin := next((c for c, known in labels.items() if known == label), None):
            raise DataError(f"both this column and {twin} are {label}", file=path, column=column)
        labels[column] = label
    return labels, notes


def prefixed(prefix: str, column: str) -> str:
    """The column's name in the CurveSet: with the prefix, which is not doubled."""
    return column if column.startswith(prefix) else prefix + column


def ids_of(table: pd.DataFrame, column: str | None, path: Path) -> np.ndarray:
    """Names of the runs, unique texts of shape (n_rows,); row numbers without a column."""
    if column is None:
        return table.index.astype(str).to_numpy(dtype=object)
    text = as_text(table[column].to_numpy(dtype=object, na_value=""))
    first: dict[str, object] = {}
    for row, label in zip(table.index, text, strict=True):
        where: dict[str, Any] = {"file": path, "row": counted(row), "column": column}
        if label == "nan":
            raise DataError("the id is missing", **where)
        if label in first:
            raise DataError(f"duplicate id {label!r}, first in row {first[label]}", **where)
        first[label] = row
    return text


def _log_columns(
    settings: pd.DataFrame, log: Sequence[str] | str, labels: Mapping[str, str], path: Path
) -> tuple[str, ...]:
    if log == "auto":
        return tuple(label for label in labels.values() if _spans_decades(settings[label]))
    for column in log:
        if column not in labels:
            raise DataError("a log column is no hyper-parameter here", file=path, column=column)
        values = settings[labels[column]]
        if isinstance(values.dtype, pd.CategoricalDtype) or (values <= 0).any():
            problem = "a column on a log scale holds something else than positive numbers"
            raise DataError(problem, file=path, column=column)
    return tuple(labels[column] for column in log)


def _spans_decades(values: pd.Series) -> bool:
    """Whether a column seems drawn on a log scale: numbers, all > 0, largest >= 100 * smallest."""
    if isinstance(values.dtype, pd.CategoricalDtype) or values.isna().all():
        return False
    smallest, largest = float(values.min()), float(values.max())
    return smallest > 0 and largest >= smallest * 10**_DECADES


def _text_of(pattern: str) -> str:
    return pattern.replace("{epoch}", "").strip("_-.:/ ") or "value"


def _on_epochs(
    table: pd.DataFrame, at: Mapping[int, str], epochs: np.ndarray, name: str, path: Path
) -> np.ndarray:
    """A further series on the epochs of the curve, NaN where it has no column."""
    for epoch, column in at.items():
        if epoch not in epochs:
            problem = f"series {name!r} has epoch {epoch}, the curve does not"
            raise DataError(problem, file=path, column=column)
    aligned = np.full((len(table), len(epochs)), np.nan)
    aligned[:, np.searchsorted(epochs, list(at))] = numbers(table, list(at.values()), path)
    return aligned


def _remarks(values: np.ndarray, epochs: np.ndarray, rows: pd.Index, path: Path) -> list[str]:
    """What a reader of the results must know about the values; DataError if there are none."""
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError("the curve columns hold not a single number", file=path)
    notes = []
    empty, unfinished = ~finite.any(axis=1), ~finite[:, -1]
    if empty.any():
        notes.append(
            f"{int(empty.sum())} runs without any value, kept as diverged: {_list(rows[empty])}"
        )
    if unfinished.any():
        notes.append(
            f"{int(unfinished.sum())} runs without a finite final value (diverged or ended early), "
            f"kept but never a target: {_list(rows[unfinished])}"
        )
    final = values[finite[:, -1], -1]
    if len(final) > 1 and np.ptp(final) == 0:
        notes.append(f"the final value is constant ({final[0]:g}): R² is not defined")
    recorded = epochs[~np.isnan(values).all(axis=0)]  # others are to come
    gaps = recorded[-1] - recorded[0] + 1 - len(recorded)
    if gaps and (len(recorded) < 4 or np.ptp(np.diff(recorded)) > 0):
        notes.append(f"{gaps} epochs between the first and the last are not recorded")
    return notes


def _list(rows: pd.Index, most: int = 10) -> str:
    shown = ", ".join(str(row) for row in rows[:most])
    return f"rows {shown}" + (", ..." if len(rows) > most else "")
