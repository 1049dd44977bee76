"""The table of published R² values beside the values of this run.

resources/published/*_r2.csv hold the values (see the README there), resources/published/notes.csv
says what is known about differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import DataError
from curvecast.report.tables.markdown import Columns, Table, document, sections

READERS = {"published": lambda files: Path(files[0]).parent}
KEYS = ("dataset", "model", "features", "fraction", "depth", "n_train")
COLUMNS = (
    *KEYS,
    *("tau", "published", "published_se", "ours", "ours_se"),
    *("difference", "difference_se", "beyond_2se", "counts", "note", "source"),
)
NOT_EXPLAINED = "not explained"
# Keys of notes.csv.
NOTED = ("dataset", "model", "features", "fraction", "source")
# Where a source does not say which kernel its nu-SVR had, both of ours are compared.
_KERNELS = {"nusvr": ("nusvr_linear", "nusvr_rbf")}


def published_tables(ours: pd.DataFrame, published: Path) -> dict[str, Table]:
    """Our R² beside the values in the folder `published`."""
    frame = compare(ours, published)
    return {"published": (frame, text(frame))}


def read_columns(path: Path, columns: tuple[str, ...], **options: Any) -> pd.DataFrame:
    """A CSV file of resources/published. Raises DataError where one of `columns` is missing."""
    frame = pd.read_csv(path, **options)
    for column in columns:
        if column not in frame:
            raise DataError("missing column", file=path, column=column)
    return frame


def load(folder: str | Path) -> pd.DataFrame:
    """Read every `*_r2.csv` of a folder.

    Columns: `KEYS` (`depth` is NaN outside of the generalisation across depths), `r2`, `r2_se`
    (NaN where none was published), `reading_error` (standard error of reading the value from a
    figure, 0 for printed numbers) and `source`.

    Raises
    ------
    DataError : a missing column, or an R² that is not a number.
    """
    needed = (*KEYS, "r2", "r2_se", "reading_error", "source")
    frames = []
    for path in sorted(Path(folder).glob("*_r2.csv")):
        frame = read_columns(path, needed)
        for column in ("r2", "r2_se", "reading_error", "depth"):
            numbers = pd.to_numeric(frame[column], errors="coerce")
            bad = numbers.isna() & (frame[column].notna() | (column == "r2"))
            for row in np.flatnonzero(bad):
                text = f"{frame[column][row]!r} is not a number"
                raise DataError(text, file=path, row=int(row), column=column)
            frame[column] = numbers
        frames.append(frame[list(needed)])
    return pd.concat(frames, ignore_index=True)


def compare(summary: pd.DataFrame, folder: str | Path) -> pd.DataFrame:
    """Our R² beside every published one that was computed in this run: the columns `COLUMNS`.

    `summary` holds frames of `comparisons.summarise`, of the main protocol, the ablation and the
    depths; a cell that is in two of them counts once. `difference` = ours - published.
    `difference_se` joins both standard errors and the error of reading a figure; where no
    standard error was published, the published mean gets ours, as both are means of repeated
    splits of the same runs. `beyond_2se` tells whether |difference| is larger than twice that.
    `note` comes from notes.csv; "not explained" where nothing is known and the difference is
    beyond two standard errors. `counts` is true of one row per published number: of the kernel
    nearer to it where the source names none, and not of a number that another row repeats, such
    as a figure that shows those of a table.
    """
    merged = _merge(summary, load(folder))
    matched = merged[merged["ours"].notna()].copy()
    published_se = matched["r2_se"].fillna(matched["ours_se"])
    matched["difference"] = matched["ours"] - matched["r2"]
    matched["difference_se"] = np.sqrt(
        matched["ours_se"] ** 2 + published_se**2 + matched["reading_error"] ** 2
    )
    matched["beyond_2se"] = matched["difference"].abs() > 2 * matched["difference_se"]
    matched["counts"] = _counted_once(matched)
    matched = matched.rename(columns={"r2": "published", "r2_se": "published_se"})
    notes = load_notes(Path(folder) / "notes.csv", NOTED)
    known = pd.Series([note_of(row, notes) for row in matched.to_dict("records")], matched.index)
    matched["note"] = known.mask(matched["beyond_2se"] & (known == ""), NOT_EXPLAINED)
    return matched.sort_values([*KEYS, "source"], ignore_index=True)[list(COLUMNS)]


def _counted_once(rows: pd.DataFrame) -> pd.Series:
    """Whether a row stands for its published number; see `compare`."""
    cell = ["dataset", "features", "fraction", "depth", "n_train"]
    of_source = [*cell, "source", "published_model"]
    ordered = rows.assign(
        gap=rows["difference"].abs(), named=rows["model"] == rows["published_model"]
    ).sort_values(["named", "reading_error", "gap"], ascending=[False, True, True])
    first = ordered.groupby([*cell, "model"], dropna=False)["r2"].transform("first")
    equal = (ordered["r2"] - first).abs() <= ordered["reading_error"] + 1e-9
    again = ordered.duplicated([*cell, "model"]) & equal
    repeated = again.groupby([ordered[key] for key in of_source], dropna=False).transform("any")
    return (~repeated & ~ordered.duplicated(of_source)).reindex(rows.index)


def _merge(summary: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    expanded = published.assign(
        model=published["model"].map(lambda model: _KERNELS.get(model, (model,))),
        published_model=published["model"],
    ).explode("model", ignore_index=True)
    ours = summary.assign(depth=summary.get("depth", np.nan))
    ours = ours.drop_duplicates(list(KEYS)).rename(columns={"r2_mean": "ours", "r2_se": "ours_se"})
    # Fractions are configured decimals: compared as such, not as binary floats.
    for frame in (expanded, ours):
        frame["fraction"] = frame["fraction"].astype(float).round(6)
        frame["depth"] = frame["depth"].astype(float)
    return expanded.merge(ours[[*KEYS, "tau", "ours", "ours_se"]], on=list(KEYS), how="left")


def load_notes(path: Path, keys: tuple[str, ...]) -> pd.DataFrame:
    """Read what is known about published numbers: `keys`, of which an empty one is any, and `note`.

    Raises DataError for a missing column, or a row without a note.
    """
    notes = read_columns(path, (*keys, "note"), dtype=str, keep_default_na=False)
    for row in np.flatnonzero(notes["note"] == ""):
        raise DataError("no note", file=path, row=int(row), column="note")
    return notes


def note_of(row: Mapping[Any, Any], notes: pd.DataFrame) -> str:
    """All notes that apply to a row, in the order of the file; "" for none."""
    applies = pd.Series(True, index=notes.index)
    for key in notes.columns.drop("note"):
        value = f"{row[key]:g}" if isinstance(row[key], float) else row[key]
        applies &= notes[key].isin(["", value])
    return " ".join(notes["note"][applies])


def text(frame: pd.DataFrame) -> str:
    """The frame of `compare`, a table per source."""
    columns: Columns = {
        **{name: name for name in ("dataset", "model", "features", "fraction", "depth")},
        **{name: (name, f"{name}_se") for name in ("published", "ours", "difference")},
        **{"beyond 2 se": "beyond_2se", "note": "note"},
    }
    parts = sections(frame.sort_values("source", kind="stable"), ["source"], "{}", columns)
    once = frame[frame["counts"]]
    return document(
        "Published R² and ours",
        f"{int(once['beyond_2se'].sum())} of {len(once)} published numbers, each counted once, are "
        "more than two standard errors from ours; about one in twenty would be by chance alone. "
        "Where a source does not name the kernel of its ν-SVR, the nearer of ours counts. A note "
        f'says what is known about the cell; "{NOT_EXPLAINED}": a difference is beyond two '
        "standard errors and nothing is known.\n\n"
        "Difference: ours minus published, ± its standard error. Where no standard error was "
        "published, the published mean is given ours; a value read from a figure carries its "
        "reading error. Both means are over repeated splits of the same runs.",
        *parts,
    )
