"""Figure of networks trained to the end: losses and scores over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from curvecast.curves import CurveSet
from curvecast.report.figures import Inputs, style

_PARTS = {"train": ("training", style.GREY), "val": ("validation", style.BLUE)}


def network_figures(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Figure]:
    """Losses of the repeats of one network; `params`: `network`."""
    runs = [CurveSet.from_parquet(path) for path in inputs["curves"]]
    return {"network": losses(runs, params["network"])}


@style.styled
def losses(runs: Sequence[CurveSet], title: str) -> Figure:
    """Every series that exists for training and validation, a line per repeat.

    Parameters
    ----------
    runs : one curve each, of the repeats of one network.
    """
    logs = [
        {_target(run): run.values[0], **{k: v[0] for k, v in run.series.items()}} for run in runs
    ]
    names = {key.removeprefix("val_") for key in logs[0] if f"train_{key[4:]}" in logs[0]}
    names = sorted(name for name in names if f"val_{name}" in logs[0])
    titles = [name.replace("_", " ") for name in names]
    figure, axes = style.panels(titles, columns=2, label="epoch")
    for axis, name in zip(axes, names, strict=True):
        for part, (_, colour) in _PARTS.items():
            for run, log in zip(runs, logs, strict=True):
                values = log[f"{part}_{name}"]
                axis.plot(run.epochs, np.where(np.isfinite(values), values, np.nan), color=colour)
        if not name.endswith("accuracy"):
            axis.set_yscale("log")
    style.heading(figure, title.replace("_", " "), size=9)
    style.legend(figure, {text: {"color": colour} for text, colour in _PARTS.values()})
    return figure


def _target(run: CurveSet) -> str:
    """The series that the curve itself is: the one of val_* whose partner is in the series."""
    partners = [f"val_{k[6:]}" for k in run.series if k.startswith("train_")]
    return next(name for name in partners if name not in run.series)
