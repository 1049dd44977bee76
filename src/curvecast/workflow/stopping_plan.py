"""Which early-stopping jobs a configuration makes, and what each of them needs to know.

Per data set: a sequential search per predictor, a Hyperband study per predictor, the online
search, and the rules without a model. They are jobs of their own because each has its own
source files and its own keys of the configuration: a change reruns what it changes.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curvecast.curves import DataError
from curvecast.data import registry as datasets
from curvecast.predictors import module_of

Config = Mapping[str, Any]
SEARCHES = ("sequential", "hyperband", "online", "rules")
# Figures of the sequential and online searches of a collection.
FIGURES = ("tradeoff", "best_value", "reliability")


@dataclass(frozen=True)
class Search:
    """One job; `predictor` is empty for the online search and the rules without a model.

    `file` is its folder in the folder of the stage.
    """

    dataset: str
    search: str
    predictor: str = ""

    @property
    def file(self) -> str:
        return f"{self.dataset}/{self.search}" + (f"/{self.predictor}" if self.predictor else "")


def check(config: Config, registry: Mapping[str, Any]) -> None:
    """Find the mistakes that the schema cannot see.

    Raises
    ------
    DataError : an unknown data set or predictor, a pattern of `overrides` that fits nothing, or
        more Hyperbands left out than there are.
    """
    section = config["stopping"]
    datasets.expand(section["datasets"], registry)
    for pattern in section["overrides"]:
        datasets.expand([pattern], registry)
    for one in (section, *section["overrides"].values()):
        hyperband = one.get("hyperband", {})
        for predictor in (*one.get("predictors", ()), *hyperband.get("predictors", ())):
            module_of(predictor)
    for name in datasets.expand(section["datasets"], registry):
        hyperband = section_of(config, name)["hyperband"]
        if hyperband["predictors"] and hyperband["settled"] >= hyperband["hyperbands"]:
            raise DataError(
                f"stopping.hyperband.settled is {hyperband['settled']}, there are only "
                f"{hyperband['hyperbands']} Hyperbands"
            )


def searches(config: Config, usable: Sequence[str], registry: Mapping[str, Any]) -> list[Search]:
    """All jobs on the data sets `usable`, those of a data set together."""
    wanted = datasets.expand(config["stopping"]["datasets"], registry)
    found = []
    for dataset in (name for name in usable if name in wanted):
        section = section_of(config, dataset)
        found += [Search(dataset, "sequential", name) for name in section["predictors"]]
        found += [Search(dataset, "hyperband", name) for name in section["hyperband"]["predictors"]]
        found += [Search(dataset, "online")] * section["online"]["run"]
        found.append(Search(dataset, "rules"))
    return found


def section_of(config: Config, dataset: str) -> dict[str, Any]:
    """The section `stopping` as it is for one data set, with the overrides that fit its name."""
    section = {k: v for k, v in config["stopping"].items() if k not in ("datasets", "overrides")}
    for pattern, override in config["stopping"]["overrides"].items():
        if fnmatch.fnmatch(dataset, pattern):
            for key, value in override.items():
                nested = isinstance(value, Mapping)
                section[key] = {**section[key], **value} if nested else value
    return section


def sequential_of(config: Config, dataset: str) -> dict[str, Any]:
    """What a sequential job has to know: the arguments of `study.SequentialPlan.of`."""
    section = section_of(config, dataset)
    names = ("n_full", "orderings", "deltas", "settings", "every_epoch_up_to")
    return {name: section[name] for name in names}


def rules_of(config: Config, dataset: str) -> dict[str, Any]:
    """The same for the rules without a model, which know no Delta: only what concerns them."""
    section = sequential_of(config, dataset)
    return {**section, "deltas": [], "settings": []}


def online_of(config: Config, dataset: str) -> dict[str, Any]:
    """What the online job has to know."""
    section = section_of(config, dataset)
    return {"orderings": section["orderings"], "deltas": section["online"]["deltas"]}


def hyperband_of(config: Config, dataset: str) -> dict[str, Any]:
    """What a Hyperband job has to know: the arguments of `hyperband_study.HyperbandPlan.of`."""
    section = dict(section_of(config, dataset)["hyperband"])
    section.pop("predictors")
    return section


def words(found: Iterable[Search]) -> str:
    """How much work there is; "" for none."""
    found = list(found)
    if not found:
        return ""
    counts = {name: sum(job.search == name for job in found) for name in SEARCHES}
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    number = len({job.dataset for job in found})
    return f"early stopping: {number} data sets, {len(found)} jobs ({text})"
