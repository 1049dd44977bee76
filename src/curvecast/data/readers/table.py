"""Reads a user's own table of runs, CSV or Parquet: a row per run, a column per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curvecast.curves import CurveSet
from curvecast.data import stanza as stanzas
from curvecast.data.cells import read_table
from curvecast.data.columns import Layout, assemble
from curvecast.validation import validated


class Stanza(Layout, stanzas.Stanza):
    """The keys are those of `Layout`."""


def read(name: str, stanza: Stanza, files: Sequence[Path]) -> CurveSet:
    """Read the data set of a stanza; errors as in `read_curves`."""
    table = read_table(files[0])
    return assemble(table, stanza, files[0], name=name, source=stanza.citation)


def read_curves(
    path: str | Path,
    curve_columns: str,
    direction: str,
    *,
    name: str = "",
    source: str = "",
    **layout: Any,
) -> CurveSet:
    """Read learning curves from a table with one row per run.

    Parameters
    ----------
    path : .csv, .tsv (also .csv.gz, ...) or .parquet.
    curve_columns : names of the columns of the curve: "acc_{epoch}" fits acc_1, acc_2, ...
    direction : "maximize" or "minimize".
    name, source : of the CurveSet; default: the file's name.
    layout : what the other columns mean: `id`, `architecture`, `ignore` and the further fields
        of `curvecast.data.columns.Layout`, which describes them.

    An empty cell, `nan` or `inf` in a curve is legal: the run diverged or ended there. It stays
    in the set; a run without a finite final value is never a target. An empty cell of a
    hyper-parameter is legal too (conditional spaces); predictors fill in the median.
    Epochs between columns (every fifth one, say) may be missing.

    Raises
    ------
    DataError : names the file, the column and the row. Rows are data rows counted from 1, the
        header not among them.
    """
    keys = {"curve_columns": curve_columns, "direction": direction, **layout}
    meaning = validated(Layout, keys, "", file=path)
    return assemble(read_table(Path(path)), meaning, Path(path), name=name, source=source)
