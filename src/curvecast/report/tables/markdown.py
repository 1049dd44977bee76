"""Makes Markdown of frames: cells, tables and documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

# What a cell shows of a row: a column, a value with its standard error (two columns) or with its
# interval (three columns), or what a function makes of the row.
Cell = str | tuple[str, ...] | Callable[[Mapping[str, Any]], str]
# A table of a run: its frame, and the Markdown made of it ("" where only a CSV file is written).
Table = tuple[pd.DataFrame, str]
# Columns of the frame, or cells by their heading.
Columns = Sequence[str] | Mapping[str, Cell]


def document(title: str, note: str, *sections: str) -> str:
    """A title, a paragraph and sections with a blank line between them."""
    return "\n".join([f"# {title}\n", f"{note}\n", *sections])


def table(frame: pd.DataFrame, columns: Columns | None = None) -> str:
    """A Markdown table of `columns` (without them, of the whole frame); pipes are escaped."""
    columns = frame.columns.tolist() if columns is None else columns
    cells = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    rows = [[show(row, cell) for cell in cells.values()] for row in frame.to_dict("records")]
    return "".join(map(_line, [cells, ["---"] * len(cells), *rows]))


def sections(frame: pd.DataFrame, by: Sequence[str], heading: str, columns: Columns) -> list[str]:
    """A heading of the second level (a format of its names) and a table per group of `by`.

    Groups stand in the order of the frame.
    """
    return [
        f"## {heading.format(*key)}\n\n{table(part, columns)}"
        for key, part in frame.groupby(list(by), sort=False)
    ]


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def show(row: Mapping[Any, Any], cell: Cell) -> str:
    """The text of a cell."""
    if callable(cell):
        return cell(row)
    if not isinstance(cell, tuple):
        return text(row[cell])
    value, *spread = (text(row[column]) for column in cell)
    if not all(spread):
        return value
    return f"{value} ± {spread[0]}" if len(spread) == 1 else f"{value} [{', '.join(spread)}]"


def text(value: Any) -> str:
    """A value: yes or no, four significant digits of a number, "" for what is missing."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value + 0.0:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)


def number(value: float, digits: int = 3) -> str:
    """A number with fixed digits, three significant ones from 100 on, "" for NaN."""
    if np.isnan(value):
        return ""
    if abs(value) >= 100:
        return f"{value:.3g}"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def plus_minus(value: float, error: float) -> str:
    """A value ± its standard error, where that is not NaN."""
    return number(value) + ("" if np.isnan(error) else f" ± {number(error)}")
