"""Names in tables, figures and the report, and the order in which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# The order of models in tables and in legends; others follow by name.
MODEL_ORDER = (
    "mean",
    "last_value",
    "ols",
    "ridge",
    "nusvr_linear",
    "nusvr_rbf",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "gp",
    "lce",
    "lcnet",
    "cnn",
    "lstm",
    "cnn_lstm",
    "ensemble",
)
FEATURE_ORDER = ("TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP")
_COLLECTIONS = {"baker": "Baker et al.", "lcbench": "LCBench", "lcbench_full": "LCBench (all logs)"}


def in_order(names: Iterable[str], order: Sequence[str] = MODEL_ORDER) -> list[str]:
    """Distinct names, those in `order` first and in that order, the others by name."""
    distinct = set(names)
    return [n for n in order if n in distinct] + sorted(distinct - set(order))


def collection_title(collection: str) -> str:
    """The name of a collection in headings."""
    return _COLLECTIONS.get(collection, collection)
