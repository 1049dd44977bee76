"""Plan the studies and networks of a configuration: their jobs, files and definitions.

Real training and the tuning of predictors have one job per study, optimiser and seed; recorded
curves one per study, optimiser and data set, which holds all seeds. A network has one job per
repeat. A job gets its own study's definition without what other jobs are made of, so that a
further seed or data set reruns none of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curvecast.curves import DataError
from curvecast.data import registry as datasets
from curvecast.predictors import module_of
from curvecast.predictors import registry as models
from curvecast.studies import samplers
from curvecast.studies.definitions import TASKS, NetworkDefinition, early_of, settings_of
from curvecast.validation import validated

Definition = dict[str, Any]
# The first part of the names of collections that studies with real training leave behind.
TRAINED = "trained"


@dataclass(frozen=True)
class Kind:
    """Studies with one objective, one rule of the workflow.

    Attributes
    ----------
    rule : name of the rule.
    folder : of a job below the folder of studies, with wildcards.
    files : Parquet files that a job leaves there.
    message : what Snakemake prints for a job.
    group : jobs of a cluster that travel together.
    """

    rule: str
    folder: str
    files: tuple[str, ...]
    message: str
    group: str | None = None


_SEED = "{study}/seed={seed}/{optimizer}"
_SEED_MESSAGE = "{wildcards.optimizer} of study {wildcards.study}, seed {wildcards.seed}"
KINDS = {
    "training": Kind("study", _SEED, ("evaluations", "curves"), _SEED_MESSAGE),
    "prediction": Kind("tuning", _SEED, ("evaluations",), _SEED_MESSAGE),
    "recorded": Kind(
        "replay",
        "{study}/{dataset}/{optimizer}",
        ("evaluations", "regret"),
        "{wildcards.optimizer} of study {wildcards.study} on {wildcards.dataset}",
        "replay",
    ),
}


@dataclass(frozen=True)
class Search:
    """One job of a study: a seed, or all seeds on the recorded curves of `dataset`."""

    study: str
    objective: str
    optimizer: str
    seed: int | None = None
    dataset: str | None = None

    @property
    def folder(self) -> str:
        """Folder of the job below that of the studies."""
        return KINDS[self.objective].folder.format(**vars(self))


@dataclass(frozen=True)
class Training:
    """One training of a network to the end."""

    network: str
    repeat: int

    @property
    def folder(self) -> str:
        """Folder of the job below that of the networks."""
        return f"{self.network}/repeat={self.repeat}"


class Studies:
    """Jobs and files of the studies and networks of a configuration.

    Methods with an argument `wildcards` are input functions and parameters of rules.

    Attributes
    ----------
    searches, trainings : the jobs whose data can be had, known after `select`.

    Raises
    ------
    DataError : a study or network that is not defined or defined wrongly; a data set, predictor,
        study or network that it needs and that is unknown; two studies whose rows no table could
        tell apart; a tuned model without its study.
    """

    def __init__(self, config: Any, registry: Mapping[str, Any]) -> None:
        self.config = config
        self.registry = registry
        self.folder = f"{config.results.rstrip('/')}/studies"
        self.networks_folder = f"{config.results.rstrip('/')}/networks"
        self.searches: list[Search] = []
        self.trainings: list[Training] = []
        self._check_tuned()
        self._check_studies()
        self._check_networks()

    # --- definitions ----------------------------------------------------------------------------

    def definition(self, study: str) -> Definition:
        """Definition of a study."""
        return _named(self.config.study_definitions, study, "study")

    def optimizers(self, study: str) -> list[str]:
        """Optimisers of a study, by default BOHB alone."""
        return list(self.definition(study).get("optimizers", ["bohb"]))

    def with_objective(self, objective: str) -> list[str]:
        """Names of the run's studies with an objective."""
        names = self.config.studies
        return [name for name in names if self.definition(name)["objective"] == objective]

    def network(self, name: str) -> Definition:
        """Definition of a network, completed by that of its study."""
        own = _named(self.config.network_definitions, name, "network")
        validated(NetworkDefinition, own, f"network {name!r}")
        if own.get("weights", name) not in self.config.network_definitions:
            raise DataError(f"network {name!r}: weights of an unknown network {own['weights']!r}")
        if "study" not in own:
            return own
        study = self.definition(own["study"])
        if study["objective"] != "training":
            raise DataError(f"network {name!r}: study {own['study']!r} trains nothing")
        if "configuration_of" in study:
            own["source"] = study["configuration_of"]
        options = {**study.get("task_options", {}), **own.get("task_options", {})}
        shared = {key: study[key] for key in ("task", "data") if key in study}
        return {**shared, **own, "task_options": options}

    def base_model(self, model: str) -> str:
        """The predictor behind a model: that of its study for a tuned one, else the model."""
        study = self.config.tuned_models.get(model)
        return model if study is None else str(self.definition(study)["model"])

    def _check_tuned(self) -> None:
        for model, study in self.config.tuned_models.items():
            if model in models():
                raise DataError(f"tuned_models: {model!r} is a model already, choose another name")
            if study not in self.config.studies:
                raise DataError(f"tuned_models: {model!r} needs {study!r} among the studies")
            if self.definition(study)["objective"] != "prediction":
                raise DataError(f"tuned_models: study {study!r} does not tune a predictor")

    def _check_studies(self) -> None:
        rows: dict[tuple[str, str], str] = {}
        for name in self.config.studies:
            definition = self.definition(name)
            settings_of(name, definition)
            early_of(definition)
            if definition["objective"] == "prediction":
                module_of(definition["model"])
                if definition["dataset"] not in self._expand(self.config.datasets):
                    raise DataError(
                        f"study {name!r} tunes on {definition['dataset']!r}, "
                        "which is not in datasets"
                    )
            self._check_needed(f"study {name!r}", [definition.get("configuration_of", name)])
            ended = "f-" if definition.get("stopping") else ""
            for subject in self._expand(definition.get("datasets", ())) or [name]:
                for row in ((subject, ended + o) for o in self.optimizers(name)):
                    if rows.setdefault(row, name) != name:
                        raise DataError(
                            f"studies {rows[row]!r} and {name!r} both have {row[1]} on {row[0]}"
                        )

    def _check_networks(self) -> None:
        for name in self.config.networks:
            definition = self.network(name)
            needed = [definition[key] for key in ("study", "source") if key in definition]
            self._check_needed(f"network {name!r}", needed)
        for name in self.task_data():
            if self.registry.get(name, {}).get("kind") != "task":
                known = [key for key, stanza in self.registry.items() if stanza["kind"] == "task"]
                raise DataError(f"unknown data {name!r} of a task, known are: {', '.join(known)}")

    def _check_needed(self, who: str, studies: Iterable[str]) -> None:
        for study in studies:
            if study not in self.config.studies:
                raise DataError(f"{who} needs study {study!r}, which is not in `studies`")

    def _expand(self, names: Iterable[str]) -> list[str]:
        return datasets.expand(names, self.registry)

    # --- data -----------------------------------------------------------------------------------

    def task_data(self) -> list[str]:
        """Data sets of kind `task` that the studies and networks read."""
        found = [data for name in self.config.studies for data in self._data_of_study(name)]
        found += [data for name in self.config.networks for data in self._data_of_network(name)]
        return list(dict.fromkeys(found))

    def _data_of_study(self, name: str) -> list[str]:
        definition = self.definition(name)
        source = definition.get("configuration_of")
        found = [] if source is None else self._data_of_study(source)
        return [definition["data"], *found] if "data" in definition else found

    def _data_of_network(self, name: str) -> list[str]:
        definition = self.network(name)
        found = [definition["data"]] if "data" in definition else []
        for key in ("study", "source"):
            found += self._data_of_study(definition[key]) if key in definition else []
        if "weights" in definition:
            found += self._data_of_network(definition["weights"])
        return found

    def without_data(self, tasks: Collection[str]) -> list[str]:
        """Studies and networks that are left out where only `tasks` can be had."""
        data = {name: self._data_of_study(name) for name in self.config.studies}
        data |= {name: self._data_of_network(name) for name in self.config.networks}
        return [name for name, needed in data.items() if not set(needed) <= set(tasks)]

    def select(self, curves: Sequence[str], tasks: Collection[str]) -> None:
        """Plan the jobs on the data sets that can be had: collections of curves and raw data."""
        left_out = self.without_data(tasks)
        self.searches = [
            search
            for objective in KINDS
            for name in self.with_objective(objective)
            if name not in left_out
            for search in self._searches(name, objective, curves)
        ]
        self.trainings = [
            Training(name, repeat)
            for name in self.config.networks
            if name not in left_out
            for repeat in range(int(self.network(name).get("repeats", 1)))
        ]

    def _searches(self, name: str, objective: str, curves: Sequence[str]) -> list[Search]:
        definition = self.definition(name)
        if objective == "recorded":
            return [
                Search(name, objective, optimizer, dataset=dataset)
                for dataset in self._expand(definition["datasets"])
                for optimizer in self.optimizers(name)
                if dataset in curves
            ]
        if objective == "prediction" and definition["dataset"] not in curves:
            return []
        return [
            Search(name, objective, optimizer, seed=seed)
            for optimizer in self.optimizers(name)
            for seed in range(int(definition.get("seeds", 1)))
        ]

    def models_without_study(self, curves: Collection[str]) -> list[str]:
        """Tuned models whose study cannot run, because its data set is not among `curves`."""
        studies = self.config.tuned_models.items()
        return [m for m, study in studies if self.definition(study)["dataset"] not in curves]

    # --- what rules ask -------------------------------------------------------------------------

    def of(self, *objectives: str) -> list[str]:
        """Studies with one of the objectives that have jobs, each once."""
        return list(dict.fromkeys(s.study for s in self.searches if s.objective in objectives))

    def files(self, name: str, *objectives: str, study: str = "") -> list[str]:
        """The file `name` of all jobs with one of the objectives (all), of one study or of all."""
        return [
            f"{self.folder}/{search.folder}/{name}.parquet"
            for search in self.searches
            if search.objective in (objectives or KINDS) and study in ("", search.study)
        ]

    def network_files(self, name: str, network: str = "") -> list[str]:
        """The file `name` of all trainings, of one network or of all."""
        return [
            f"{self.networks_folder}/{training.folder}/{name}"
            for training in self.trainings
            if network in ("", training.network)
        ]

    def names(self, objective: str) -> str:
        """Regular expression of the studies with an objective; of none where there is none."""
        return "|".join(map(re.escape, self.with_objective(objective))) or "(?!)"

    def inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of one job of a study, but for its code."""
        definition = self.definition(wildcards.study)
        files: dict[str, Any] = {"own": own_files(definition)}
        if definition["objective"] == "training":
            source = definition.get("configuration_of")
            files["raw"] = self._raw(definition)
            files["source"] = self.files("evaluations", study=source) if source else []
        else:
            dataset = getattr(wildcards, "dataset", definition.get("dataset"))
            files["curves"] = f"{self.config.results.rstrip('/')}/curves/{dataset}.parquet"
        return files

    def for_job(self, wildcards: Any) -> Definition:
        """What one job has to know of its study's definition."""
        own = ("optimizers", "configuration_of")
        kept = {k: v for k, v in self.definition(wildcards.study).items() if k not in own}
        if not hasattr(wildcards, "dataset"):
            kept.pop("seeds", None)
        else:
            kept["datasets"] = [wildcards.dataset]
        return self._with_stanza(kept)

    def threads(self, wildcards: Any) -> int:
        """Evaluations that a job of a study runs at once."""
        return max(1, self.definition(wildcards.study).get("workers", 1))

    def network_inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of one training of a network, but for its code."""
        definition = self.network(wildcards.network)
        files: dict[str, Any] = {"own": own_files(definition), "raw": self._raw(definition)}
        for key in ("study", "source"):
            study = definition.get(key)
            files[key] = self.files("evaluations", "training", study=study) if study else []
        source = definition.get("weights")
        weights = f"{self.networks_folder}/{source}/repeat={wildcards.repeat}/weights.npz"
        files["weights"] = weights if source else []
        return files

    def network_for_job(self, wildcards: Any) -> Definition:
        """What one training has to know of its network's definition."""
        own = ("repeats", "published")
        definition = self.network(wildcards.network)
        return self._with_stanza({k: v for k, v in definition.items() if k not in own})

    def notes(self) -> dict[str, Definition]:
        """What the table shows of each network beside its scores: its data, the published row."""
        names = dict.fromkeys(training.network for training in self.trainings)
        keys = ("data", "published")
        return {n: {k: v for k, v in self.network(n).items() if k in keys} for n in names}

    def _raw(self, definition: Mapping[str, Any]) -> list[str]:
        """Raw files that a task trains on."""
        stanza = self.registry[definition["data"]] if "data" in definition else {"files": []}
        raw = f"{self.config.results.rstrip('/')}/raw"
        return [str(file.destination(raw)) for file in datasets.files_of(stanza)]

    def _with_stanza(self, definition: Definition) -> Definition:
        """The definition with the stanza of its data in place of the name."""
        if "data" in definition:
            stanza = self.registry[definition["data"]]
            shown = {key: stanza[key] for key in ("description", "citation")}
            data = {"name": definition["data"], **datasets.for_reader(stanza), **shown}
            return {**definition, "data": data}
        return definition

    def text(self, left_out: Sequence[str]) -> str:
        """How much work there is, and which studies and networks are left out; "" for nothing."""
        lines = []
        for study in dict.fromkeys(search.study for search in self.searches):
            jobs = [search for search in self.searches if search.study == study]
            factors: dict[str, set[object]] = {
                "data sets": {s.dataset for s in jobs if s.dataset is not None},
                "seeds": {s.seed for s in jobs if s.seed is not None},
                "optimisers": {s.optimizer for s in jobs},
            }
            product = " x ".join(f"{len(v)} {name}" for name, v in factors.items() if v)
            lines.append(f"study {study}: {product} = {len(jobs)} jobs")
        if self.trainings:
            number = len({training.network for training in self.trainings})
            lines.append(f"{number} networks to the end: {len(self.trainings)} jobs")
        if left_out:
            lines.append(f"LEFT OUT, because their data are missing: {', '.join(left_out)}")
        return "\n".join(lines)


def modules(definition: Mapping[str, Any]) -> list[str]:
    """Modules behind a study that no import of `studies.jobs` names: sampler, task, ..."""
    found = ["curvecast.studies.jobs"]
    if "objective" in definition:
        found += map(samplers.module_of, definition.get("optimizers", ["bohb"]))
    if "task" in definition:
        module = TASKS.get(definition["task"], definition["task"]).partition(":")[0]
        found += [module] if module.startswith("curvecast.") else []
    if definition.get("objective") == "prediction":
        found.append(module_of(definition["model"]))
    space = definition.get("space", "")
    if space and not _is_file(space):
        found.append(f"curvecast.studies.spaces.{space.partition('.')[0]}")
    if definition.get("stopping"):
        found.append(module_of(definition["stopping"].get("predictor", "gain_gp")))
    return found


def own_files(definition: Mapping[str, Any]) -> list[str]:
    """Files of the user's own that a study or network reads: its search space, its task."""
    named = [str(definition.get(key, "")) for key in ("space", "task")]
    return [f"{n.partition('.py:')[0]}.py" if ".py:" in n else n for n in named if _is_file(n)]


def trained_stanzas(config: Any) -> dict[str, dict[str, Any]]:
    """Stanzas of the collections `trained/{study}` that the studies of the run leave behind."""
    return {
        f"{TRAINED}/{name}": {
            "reader": "curveset",
            "complete": True,
            "description": f"runs of the study {name}",
            "file": {"made": f"{config.results.rstrip('/')}/studies/{name}/curves.parquet"},
        }
        for name in config.studies
        if _named(config.study_definitions, name, "study")["objective"] == "training"
    }


def _is_file(name: str) -> bool:
    return ".py:" in name or Path(name).suffix == ".json"


def _named(definitions: Mapping[str, Any], name: str, kind: str) -> Definition:
    """A copy of one definition. Raises DataError where there is none."""
    if name not in definitions:
        known = ", ".join(sorted(definitions))
        raise DataError(f"unknown {kind} {name!r}, {kind}_definitions has: {known}")
    return dict(definitions[name])
