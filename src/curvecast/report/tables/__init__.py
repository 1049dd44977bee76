"""Tables of a run: makes each by its name and writes it as CSV and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.files import write_csv, write_text

Inputs = Mapping[str, Sequence[str | Path]]
# A table: its frame, and the Markdown made of it ("" where only a CSV file is written).
Table = tuple[pd.DataFrame, str]

# The module below this package and its function that make a table and what belongs to it. The
# function takes `inputs` (lists of files by name) and `params`, and returns tables by name.
TABLES: Mapping[str, str] = {
    "r2": "accuracy.r2_tables",
    "ablation": "accuracy.experiment_tables",
    "training_size": "accuracy.training_size_tables",
    "depth": "accuracy.experiment_tables",
    "task_a": "task_a.task_a_tables",
    "published": "published.published_tables",
    "datasets": "data.datasets_tables",
    "timings": "data.timings_tables",
    "speedup_sequential": "speedups.speedup_tables",
    "speedup_hyperband": "speedups.speedup_tables",
    "stopping_timings": "speedups.stopping_timings_tables",
    "studies": "studies.studies_tables",
    "study_comparison": "studies.study_comparison_tables",
    "tuning": "studies.tuning_tables",
    "networks": "networks.networks_tables",
    "effects": "studies.effects_tables",
    "metaqnn": "studies.metaqnn_tables",
}


def module_of(name: str) -> str:
    """The module that makes a table, for the code digest of its job."""
    return f"{__name__}.{TABLES[name].partition('.')[0]}"


def make(name: str, inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of a name of `TABLES`: frame and Markdown by the name of the output."""
    function = getattr(import_module(module_of(name)), TABLES[name].partition(".")[2])
    tables: dict[str, Table] = function(inputs, {"name": name, **params})
    return tables


def write(tables: Mapping[str, Table], outputs: Mapping[str, Sequence[str | Path]]) -> None:
    """Write tables to the files given for each name: the frame to .csv, the Markdown to .md."""
    for name, (frame, markdown) in tables.items():
        for path in outputs[name]:
            if Path(path).suffix == ".csv":
                write_csv(frame, path)
            else:
                write_text(markdown, path)
