"""Reads a table of runs (text, JSON lines or Parquet) and its cells as numbers or categories."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.files import DataError, read_parquet

STDIN = "-"
# Spellings of "nothing was recorded", compared in lower case.
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_DIVERGED = frozenset({"nan", "inf", "-inf", "infinity", "-infinity", "+inf"})
_PRINTED = (".txt", ".log")
_TEXT = (".csv", ".tsv", *_PRINTED)
_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_PACKED = (".gz", ".zip")
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16"}
_ENCODINGS |= {codecs.BOM_UTF16_BE: "utf-16"}
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*")


def kind_of(path: Path) -> str:
    """The suffix that says how a table is written, without that of its packing; "" if none does."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    known = (*_TEXT, *_LINES, *_PARQUET)
    return suffixes[-1] if suffixes and suffixes[-1] in known else ""


def read_table(path: Path, *, growing: bool = False, kind: str = "") -> pd.DataFrame:
    """The cells of a table as they are: text for a text file, typed columns otherwise.

    Text is separated by commas, semicolons, tabs or bars, as its header is; UTF-8, or UTF-16 with
    its mark; a decimal comma is read where the comma does not separate. Text and JSON lines may
    be packed (.gz, .zip). The index holds the row numbers as a person counts them: data rows from
    1.

    Parameters
    ----------
    growing : a program is writing the file: an incomplete last line is left out, and there may be
        no row yet.
    kind : suffix that says how the table is written; default: the file's.

    Raises DataError for a file that is missing, empty, cut off or of another kind, and for a
    header that has a name twice.
    """
    if not path.is_file():
        raise DataError("the file does not exist", file=path)
    kind = kind or kind_of(path)
    if not kind:
        raise DataError(
            f"the name does not end with {', '.join((*_TEXT, *_LINES))} or .parquet", file=path
        )
    if not growing and not path.stat().st_size:
        raise DataError("the file is empty", file=path)
    if kind in _PARQUET:
        return _counted(read_parquet(path, own=False)[0], path)
    text = _text(path.read_bytes(), path)
    if growing:
        text = text[: text.rfind("\n") + 1]
        if not text.strip():
            return pd.DataFrame()
    table = _lines(text, path) if kind in _LINES else _separated(text, path)
    return table if growing and not len(table) else _counted(table, path)


def read_or_header(path: Path) -> pd.DataFrame:
    """A table as `read_table`; of printed text (.log, .txt) that is none, its first line alone.

    Raises DataError as `read_table` does for any other file.
    """
    try:
        return read_table(path)
    except DataError:
        if kind_of(path) not in _PRINTED:
            raise
        return pd.DataFrame(columns=pd.Index(dict.fromkeys(header_of(path))))


def header_of(path: Path) -> list[str]:
    """Names of the columns of a table, or of what the first of JSON lines holds.

    Of a text file only the first line is read, so text that is no table gives names too.
    """
    if kind_of(path) in _PARQUET or path.suffix.lower() in _PACKED:
        return list(read_table(path).columns)
    with path.open("rb") as stream:
        content = stream.readline()
    code = next((code for mark, code in _ENCODINGS.items() if content.startswith(mark)), "utf-8")
    line = content.decode(code, errors="ignore").strip()
    if line.startswith("{"):
        return [name.strip(' "}') for name in re.split("[,{:]", line)]
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=_separator(line)), [])]
    except csv.Error:
        return []


def _separator(line: str) -> str:
    return max(",;\t|", key=lambda m: len(next(csv.reader([line], delimiter=m), [])))


def read_stream(path: Path) -> pd.DataFrame:
    """A table from standard input (`-`) or a pipe, CSV or JSON lines; as `read_table`."""
    piped = path.name != STDIN
    content = path.read_bytes() if piped else sys.stdin.buffer.read()
    path = path if piped else Path("stdin")
    text = _text(content, path)
    if not text.strip():
        raise DataError("nothing came in", file=path)
    return _counted(_lines(text, path) if text.startswith("{") else _separated(text, path), path)


def _counted(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with the rows that a person counts; its header is checked."""
    if not len(table):
        raise DataError("the file has a header but no data rows", file=path)
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    table.index = pd.RangeIndex(1, len(table) + 1)
    doubled = table.columns[table.columns.duplicated()]
    if len(doubled):
        raise DataError("the header has this column twice", file=path, column=doubled[0])
    return table


def _text(content: bytes, path: Path) -> str:
    """The text of a file, unpacked and decoded."""
    try:
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        elif content.startswith(_ZIP):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = archive.namelist()
                if len(names) != 1:
                    raise DataError(f"the archive holds {len(names)} files, not one", file=path)
                content = archive.read(names[0])
        marks = (code for mark, code in _ENCODINGS.items() if content.startswith(mark))
        return content.decode(next(marks, "utf-8"))
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise DataError(f"not a complete table (line {line}: {e})", file=path) from e
    except DataError:
        raise
    except (
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        zipfile.BadZipFile,
        RuntimeError,
        ValueError,
    ) as e:
        raise DataError(f"not a complete table ({e})", file=path) from e


def _lines(text: str, path: Path) -> pd.DataFrame:
    """A table of one JSON object per line, nested ones as `outer.inner`."""
    rows = []
    # Not splitlines: JSON may hold other ends of lines, as they are, in a text.
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            # NaN as text: in a table, NaN is what a row does not have.
            row = json.loads(line, parse_constant=str) if line.strip() else None
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON ({error.msg})", file=path, row=number) from error
        if isinstance(row, dict):
            rows.append(row)
        elif row is not None:
            raise DataError("the line is not an object", file=path, row=number)
    return pd.json_normalize(rows)


def _separated(text: str, path: Path) -> pd.DataFrame:
    # Not pandas: it fills up rows that are cut off and renames columns that are there twice.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0"))
        raise DataError("a NUL character: is the file damaged?", file=path, row=counted(line))
    first = text.partition("\n")[0]
    try:
        separator = _separator(first)
        stream = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = [row for row in stream if row]
    except csv.Error as error:
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
    if separator != ",":
        rows = [[_with_point(cell) for cell in row] for row in rows]
    return pd.DataFrame(rows, columns=pd.Index(header), dtype=object)


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell


def require(columns: Iterable[Hashable], wanted: Iterable[str], path: Path) -> None:
    """Raise DataError for the first wanted column that is not among the columns."""
    present = set(columns)
    for column in wanted:
        if column not in present:
            raise DataError("the file has no such column", file=path, column=column)


def counted(row: object) -> str:
    """A data row's number, or the name of a run, for messages."""
    return row if isinstance(row, str) else f"{row} (header not counted)"


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
        position = next(i for i, cell in enumerate(text) if not is_number(cell))
        row, column = divmod(position, len(columns))
        raise DataError(
            f"{text[position]!r} is not a number",
            file=path,
            row=counted(table.index[row]),
            column=columns[column],
        ) from error


def floats(cells: pd.Series) -> np.ndarray | None:
    """Cells of a curve as float64, None where one is text; shape (n_cells,).

    An empty cell is NaN, not logged; a NaN that was logged, and any infinity, is inf: diverged.
    """
    if pd.api.types.is_bool_dtype(cells.dtype):
        return None
    if pd.api.types.is_numeric_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isinf(values), np.inf, values)
    text = cells.astype(object).where(cells.notna(), "").astype(str).str.strip().str.lower()
    diverged = text.isin(_DIVERGED).to_numpy()
    text = text.where(~text.isin(MISSING | _DIVERGED), "nan")
    try:
        values = text.to_numpy(dtype=object).astype(np.float64)
    except ValueError:
        return None
    return np.where(diverged, np.inf, values)


def logged(table: pd.DataFrame, columns: Sequence[str], path: Path) -> np.ndarray:
    """Columns of a curve as `floats`, shape (n_rows, n_columns); DataError as in `numbers`."""
    arrays = [floats(table[column]) for column in columns]
    if any(values is None for values in arrays):
        return numbers(table, columns, path)
    return np.column_stack([values for values in arrays if values is not None])


def setting(column: pd.Series, path: Path, *, categorical: bool) -> pd.Series:
    """A hyper-parameter's column as float64, or as a categorical where it holds text.

    Raises DataError for a column that mixes numbers and text, that holds an infinite number, or
    that has another text in most rows.
    """
    text = as_text(column.to_numpy(dtype=object, na_value=""))
    missing = text == "nan"
    numeric = np.array([is_number(cell) for cell in text])
    if numeric.all() and not categorical:
        values = text.astype(np.float64)
        for row in column.index[np.isinf(values)][:1]:
            where: dict[str, Any] = {"file": path, "row": counted(row), "column": column.name}
            raise DataError("a hyper-parameter is infinite", **where)
        return pd.Series(values, index=column.index)
    if not categorical and (numeric & ~missing).any():
        row = int(np.argmin(numeric))
        raise DataError(
            f"{text[row]!r} is text in a column of numbers (list the column under `categorical` "
            "if its numbers are names)",
            file=path,
            row=counted(column.index[row]),
            column=column.name,
        )
    if not categorical and text_of_its_own(text[~missing]):
        raise DataError(
            "most runs have a text of their own here: name the column as `id` or under `ignore`",
            file=path,
            column=column.name,
        )
    if {cell.lower() for cell in text[~missing]} <= {"true", "false"}:
        text = np.array([cell.capitalize() for cell in text], dtype=object)
    return pd.Series(text, index=column.index, dtype=object).mask(missing).astype("category")


def flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A nested mapping as `outer.inner` to value; lists become text, None is left out."""
    out: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{before}{key}.")
        elif isinstance(value, bool | list | tuple):
            out[f"{before}{key}"] = str(value)
        elif value is not None:
            out[f"{before}{key}"] = value
    return out


def text_of_its_own(text: np.ndarray) -> bool:
    """Whether most runs have a text that no other has: ten and more of them, or sentences."""
    n_values = len(np.unique(text))
    sentences = any(len(cell.split()) > 2 for cell in text)
    return (n_values >= 10 or (n_values > 1 and sentences)) and 2 * n_values > len(text)


def is_number(cell: str) -> bool:
    """Whether Python reads the text as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def as_text(cells: np.ndarray) -> np.ndarray:
    """Cells as stripped text, missing ones as "nan"; objects, shape (n_cells,) as given."""
    stripped = [str(cell).strip() for cell in cells]
    return np.array(["nan" if cell.lower() in MISSING else cell for cell in stripped], dtype=object)
