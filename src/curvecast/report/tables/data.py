"""Tables of the data sets and of the seconds of the predictors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curvecast.report.tables import Inputs, Table, markdown, results


def datasets_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """What each data set holds; `params`: `stanzas`, see `results.datasets`."""
    frame = results.datasets(inputs["curves"], params["stanzas"])
    return {"datasets": (frame, markdown.datasets(frame))}


def timings_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Seconds per model and data set; `params`: `folder` of the files."""
    frame = results.timings(params["folder"], inputs["timings"])
    return {"timings": (frame, markdown.timings(frame))}
