"""Which trainings to the end a configuration asks for, and what data its tasks need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curvecast.curves import DataError
from curvecast.data import registry as datasets
from curvecast.studies.definitions import NetworkDefinition
from curvecast.validation import validated
from curvecast.workflow import study_plan as plan

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One training; `file` is its name in the folder of networks."""

    network: str
    repeat: int

    @property
    def file(self) -> str:
        return f"{self.network}/repeat={self.repeat}"


def definition_of(config: Config, name: str) -> dict[str, Any]:
    """The definition of a network, completed by that of its study.

    Raises
    ------
    DataError : no definition, an unknown key, a study or network that does not exist, or neither
        a study nor a configuration.
    """
    known = config["network_definitions"]
    if name not in known:
        raise DataError(f"unknown network {name!r}, network_definitions has: {', '.join(known)}")
    own = dict(known[name])
    validated(NetworkDefinition, own, f"network {name!r}")
    if "weights" in own and own["weights"] not in known:
        raise DataError(f"network {name!r}: weights of an unknown network {own['weights']!r}")
    if "study" in own:
        study = plan.definition_of(config, own["study"])
        if study["objective"] != "training":
            raise DataError(f"network {name!r}: study {own['study']!r} trains nothing")
        if "configuration_of" in study:
            own["taken"] = study["configuration_of"]
        options = {**study.get("task_options", {}), **own.get("task_options", {})}
        own = {k: study[k] for k in ("task", "data") if k in study} | own
        own["task_options"] = options
    return own


def jobs(config: Config, usable: Collection[str] | None = None) -> list[Job]:
    """Trainings to the end, without those whose data (or source's data) cannot be had."""
    return [
        Job(name, repeat)
        for name in config["networks"]
        if usable is None or set(_sources(config, name)) <= set(usable)
        for repeat in range(int(definition_of(config, name).get("repeats", 1)))
    ]


def sources_of(config: Config, name: str) -> tuple[list[str], list[str]]:
    """Studies and networks that a network is made from."""
    definition = definition_of(config, name)
    studies = [definition[key] for key in ("study", "taken") if key in definition]
    return studies, [definition["weights"]] if "weights" in definition else []


def task_data(config: Config) -> list[str]:
    """Data sets of kind `task` that studies and networks of a configuration read."""
    found = [data for name in config["studies"] for data in plan.data_of(config, name)]
    for name in config["networks"]:
        found += _sources(config, name)
    return list(dict.fromkeys(found))


def without_data(config: Config, usable: Collection[str]) -> list[str]:
    """Studies and networks that are left out because their data cannot be had."""
    studies = [n for n in config["studies"] if not set(plan.data_of(config, n)) <= set(usable)]
    kept = {job.network for job in jobs(config, usable)}
    return studies + [name for name in config["networks"] if name not in kept]


def without_trained(preflight: datasets.Preflight, left_out: Collection[str]) -> datasets.Preflight:
    """The preflight without the collections `trained/{study}` of studies that are left out."""
    gone = {f"{plan.TRAINED}/{name}" for name in left_out}
    return replace(
        preflight,
        usable=[name for name in preflight.usable if name not in gone],
        left_out=preflight.left_out | {n: [] for n in preflight.usable if n in gone},
    )


def check(config: Config, registry: Mapping[str, Any]) -> None:
    """Raise DataError for a wrong definition, or data that is not of kind `task`."""
    for name in config["studies"]:
        source = plan.definition_of(config, name).get("configuration_of", name)
        if source not in config["studies"]:
            raise DataError(f"study {name!r} needs study {source!r}, which is not in `studies`")
    for name in config["networks"]:
        definition_of(config, name)
        for study in sources_of(config, name)[0]:
            if study not in config["studies"]:
                raise DataError(
                    f"network {name!r} needs study {study!r}, which is not in `studies`"
                )
    for name in task_data(config):
        if registry.get(name, {}).get("kind") != "task":
            known = [key for key, stanza in registry.items() if stanza["kind"] == "task"]
            raise DataError(f"unknown data {name!r} of a task, known are: {', '.join(known)}")


def for_job(definition: Mapping[str, Any], registry: Mapping[str, Any]) -> dict[str, Any]:
    """What one job has to know of a definition: its stanza in place of the data set's name."""
    kept = {k: v for k, v in definition.items() if k not in ("repeats", "published")}
    if "data" in kept:
        kept["data"] = {"name": kept["data"], **datasets.for_reader(registry[kept["data"]])}
        kept["data"] |= {
            key: registry[definition["data"]][key] for key in ("description", "citation")
        }
    return kept


def _sources(config: Config, name: str) -> list[str]:
    """Data sets behind a network: its own, and those of what it is made from."""
    studies, networks = sources_of(config, name)
    definition = definition_of(config, name)
    found = [definition["data"]] if "data" in definition else []
    for study in studies:
        found += plan.data_of(config, study)
    for network in networks:
        found += _sources(config, network)
    return list(dict.fromkeys(found))


def notes(config: Config, jobs: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """What the table says of each network beside its scores: its data, the published row."""
    names = dict.fromkeys(job.network for job in jobs)
    return {
        name: {k: v for k, v in definition_of(config, name).items() if k in ("data", "published")}
        for name in names
    }


def words(jobs: Sequence[Job], left_out: Sequence[str]) -> str:
    """How much work there is, and what is left out; empty where there is neither."""
    names = {job.network for job in jobs}
    lines = [f"{len(names)} networks to the end: {len(jobs)} jobs"] * bool(jobs)
    if left_out:
        lines.append(f"LEFT OUT, because their data are missing: {', '.join(left_out)}")
    return "\n".join(lines)
