"""Makes the tables and the figures of a run by their names, and writes them.

A function that makes them takes what it names of a rule's inputs and parameters. An input is read
by the `READERS` of the function's module; where these do not name it, it is one frame of all its
files, which the run itself wrote unless the input is called `published`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.files import read_csv, read_parquet, write_csv, write_text

Files = Sequence[str | Path]

# The module below tables/ and its function, which returns pairs of a frame and its Markdown ("" for
# none) by the names of the outputs.
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
# The module below figures/ whose functions draw the outputs that have their names.
FIGURES: Mapping[str, str] = {
    "r2": "accuracy",
    "ablation": "accuracy",
    "training_size": "accuracy",
    "ranks": "accuracy",
    "coverage": "accuracy",
    "reliability": "accuracy",
    "predictions": "predictions",
    "stopping": "stopping",
    "hyperband": "stopping",
    "stopped": "stopping",
    "study": "studies",
    "learning_curves": "studies",
    "regret": "studies",
    "network": "studies",
    "layer_search": "layer_search",
}


def module_of(kind: str, name: str) -> str:
    """The module that makes a "table" or "figure", for the code digest of its job."""
    module = (TABLES if kind == "table" else FIGURES)[name].partition(".")[0]
    return f"curvecast.report.{kind}s.{module}"


def make(
    kind: str,
    name: str,
    outputs: Iterable[str],
    inputs: Mapping[str, Files],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """What the rule of a `kind` with a `name` makes, by the names of its outputs."""
    module = import_module(module_of(kind, name))
    makers = outputs if kind == "figure" else [TABLES[name].partition(".")[2]]
    functions = {maker: getattr(module, maker) for maker in makers}
    named = {maker: signature(function).parameters for maker, function in functions.items()}
    given, readers = {"name": name, **params}, getattr(module, "READERS", {})
    for key in set().union(*named.values()) & set(inputs):
        given[key] = readers.get(key, partial(_frame, own=key != "published"))(inputs[key])
    made = {m: f(**{key: given[key] for key in named[m]}) for m, f in functions.items()}
    return made if kind == "figure" else next(iter(made.values()))


def _frame(files: Files, own: bool) -> pd.DataFrame:
    frames = [
        read_csv(file, own=own) if Path(file).suffix == ".csv" else read_parquet(file)[0]
        for file in files
    ]
    return pd.concat(frames, ignore_index=True)


def write(kind: str, made: Mapping[str, Any], outputs: Mapping[str, Files]) -> None:
    """Write what `make` returns to the files of each output: .csv and .md, or .svg and .png."""
    for name, content in made.items():
        if kind == "figure":
            from curvecast.report.figures import style  # matplotlib takes a second to import

            style.save(content, Path(outputs[name][0]).with_suffix(""))
            continue
        frame, markdown = content
        for path in outputs[name]:
            if Path(path).suffix == ".csv":
                write_csv(frame, path, sealed=True)
            else:
                write_text(markdown, path)
