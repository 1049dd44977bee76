"""Describes a run for the report: the parts of the configuration that a reader needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from curvecast.benchmark.comparisons import largest
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
    """Lines about a run on the data sets `usable`: data, predictors, experiments."""
    lines = {"data sets": _names(usable), "predictors": ", ".join(config.models)}
    for name, title in _EXPERIMENTS.items():
        section = getattr(config, name)
        wanted = datasets.expand(section.datasets, registry)
        used = [dataset for dataset in usable if dataset in wanted]
        models = section.predictors if name == "stopping" else section.models
        models = ["all predictors" if model == "*" else model for model in models]
        if used and models:
            lines[title] = f"{', '.join(models)} on {_names(used)}"
    trained = {"studies": config.studies, "networks": config.networks}
    return lines | {name: ", ".join(names) for name, names in trained.items() if names}


def protocol(r2: pd.DataFrame, differences: pd.DataFrame) -> str:
    """The protocol that the tables `r2` and `differences` of a run were made by."""
    main = largest(r2)
    of_set = main.groupby("dataset")[["n_train", "repeats"]].max()
    sizes = [
        f"{repeats} splits with {runs} training runs on {sets} data set{'s' * (sets > 1)}"
        for (runs, repeats), sets in sorted(Counter(of_set.itertuples(index=False)).items())
    ]
    counts = largest(differences).drop_duplicates("dataset")["error"].value_counts()
    return (
        f"{', '.join(sizes)}, the same for all predictors. The splits share no training run and "
        f"have one test set on {counts.get('disjoint', 0)} of the data sets, and overlap on "
        f"{counts.get('Nadeau-Bengio', 0)}. "
        f"{', '.join(f'{100 * f:.3g} %' for f in sorted(set(main['fraction'])))} of the curve seen."
    )


def _names(names: Sequence[str]) -> str:
    """Names of data sets, or how many there are of each collection where they are many."""
    if len(names) <= _MANY:
        return ", ".join(names)
    count = Counter(map(collection_of, names))
    return ", ".join(f"{number} of {name}" for name, number in count.items())
