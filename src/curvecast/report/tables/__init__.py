"""Tables of a run: makes each by its name and writes it as CSV and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.curves import write_text

Inputs = Mapping[str, Sequence[str | Path]]
# A table: its frame, and the Markdown made of it ("" where only a CSV file is written).
Table = tuple[pd.DataFrame, str]

# The module below this package whose function of that name makes a table (and what goes with it).
# A function takes `inputs` (lists of files by name) and `params`, and returns tables by name.
TABLES: Mapping[str, str] = {
    "r2": "accuracy",
    "ablation": "accuracy",
    "training_size": "accuracy",
    "depth": "accuracy",
    "task_a": "task_a",
    "published": "published",
    "datasets": "data",
    "timings": "data",
    "speedup_sequential": "speedups",
    "speedup_hyperband": "speedups",
    "stopping_timings": "speedups",
    "studies": "studies",
    "study_comparison": "studies",
    "tuning": "studies",
    "networks": "networks",
    "effects": "studies",
}


def module_of(name: str) -> str:
    """The module that makes a table, for the code digest of its job."""
    return f"{__name__}.{TABLES[name]}"


def make(name: str, inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of a name of `TABLES`: frame and Markdown by the name of the output."""
    tables: dict[str, Table] = getattr(import_module(module_of(name)), f"{name}_tables")(
        inputs, params
    )
    return tables


def write(tables: Mapping[str, Table], outputs: Mapping[str, Sequence[str | Path]]) -> None:
    """Write tables to the files given for each name: the frame to .csv, the Markdown to .md."""
    from curvecast.report.tables.markdown import write_csv

    for name, (frame, markdown) in tables.items():
        for path in outputs[name]:
            if Path(path).suffix == ".csv":
                write_csv(frame, path)
            else:
                write_text(markdown, path)
