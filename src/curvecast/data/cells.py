"""Reads a table of runs, CSV or Parquet, and turns its cells into numbers and categories."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.files import DataError, read_parquet

# Spellings of "nothing was recorded", compared in lower case.
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


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


def require(columns: Iterable[Hashable], wanted: Iterable[str], path: Path) -> None:
    """Raise DataError for the first wanted column that is not among the columns."""
    present = set(columns)
    for column in wanted:
        if column not in present:
            raise DataError("the file has no such column", file=path, column=column)


def counted(row: object) -> str:
    """A data row's number for messages."""
    return f"{row} (header not counted)"


def numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> np.ndarray:
    """The columns as float64, shape (n_rows, n_columns); a missing cell is NaN.

    Raises DataError for the first cell that holds text.
    """
    block = table[list(columns)]
    if all(pd.api.types.is_any_real_numeric_dtype(dtype) for dtype in block.dtypes):
        return block.to_numpy(dtype=np.float64, na_value=np.nan)
    text = as_text(block.to_numpy(dtype=object, na_value="").ravel())
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
    text = as_text(column.to_numpy(dtype=object, na_value=""))
    missing = text == "nan"
    is_number = np.array([_is_number(cell) for cell in text])
    if is_number.all() and not categorical:
        values = text.astype(np.float64)
        for row in column.index[np.isinf(values)][:1]:
            where: dict[str, Any] = {"file": path, "row": counted(row), "column": column.name}
            raise DataError("a hyper-parameter is infinite", **where)
        return pd.Series(values, index=column.index)
    if not categorical and (is_number & ~missing).any():
        row = int(np.argmin(is_number))
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
    return pd.Series(text, index=column.index, dtype=object).mask(missing).astype("category")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def as_text(cells: np.ndarray) -> np.ndarray:
    """Cells as stripped text, missing ones as "nan"; objects, shape (n_cells,) as given."""
    stripped = [str(cell).strip() for cell in cells]
    return np.array(["nan" if cell.lower() in MISSING else cell for cell in stripped], dtype=object)
