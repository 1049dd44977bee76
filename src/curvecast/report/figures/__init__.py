"""Figures of a run: makes each by its name and writes it as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from curvecast.files import read_parquet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Files = Sequence[str | Path]

# The module below this package that draws the figures of a rule.
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


def module_of(name: str) -> str:
    """The module that makes a figure, for the code digest of its job."""
    return f"{__name__}.{FIGURES[name]}"


def make(
    name: str, outputs: Iterable[str], inputs: Mapping[str, Files], params: Mapping[str, Any]
) -> dict[str, Figure]:
    """The figures of a rule of `FIGURES` by the names of its outputs.

    The function of the module that has the name of an output draws it. Its arguments are those of
    `inputs` and `params` that it names. An input is read by the module's `READERS`; where these do
    not name it, it is one frame of all its files.
    """
    module = import_module(module_of(name))
    readers = getattr(module, "READERS", {})
    draws = {output: getattr(module, output) for output in outputs}
    named = {output: signature(draw).parameters for output, draw in draws.items()}
    given = dict(params)
    for key in set().union(*named.values()) & set(inputs):
        given[key] = readers.get(key, _frame)(inputs[key])
    return {output: draws[output](**{key: given[key] for key in named[output]}) for output in draws}


def _frame(files: Files) -> pd.DataFrame:
    frames = [
        pd.read_csv(file) if Path(file).suffix == ".csv" else read_parquet(file)[0]
        for file in files
    ]
    return pd.concat(frames, ignore_index=True)


def write(figures: Mapping[str, Figure], outputs: Mapping[str, Files]) -> None:
    """Write figures; `outputs` gives for each name a .svg and a .png of one stem."""
    from curvecast.report.figures import style  # matplotlib takes a second to import

    for name, figure in figures.items():
        style.save(figure, Path(outputs[name][0]).with_suffix(""))
