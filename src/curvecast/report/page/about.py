"""Describes a run for the report: the parts of the configuration that a reader needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from curvecast.curves import collection_of
from curvecast.data import registry as datasets

_MANY = 8
_EXPERIMENTS = {
    "ablation": "ablation",
    "training_size": "training size",
    "depth": "depth",
    "task_a": "Task A",
    "stopping": "early stopping",
    "saved_models": "saved predictors",
}


def sources(registry: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Licence, citation and description of data sets, "" where a stanza lacks one."""
    keys = ("licence", "citation", "description")
    return {
        name: {key: " ".join(str(registry[name].get(key, "")).split()) for key in keys}
        for name in names
    }


def facts(config: Any, usable: Sequence[str], registry: Mapping[str, Any]) -> dict[str, str]:
    """Lines about a run on the data sets `usable`: data, predictors, protocol, experiments."""
    protocol = config.protocol
    seen = [f"{100 * fraction:g} %" for fraction in protocol.fractions]
    seen += [f"epoch {tau}" for tau in protocol.taus]
    lines = {
        "data sets": _names(usable),
        "predictors": ", ".join(config.models),
        "protocol": (
            f"{protocol.n_train} training runs per split, all others for testing; "
            f"{protocol.repeats} random splits, the same for all predictors; "
            f"{', '.join(seen)} of the curve seen"
        ),
    }
    for name, title in _EXPERIMENTS.items():
        section = getattr(config, name)
        wanted = datasets.expand(section.datasets, registry)
        used = [dataset for dataset in usable if dataset in wanted]
        models = section.predictors if name == "stopping" else section.models
        if used and models:
            lines[title] = f"{', '.join(models)} on {_names(used)}"
    if config.studies:
        lines["studies"] = ", ".join(config.studies)
    return lines


def _names(names: Sequence[str]) -> str:
    """Names of data sets, or how many there are of each collection where they are many."""
    if len(names) <= _MANY:
        return ", ".join(names)
    count = Counter(map(collection_of, names))
    return ", ".join(f"{number} of {name}" for name, number in count.items())
