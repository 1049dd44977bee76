"""Checks columns that nobody named: which can be settings, which are left out, which are series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.data.cells import as_text, is_number, text_of_its_own
from curvecast.data.stanza import Direction
from curvecast.files import DataError

_NO_NAME = re.compile(r"(Unnamed: \d+)?")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)
_CLOCK = re.compile(r"time|date|start|created|stamp|finish|end", re.I)
_METRIC = re.compile(
    r"acc|loss|err|score|metric|auc|f1|best|final|value|val_|test_|ppl|perplex", re.I
)
# Reasons that cost a number its meaning where they are overlooked.
_LATE, _COPIED = "known of finished runs alone", "a copy of the end of the curve"
_LOUD = (_LATE, _COPIED)
# Rank correlations with the end of the curve from which on a column is a copy of it, and of a
# column that is named as a metric; and the number of runs from which on ranks tell.
_COPY, _METRIC_COPY, _TELLING = 0.999, 0.95, 20


def expanded(names: Iterable[str], columns: Sequence[str]) -> list[str]:
    """Names in which `*` stands for anything as those of the columns that fit, in order.

    A name that fits none stays; a single `*` may fit none.
    """
    out: list[str] = []
    for name in names:
        pattern = "*" in name and name not in columns
        fitting = [c for c in columns if fnmatchcase(c, name) and c not in out] if pattern else []
        out += fitting or ([] if name == "*" else [name])
    return out


def refuse_series(columns: Sequence[str], pattern: str, epochs: Iterable[int], path: Path) -> None:
    """Raise DataError where undeclared columns seem to be values over epochs.

    These are three or more that differ in a number alone; two, where they are named as a metric or
    numbered as the curve is; and columns that fit the curve's `pattern` but for a number that is
    no whole one. `epochs` are the numbers in the names of the curve's columns.
    """
    before, _, after = pattern.partition("{epoch}")
    for column in columns:
        inner = column[len(before) : len(column) - len(after)]
        framed = (before or after) and column.startswith(before) and column.endswith(after)
        if framed and re.fullmatch(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", inner, re.I):
            problem = f"{inner} is no number of epochs (ignore the column, or name it otherwise)"
            raise DataError(problem, file=path, column=column)
    stems: dict[str, dict[int, str]] = {}
    for column in columns:
        for number in re.finditer(r"\d+", column):
            stem = f"{column[: number.start()]}{{epoch}}{column[number.end() :]}"
            stems.setdefault(stem, {})[int(number[0])] = column
    for stem, members in stems.items():
        like_a_curve = _METRIC.search(stem) or set(members) >= set(epochs)
        if len(members) > 2 or (len(members) == 2 and like_a_curve):
            first, last, any_of = min(members), max(members), stem.replace("{epoch}", "*")
            raise DataError(
                f"{len(members)} columns to {members[last]} differ in a number alone: declare them "
                f"as series ({stem}), as architecture or hyperparameters ({any_of}), or to be "
                f"ignored ({any_of})",
                file=path,
                column=members[first],
            )


def left_out(
    table: pd.DataFrame, values: np.ndarray, direction: Direction, columns: Sequence[str]
) -> tuple[set[str], list[str]]:
    """Undeclared columns that can be no setting, and remarks on them; `values` are the curves.

    A setting is known before a run starts. Out stay an index, dates, free text, what only
    finished runs have, and copies of the curve's end: a column that equals the final or the best
    value (also as 1 - x or in percent), or has nearly its ranks.
    """
    by_reason: dict[str, list[str]] = {}
    for column in columns:
        by_reason.setdefault(_why_not(table[column], values, direction), []).append(column)
    by_reason.pop("", None)
    notes = [
        f"{'LEFT OUT' if reason in _LOUD else 'left out'}, {reason}: "
        + ", ".join(name or "(no name)" for name in names)
        for reason, names in by_reason.items()
    ]
    return {column for names in by_reason.values() for column in names}, notes


def _why_not(column: pd.Series, values: np.ndarray, direction: Direction) -> str:
    text = as_text(column.to_numpy(dtype=object, na_value=""))
    filled, finished = text != "nan", np.isfinite(values[:, -1])
    if _NO_NAME.fullmatch(str(column.name)):
        return "a column without a name"
    if filled.any() and all(_DATE.fullmatch(cell) for cell in text[filled]):
        return "dates or times"
    running = ~finished
    if (
        running.any()
        and finished.sum() > 1
        and filled[finished].all()
        and not filled[running].any()
    ):
        return _LATE
    try:
        numbers = text.astype(np.float64)
    except ValueError:
        mixed = any(map(is_number, text[filled]))
        return "free text" if text_of_its_own(text[filled]) and not mixed else ""
    known = np.isfinite(numbers)
    if known.sum() >= 10 and known.all() and _counts(numbers):
        return "it counts the rows"
    if _CLOCK.search(str(column.name)) and known.any() and np.all(numbers[known] > 1e9):
        return "dates or times"
    return _COPIED if _copies(column, numbers, values, direction) else ""


def _counts(numbers: np.ndarray) -> bool:
    """Whether the numbers are 0, 1, 2, ... or 1, 2, 3, ..., in any order."""
    ordered = np.sort(numbers)
    return ordered[0] in (0, 1) and bool(np.all(np.diff(ordered) == 1))


def _copies(
    column: pd.Series, numbers: np.ndarray, values: np.ndarray, direction: Direction
) -> bool:
    """Whether the column equals the final or the best value, or is ranked as one."""
    rows = np.isfinite(values[:, -1]) & np.isfinite(numbers)
    if rows.sum() < 3 or len(np.unique(numbers[rows])) < 3:
        return False
    finite = np.where(np.isfinite(values[rows]), values[rows], np.nan)
    best = np.nanmax if direction == "maximize" else np.nanmin
    x, ends = numbers[rows], (finite[:, -1], best(finite, axis=1))
    with np.errstate(over="ignore"):
        same = [y for end in ends for y in (end, 1 - end, 100 * end, 100 - 100 * end, -end)]
    if any(np.allclose(x, y, rtol=1e-6, atol=1e-9) for y in same):
        return True
    if len(x) < _TELLING:
        return False
    limit = _METRIC_COPY if _METRIC.search(str(column.name)) else _COPY
    # takes a second to import, and every plan imports this module
    from scipy.stats import spearmanr

    return any(abs(spearmanr(x, end).statistic) > limit for end in ends if np.ptp(end) > 0)
