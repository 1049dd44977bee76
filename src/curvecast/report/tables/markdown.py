"""Makes Markdown of frames: number formats, columns, tables and documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.files import write_text

# Makes the text of a cell out of a row of a frame.
Cell = Callable[[Mapping[str, Any]], Any]
# Headings of a table with the column of the frame, or with what makes a cell out of a row.
Columns = Mapping[str, str | Cell]


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame with six significant digits; nothing half-written ever has the name."""
    write_text(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"), path)


def document(title: str, note: str, *sections: str) -> str:
    """A title, a paragraph and sections with a blank line between them."""
    return "\n".join([f"# {title}\n", *([f"{note}\n"] if note else []), *sections])


def table(frame: pd.DataFrame, columns: Columns | None = None) -> str:
    """A Markdown table of `columns` (all columns of the frame as they are); pipes are escaped."""
    columns = {str(name): name for name in frame} if columns is None else columns
    rows = [
        [cell(row) if callable(cell) else row[cell] for cell in columns.values()]
        for row in frame.to_dict("records")
    ]
    return "".join(map(_line, [columns, ["---"] * len(columns), *rows]))


def sections(
    frame: pd.DataFrame, by: Sequence[str], heading: str | Callable[..., str], columns: Columns
) -> list[str]:
    """A heading of the second level and a table per group of `by`.

    `heading` is a format of the group's names, or makes the heading out of the group's rows.
    """
    made = []
    for key, part in frame.groupby(list(by), sort=True):
        title = heading.format(*key) if isinstance(heading, str) else heading(*key, part)
        made.append(f"## {title}\n\n{table(part, columns)}")
    return made


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


# Numbers and cells


def number(value: float, digits: int = 3) -> str:
    """A number with fixed digits, three significant ones from 100 on, "" for NaN."""
    if np.isnan(value):
        return ""
    if abs(value) >= 100:
        return f"{value:.3g}"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def percent(value: float) -> str:
    """A share in per cent, "" for NaN."""
    return "" if np.isnan(value) else f"{100 * value:.0f} %"


def fixed(column: str, digits: int = 3) -> Cell:
    """A number with its digits."""
    return lambda row: number(row[column], digits)


def share(column: str) -> Cell:
    """A share in per cent."""
    return lambda row: percent(row[column])


def yes_no(column: str) -> Cell:
    """A truth value."""
    return lambda row: "yes" if row[column] else "no"


def with_error(value: str, error: str, digits: int = 3) -> Cell:
    """A value ± its standard error, where it has one."""
    return lambda row: plus_minus(row[value], row[error], digits)


def plus_minus(value: float, error: float, digits: int = 3) -> str:
    """A value ± its standard error, where that is not NaN."""
    return number(value, digits) + ("" if np.isnan(error) else f" ± {number(error, digits)}")


def interval(value: str, low: str, high: str, digits: int = 2) -> Cell:
    """A value and its interval in brackets, where it has one."""

    def cell(row: Mapping[str, Any]) -> str:
        middle, *ends = (number(row[column], digits) for column in (value, low, high))
        return middle if np.isnan(row[low]) else f"{middle} [{', '.join(ends)}]"

    return cell
