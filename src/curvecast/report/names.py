"""Names in tables, figures and the report, and the order in which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from curvecast.predictors import ordered

FEATURE_ORDER = ("TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP")
_COLLECTIONS = {
    "baker": "Baker et al.",
    "lcbench": "LCBench",
    "lcbench_full": "LCBench (all logs)",
    "taskset": "TaskSet",
}


def in_order(names: Iterable[str], order: Sequence[str] | None = None) -> list[str]:
    """Distinct names, those in `order` (that of the models) first, the others by name."""
    order = ordered() if order is None else order
    distinct = set(names)
    return [n for n in order if n in distinct] + sorted(distinct - set(order))


def collection_title(collection: str) -> str:
    """The name of a collection in headings."""
    return _COLLECTIONS.get(collection, collection)
