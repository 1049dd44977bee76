"""Figures of a run: makes each by its name and writes it as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Inputs = Mapping[str, Sequence[str | Path]]

# The module below this package whose function `{name}_figures` makes a figure and what belongs to
# it. The function takes `inputs` (lists of files by name) and `params`; it returns figures by name.
FIGURES: Mapping[str, str] = {
    "r2": "r2",
    "ablation": "r2",
    "training_size": "r2",
    "ranks": "ranks",
    "coverage": "coverage",
    "reliability": "coverage",
    "predictions": "predictions",
    "stopping": "stopping",
    "hyperband": "stopping",
    "stopped": "stopping",
    "study": "studies",
    "learning_curves": "studies",
    "regret": "studies",
    "network": "networks",
}


def module_of(name: str) -> str:
    """The module that makes a figure, for the code digest of its job."""
    return f"{__name__}.{FIGURES[name]}"


def make(name: str, inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of a name of `FIGURES` by the name of the output."""
    figures: dict[str, Figure] = getattr(import_module(module_of(name)), f"{name}_figures")(
        inputs, params
    )
    return figures


def write(figures: Mapping[str, Figure], outputs: Mapping[str, Sequence[str | Path]]) -> None:
    """Write figures; `outputs` gives for each name a .svg and a .png of one stem."""
    from curvecast.report.figures import style  # matplotlib takes a second to import

    for name, figure in figures.items():
        style.save(figure, Path(outputs[name][0]).with_suffix(""))
