"""A user's own table of runs, CSV or Parquet: one row per run, one column per epoch."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError, group_equal_rows, read_parquet

REQUIRED = frozenset({"curve_columns", "direction"})
OPTIONAL = frozenset(
    {
        "hyperparameters",
        "architecture",
        "info",
        "categorical",
        "log",
        "id",
        "group",
        "ignore",
        "series",
        "first_epoch",
        "drop_duplicates",
    }
)
# Spellings of "nothing was recorded", compared in lower case.
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
DECADES = 2.0
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Layout:
    """What the columns of a table mean; the attributes are the arguments of `read_curves`."""

    curve_columns: str
    direction: str
    name: str = ""
    source: str = ""
    metric: str = ""
    hyperparameters: Sequence[str] | None = None
    architecture: Sequence[str] = ()
    info: Sequence[str] = ()
    categorical: Sequence[str] = ()
    log: Sequence[str] | str = "auto"
    id: str | None = None
    group: str | None = None
    ignore: Sequence[str] = ()
    series: Mapping[str, str] | Sequence[str] = ()
    first_epoch: int | None = None
    drop_duplicates: bool = False


def read(name: str, stanza: Mapping[str, Any], files: Sequence[str | Path]) -> CurveSet:
    """Read the data set of a stanza; its keys are the arguments of `read_curves`."""
    path = Path(files[0])
    return assemble(read_table(path), layout_of(name, stanza), path)


def layout_of(name: str, stanza: Mapping[str, Any]) -> Layout:
    """The layout that a stanza describes."""
    keys = (REQUIRED | OPTIONAL | {"metric"}) & set(stanza)
    options = {key: stanza[key] for key in keys}
    return Layout(name=name, source=str(stanza.get("citation", "")), **options)


def read_curves(
    path: str | Path,
    curve_columns: str,
    direction: str,
    *,
    name: str = "",
    source: str = "",
    metric: str = "",
    hyperparameters: Sequence[str] | None = None,
    architecture: Sequence[str] = (),
    info: Sequence[str] = (),
    categorical: Sequence[str] = (),
    log: Sequence[str] | str = "auto",
    id: str | None = None,
    group: str | None = None,
    ignore: Sequence[str] = (),
    series: Mapping[str, str] | Sequence[str] = (),
    first_epoch: int | None = None,
    drop_duplicates: bool = False,
) -> CurveSet:
    """Read learning curves from a table with one row per run.

    Parameters
    ----------
    path : .csv, .tsv (also .csv.gz, ...) or .parquet.
    curve_columns : names of the columns of the curve, with `{epoch}` in the place of the number
        of trained epochs: "acc_{epoch}" fits acc_1, acc_2, ...
    direction : "maximize" or "minimize".
    name, metric : for tables and figures; default: the file's name, and the pattern's text.
    hyperparameters : columns that become `hp_*`. Default: every column without another role; if
        given, a column without a role is an error.
    architecture : columns that become `ap_*` (number of layers, of weights, ...).
    info : columns that become `info_*`: kept with the runs, but no features.
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

    An empty cell, `nan` or `inf` in a curve is legal: the run diverged or ended there. It is
    kept; a run without a finite final value is never a target. An empty cell of a
    hyper-parameter is legal too (conditional spaces); predictors fill in the median.
    Epochs between columns (every fifth one, say) may be missing.

    Raises
    ------
    DataError : names the file, the column and the row. Rows are data rows counted from 1, the
        header not among them.
    """
    layout = Layout(
        curve_columns=curve_columns,
        direction=direction,
        name=name,
        source=source,
        metric=metric,
        hyperparameters=hyperparameters,
        architecture=architecture,
        info=info,
        categorical=categorical,
        log=log,
        id=id,
        group=group,
        ignore=ignore,
        series=series,
        first_epoch=first_epoch,
        drop_duplicates=drop_duplicates,
    )
    return assemble(read_table(Path(path)), layout, Path(path))


# --- files --------------------------------------------------------------------------------------


def read_table(path: Path) -> pd.DataFrame:
    """The cells of a table as they are: text for CSV, typed columns for Parquet.

    The index holds the row numbers as a person counts them: data rows from 1.

    Raises DataError for a file that is missing, empty, cut off or of another kind, and for a
    header that has a name twice.
    """
    if not path.is_file():
        raise DataError("the file does not exist", file=path)
    kind = next((s for s in reversed(path.suffixes) if s in (*_SEPARATORS, *_PARQUET)), "")
    if not kind:
        raise DataError(
            f"the name does not end with {', '.join(_SEPARATORS)} or .parquet", file=path
        )
    if not path.stat().st_size:
        raise DataError("the file is empty", file=path)
    table = read_parquet(path)[0] if kind in _PARQUET else _read_csv(path, _SEPARATORS[kind])
    if not len(table):
        raise DataError("the file has a header but no data rows", file=path)
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    table.index = pd.RangeIndex(1, len(table) + 1)
    doubled = table.columns[table.columns.duplicated()]
    if len(doubled):
        raise DataError("the header has this column twice", file=path, column=doubled[0])
    return table


def _read_csv(path: Path, separator: str) -> pd.DataFrame:
    # Not pandas: it fills up rows that are cut off and renames columns that are there twice.
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream, delimiter=separator, strict=True) if row]
    except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"not a complete table ({error})", file=path) from error
    if not rows:
        raise DataError("the file is empty", file=path)
    header = rows.pop(0)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(
                f"the row has {len(row)} cells, the header {len(header)}"
                + ("; is the file cut off?" if len(row) < len(header) else ""),
                file=path,
                row=counted(number),
                column=header[len(row)] if len(row) < len(header) else None,
            )
    return pd.DataFrame(rows, columns=pd.Index(header), dtype=object)


# --- columns ------------------------------------------------------------------------------------


def epoch_columns(columns: Sequence[str], pattern: str, path: Path) -> dict[int, str]:
    """Columns that fit a pattern like "acc_{epoch}", by the number in their name, increasing.

    Raises DataError where the pattern has no place for the number or fits no column, or where
    two columns have the same number.
    """
    before, place, after = pattern.partition("{epoch}")
    if not place or "{epoch}" in after:
        raise DataError(f"the pattern {pattern!r} does not have one {{epoch}}", file=path)
    fits = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    found: dict[int, str] = {}
    for column in columns:
        match = fits.fullmatch(column)
        if match and int(match[1]) in found:
            raise DataError(
                f"a second column for epoch {int(match[1])} beside {found[int(match[1])]}",
                file=path,
                column=column,
            )
        if match:
            found[int(match[1])] = column
    if not found:
        shown = ", ".join(list(columns)[:8])
        raise DataError(f"no column fits the pattern {pattern!r}; there are {shown}", file=path)
    return dict(sorted(found.items()))


def numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> np.ndarray:
    """The columns as float64, shape (n_rows, n_columns); a missing cell is NaN.

    Raises DataError for the first cell that holds text.
    """
    block = table[list(columns)]
    if all(_is_numeric(block[column]) for column in columns):
        return block.to_numpy(dtype=np.float64, na_value=np.nan)
    text = _as_text(block.to_numpy(dtype=object, na_value="").ravel())
    try:
        return text.astype(np.float64).reshape(block.shape)
    except ValueError as error:
        position = next(i for i, cell in enumerate(text) if not _is_number(cell))
        row, column = divmod(position, len(columns))
        raise DataError(
            f"{text[position]!r} is not a number",
            file=path,
            row=counted(table.index[row]),
            column=columns[column],
        ) from error


def setting(column: pd.Series, path: Path, *, categorical: bool) -> pd.Series:
    """A hyper-parameter's column as float64, or as a categorical where it holds text.

    Raises DataError for a column that mixes numbers and text, that holds an infinite number, or
    that has another text in most rows.
    """
    if _is_numeric(column) and not categorical:
        return _finite(column.to_numpy(dtype=np.float64, na_value=np.nan), column, path)
    text = _as_text(column.to_numpy(dtype=object, na_value=""))
    missing = text == "nan"
    is_number = np.array([_is_number(cell) for cell in text]) & ~missing
    if not categorical and (is_number | missing).all():
        return _finite(text.astype(np.float64), column, path)
    if not categorical and is_number.any():
        row = int(np.flatnonzero(~is_number & ~missing)[0])
        raise DataError(
            f"{text[row]!r} is text in a column of numbers (list the column under `categorical` "
            "if its numbers are names)",
            file=path,
            row=counted(column.index[row]),
            column=column.name,
        )
    n_values = len(np.unique(text[~missing]))
    if not categorical and n_values >= 10 and 2 * n_values > (~missing).sum():
        raise DataError(
            "most runs have a text of their own here: name the column as `id` or under `ignore`",
            file=path,
            column=column.name,
        )
    values = pd.Series(text, index=column.index, dtype=object).mask(missing)
    return values.astype("category")


def _finite(values: np.ndarray, column: pd.Series, path: Path) -> pd.Series:
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            "a hyper-parameter is infinite",
            file=path,
            row=counted(column.index[int(np.flatnonzero(infinite)[0])]),
            column=column.name,
        )
    return pd.Series(values, index=column.index)


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _as_text(cells: np.ndarray) -> np.ndarray:
    """Cells as stripped text, missing ones as "nan"; objects, shape (n_cells,) as given."""
    stripped = [str(cell).strip() for cell in cells]
    return np.array(["nan" if cell.lower() in MISSING else cell for cell in stripped], dtype=object)


# --- from cells to curves -----------------------------------------------------------------------


def assemble(table: pd.DataFrame, layout: Layout, path: Path) -> CurveSet:
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
    series = {
        name: epoch_columns(columns, pattern, path)
        for name, pattern in _series_patterns(layout.series).items()
    }
    epochs = np.array(list(curve), dtype=np.int64)
    values = numbers(table, list(curve.values()), path)
    in_curves = {c for found in (curve, *series.values()) for c in found.values()}
    id_column = "id" if layout.id is None and "id" in columns else layout.id
    labels = _settings(columns, layout, in_curves, id_column, path)
    settings = pd.DataFrame(
        {
            label: setting(table[column], path, categorical=column in layout.categorical)
            for column, label in labels.items()
        },
        index=table.index,
    )
    identity = pd.DataFrame(
        {
            "id": _ids(table, id_column, path),
            "group": group_equal_rows(table[[layout.group]] if layout.group else settings),
        },
        index=table.index,
    )
    first = epochs[0] if layout.first_epoch is None else layout.first_epoch
    return CurveSet(
        configs=pd.concat([identity, settings], axis=1),
        values=values,
        epochs=epochs - epochs[0] + first,
        metric=layout.metric or _text_of(layout.curve_columns),
        direction=layout.direction,
        name=layout.name or path.name.split(".")[0],
        source=layout.source or path.name,
        log_columns=_log_columns(settings, layout.log, labels, path),
        series={
            name: _on_epochs(table, found, epochs, name, path) for name, found in series.items()
        },
        notes=(*notes, *_remarks(values, epochs, table.index, path)),
    )


def _settings(
    columns: Sequence[str], layout: Layout, in_curves: set[str], id_column: str | None, path: Path
) -> dict[str, str]:
    """Column to its name in the CurveSet, for the hyper-parameters and the architecture."""
    special = [column for column in (id_column, layout.group) if column]
    prefix = dict.fromkeys(layout.info, "info_") | dict.fromkeys(layout.architecture, "ap_")
    listed = [*(layout.hyperparameters or ()), *layout.architecture, *layout.info]
    require(columns, [*special, *listed, *layout.categorical, *layout.ignore], path)
    taken = in_curves | set(layout.ignore) | set(special)
    for position, column in enumerate(listed):
        if column in taken or column in listed[:position]:
            raise DataError("the column has two roles", file=path, column=column)
    free = [column for column in columns if column not in taken]
    stray = [] if layout.hyperparameters is None else [c for c in free if c not in listed]
    if stray:
        raise DataError(
            "the column has no role: list it under hyperparameters, architecture, info or ignore",
            file=path,
            column=stray[0],
        )
    return {column: prefixed(prefix.get(column, "hp_"), column) for column in free}


def require(columns: Iterable[Hashable], wanted: Iterable[str], path: Path) -> None:
    """Raise DataError for the first wanted column that is not among the columns."""
    present = set(columns)
    for column in wanted:
        if column not in present:
            raise DataError("the file has no such column", file=path, column=column)


def counted(row: object) -> str:
    """A data row's number for messages."""
    return f"{row} (header not counted)"


def prefixed(prefix: str, column: str) -> str:
    """The column's name in the CurveSet: with the prefix, which is not doubled."""
    return column if column.startswith(prefix) else prefix + column


def _ids(table: pd.DataFrame, column: str | None, path: Path) -> np.ndarray:
    if column is None:
        return table.index.astype(str).to_numpy(dtype=object)
    text = pd.Series(_as_text(table[column].to_numpy(dtype=object, na_value="")))
    for wrong, problem in ((text == "nan", "the id is missing"), (text.duplicated(), "")):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            earlier = table.index[int(np.flatnonzero(text == text[row])[0])]
            raise DataError(
                problem or f"duplicate id {text[row]!r}, first in row {earlier}",
                file=path,
                row=counted(table.index[row]),
                column=column,
            )
    return text.to_numpy(dtype=object)


def _log_columns(
    settings: pd.DataFrame, log: Sequence[str] | str, labels: Mapping[str, str], path: Path
) -> tuple[str, ...]:
    if log == "auto":
        return tuple(label for label in labels.values() if spans_decades(settings[label]))
    if isinstance(log, str):
        raise DataError(f"log is {log!r}, neither `auto` nor a list of columns", file=path)
    for column in log:
        if column not in labels:
            raise DataError("a log column is no hyper-parameter here", file=path, column=column)
        values = settings[labels[column]]
        if isinstance(values.dtype, pd.CategoricalDtype) or (values <= 0).any():
            raise DataError(
                "a column on a log scale holds something else than positive numbers",
                file=path,
                column=column,
            )
    return tuple(labels[column] for column in log)


def spans_decades(values: pd.Series) -> bool:
    """Whether a column looks drawn on a log scale: numbers, all > 0, largest >= 100 * smallest."""
    if isinstance(values.dtype, pd.CategoricalDtype) or values.isna().all():
        return False
    smallest, largest = float(values.min()), float(values.max())
    return smallest > 0 and largest >= smallest * 10**DECADES


def _series_patterns(series: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if isinstance(series, Mapping):
        return dict(series)
    return {_text_of(pattern): pattern for pattern in series}


def _text_of(pattern: str) -> str:
    return pattern.replace("{epoch}", "").strip("_-.:/ ") or "value"


def _on_epochs(
    table: pd.DataFrame, found: Mapping[int, str], epochs: np.ndarray, name: str, path: Path
) -> np.ndarray:
    """A further series on the epochs of the curve, NaN where it has no column."""
    stray = sorted(set(found) - set(epochs.tolist()))
    if stray:
        raise DataError(
            f"series {name!r} has epoch {stray[0]}, the curve does not",
            file=path,
            column=found[stray[0]],
        )
    aligned = np.full((len(table), len(epochs)), np.nan)
    aligned[:, np.searchsorted(epochs, list(found))] = numbers(table, list(found.values()), path)
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
    if len(final) and np.ptp(final) == 0:
        notes.append(f"the final value is constant ({final[0]:g}): R² is not defined")
    gaps = np.setdiff1d(np.arange(epochs[0], epochs[-1] + 1), epochs)
    if len(gaps):
        notes.append(f"{len(gaps)} epochs between the first and the last have no column")
    return notes


def _list(rows: pd.Index, most: int = 10) -> str:
    shown = ", ".join(str(row) for row in rows[:most])
    return f"rows {shown}" + (", ..." if len(rows) > most else "")
