"""Errors on LCBench's Task A beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curvecast.benchmark import task_a
from curvecast.report.tables import Inputs, Table


def task_a_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Errors of all variants; `params`: `folder` of the predictions."""
    predictions, metrics = task_a.load(params["folder"], inputs["predictions"])
    published = task_a.load_published(inputs["published"][0])
    frame = task_a.table(predictions, metrics, published)
    return {"task_a": (frame, task_a.markdown(frame))}
