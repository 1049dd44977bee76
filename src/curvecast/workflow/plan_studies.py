"""Plan the studies and networks of a configuration: their jobs, files and definitions.

Real training and the tuning of predictors have one job per study, optimiser and seed; recorded
curves one per study, optimiser and data set, which holds all seeds. A network has one job per
repeat. A job gets its own study's definition without what other jobs are made of, so that a
further seed or data set reruns none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curvecast.curves import DataError
from curvecast.data import registry as datasets
from curvecast.predictors import module_of
from curvecast.predictors import registry as models
from curvecast.studies import samplers
from curvecast.studies.definitions import TASKS, early_of, settings_of
from curvecast.studies.early import label_of
from curvecast.workflow.config import Config

Definition = dict[str, Any]
# Folder of a job below that of the studies, per objective.
FOLDERS = {
    "training": "{study}/seed={seed}/{optimizer}",
    "prediction": "{study}/seed={seed}/{optimizer}",
    "recorded": "{study}/{dataset}/{optimizer}",
}
# The first part of the names of collections that studies with real training leave behind.
TRAINED = "trained"


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
        return FOLDERS[self.objective].format(**vars(self))


class Studies:
    """Jobs and files of the studies and networks of a configuration.

    Methods with an argument `wildcards` are input functions and parameters of rules.

    Attributes
    ----------
    searches : jobs of studies whose data can be had; known after `select`, as `trainings` are.
    trainings : the same of networks, as pairs of a network and its repeat.

    Raises
    ------
    DataError : a study or network that is not defined; a data set, predictor, study or network
        that a definition needs and that is unknown; two studies, or optimisers of one, whose
        rows no table could tell apart; a tuned model without its study.
    """

    def __init__(self, config: Config, registry: Mapping[str, Any]) -> None:
        self.config = config
        self.registry = registry
        self.results = config.results.rstrip("/")
        self.folder = f"{self.results}/studies"
        self.searches: list[Search] = []
        self.trainings: list[tuple[str, int]] = []
        self._check_tuned()
        self._check_rows()
        self._check_needs()

    def study(self, name: str) -> Any:
        """Typed definition of a study."""
        return _named(self.config.study_definitions, name, "study")

    def definition(self, name: str) -> Definition:
        """Definition of a study as the configuration gives it."""
        return dict(self.study(name).model_dump(exclude_unset=True))

    def with_objective(self, objective: str) -> list[str]:
        """Names of the run's studies with an objective."""
        return [n for n in self.config.studies if self.study(n).objective == objective]

    def network(self, name: str) -> Definition:
        """Definition of a network, completed by that of its study."""
        networks = self.config.network_definitions
        own = _named(networks, name, "network").model_dump(exclude_unset=True)
        if own.get("weights", name) not in networks:
            raise DataError(f"network {name!r}: weights of an unknown network {own['weights']!r}")
        if "study" not in own:
            return dict(own)
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
        return model if study is None else str(self.study(study).model)

    def _check_tuned(self) -> None:
        for model, study in self.config.tuned_models.items():
            if model in models():
                raise DataError(f"tuned_models: {model!r} is a model already, choose another name")
            if study not in self.config.studies:
                raise DataError(f"tuned_models: {model!r} needs {study!r} among the studies")
            if self.study(study).objective != "prediction":
                raise DataError(f"tuned_models: study {study!r} does not tune a predictor")

    def _check_rows(self) -> None:
        """Every row of the table of studies belongs to one study."""
        rows: dict[tuple[str, str], str] = {}
        for name in self.config.studies:
            study, definition = self.study(name), self.definition(name)
            settings_of(name, definition)
            early = early_of(definition)
            if study.objective == "prediction":
                module_of(study.model)
                if study.dataset not in datasets.expand(self.config.datasets, self.registry):
                    raise DataError(
                        f"study {name!r} tunes on {study.dataset!r}, which is not in datasets"
                    )
            for subject in datasets.expand(getattr(study, "datasets", ()), self.registry) or [name]:
                for row in ((subject, label_of(o, early)) for o in study.optimizers):
                    if rows.get(row) == name:
                        raise DataError(f"study {name!r} has {row[1]} on {row[0]} twice")
                    if rows.setdefault(row, name) != name:
                        raise DataError(
                            f"studies {rows[row]!r} and {name!r} both have {row[1]} on {row[0]}"
                        )

    def _check_needs(self) -> None:
        """Other studies and data that studies and networks are made from exist."""
        needs = {
            **{f"study {n!r}": self._sources(self.definition(n)) for n in self.config.studies},
            **{f"network {n!r}": self._sources(self.network(n)) for n in self.config.networks},
        }
        for who, studies in needs.items():
            for study in studies:
                if study not in self.config.studies:
                    raise DataError(f"{who} needs study {study!r}, which is not in `studies`")
        for name in self.task_data():
            if self.registry.get(name, {}).get("kind") != "task":
                known = [key for key, stanza in self.registry.items() if stanza["kind"] == "task"]
                raise DataError(f"unknown data {name!r} of a task, known are: {', '.join(known)}")

    def _sources(self, definition: Definition) -> list[str]:
        """Studies that a study or network is made from."""
        keys = ("study", "source", "configuration_of")
        return [definition[key] for key in keys if key in definition]

    def _data(self, definition: Definition) -> set[str]:
        """Data sets of kind `task` behind a study or network: its own, and those of its sources."""
        found = {definition["data"]} if "data" in definition else set()
        for study in self._sources(definition):
            found |= self._data(self.definition(study))
        return found | (self._data(self.network(w)) if (w := definition.get("weights")) else set())

    def _all_data(self) -> dict[str, set[str]]:
        """The same for every study and network of the run, by name."""
        studies = {name: self._data(self.definition(name)) for name in self.config.studies}
        return studies | {name: self._data(self.network(name)) for name in self.config.networks}

    def task_data(self) -> list[str]:
        """Data sets of kind `task` that the studies and networks read."""
        return sorted(set().union(*self._all_data().values()))

    def without_data(self, tasks: Collection[str]) -> list[str]:
        """Studies and networks that are left out where only `tasks` can be had."""
        return [name for name, needed in self._all_data().items() if not needed <= set(tasks)]

    def select(self, curves: Sequence[str], tasks: Collection[str]) -> None:
        """Plan the jobs on the data sets that can be had: collections of curves and raw data."""
        left_out = self.without_data(tasks)
        self.searches = [
            search
            for objective in FOLDERS
            for name in self.with_objective(objective)
            if name not in left_out
            for search in self._searches(name, curves)
        ]
        self.trainings = [
            (name, repeat)
            for name in self.config.networks
            if name not in left_out
            for repeat in range(self.config.network_definitions[name].repeats * self._seeds(name))
        ]

    def _seeds(self, network: str) -> int:
        """Seeds of the study behind a network, each of which has an incumbent."""
        study = self.network(network).get("study")
        return self.study(study).seeds if study else 1

    def _searches(self, name: str, curves: Sequence[str]) -> list[Search]:
        study = self.study(name)
        if study.objective == "recorded":
            return [
                Search(name, study.objective, optimizer, dataset=dataset)
                for dataset in datasets.expand(study.datasets, self.registry)
                for optimizer in study.optimizers
                if dataset in curves
            ]
        if study.objective == "prediction" and study.dataset not in curves:
            return []
        return [
            Search(name, study.objective, optimizer, seed=seed)
            for optimizer in study.optimizers
            for seed in range(study.seeds)
        ]

    def models_without_study(self, curves: Collection[str]) -> list[str]:
        """Tuned models whose study cannot run, because its data set is not among `curves`."""
        studies = self.config.tuned_models.items()
        return [model for model, study in studies if self.study(study).dataset not in curves]

    # --- what rules ask -------------------------------------------------------------------------

    def of(self, *objectives: str) -> list[str]:
        """Studies with one of the objectives that have jobs, each once."""
        return list(dict.fromkeys(s.study for s in self.searches if s.objective in objectives))

    def of_layers(self) -> list[str]:
        """Studies in a space of layers that have jobs."""
        spaces = {name: str(self.definition(name).get("space", "")) for name in self.of(*FOLDERS)}
        return [name for name, space in spaces.items() if space.startswith("layers.")]

    def files(
        self, name: str, *objectives: str, study: str = "", seed: int | None = None
    ) -> list[str]:
        """The file `name` of all jobs with one of the objectives, of one study or seed (all)."""
        return [
            f"{self.folder}/{search.folder}/{name}.parquet"
            for search in self.searches
            if search.objective in (objectives or FOLDERS)
            and study in ("", search.study)
            and seed in (None, search.seed)
        ]

    def network_files(self, file: str, network: str = "") -> list[str]:
        """A file of all trainings, of one network or of all."""
        return [
            f"{self.results}/networks/{name}/repeat={repeat}/{file}"
            for name, repeat in self.trainings
            if network in ("", name)
        ]

    def inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of one job of a study, but for its code."""
        definition = self.definition(wildcards.study)
        if definition["objective"] == "training":
            source = definition.get("configuration_of")
            files: dict[str, Any] = {
                "raw": self._raw(definition),
                "source": self.files("evaluations", study=source) if source else [],
            }
        else:
            dataset = getattr(wildcards, "dataset", definition.get("dataset"))
            files = {"curves": f"{self.results}/curves/{dataset}.parquet"}
        return {**files, "own": own_files(definition)}

    def for_job(self, wildcards: Any) -> Definition:
        """What one job has to know of its study's definition."""
        definition, own = self.definition(wildcards.study), ["optimizers", "configuration_of"]
        if hasattr(wildcards, "dataset"):
            definition["datasets"] = [wildcards.dataset]
        else:
            own.append("seeds")
        return self._with_stanza({k: v for k, v in definition.items() if k not in own})

    def threads(self, wildcards: Any) -> int:
        """Evaluations that a job of a study runs at once, on this machine."""
        study = self.study(wildcards.study)
        return max(1, study.workers) if study.ray is None else 1

    def network_inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of one training of a network, but for its code."""
        definition = self.network(wildcards.network)
        files: dict[str, Any] = {"own": own_files(definition), "raw": self._raw(definition)}
        seed = int(wildcards.repeat) % self._seeds(wildcards.network)
        for key, of in (("study", seed), ("source", None)):
            study = definition.get(key)
            files[key] = self.files("evaluations", study=study, seed=of) if study else []
        folder = f"{self.results}/networks/{definition.get('weights')}/repeat={wildcards.repeat}"
        return {
            **files,
            "weights": f"{folder}/weights.safetensors" if "weights" in definition else [],
        }

    def network_for_job(self, wildcards: Any) -> Definition:
        """What one training has to know of its network's definition."""
        definition = self.network(wildcards.network)
        own = ("repeats", "published")
        return self._with_stanza({k: v for k, v in definition.items() if k not in own})

    def notes(self) -> dict[str, Definition]:
        """What the table has to know of each network: its data, study seeds, the published row."""
        names = dict.fromkeys(name for name, _ in self.trainings)
        keys = ("data", "published")
        return {
            n: {k: v for k, v in self.network(n).items() if k in keys}
            | {"study_seeds": self._seeds(n)}
            for n in names
        }

    def _raw(self, definition: Definition) -> list[str]:
        """Raw files that a task trains on."""
        stanza = self.registry[definition["data"]] if "data" in definition else {"files": []}
        files = datasets.files_of(stanza)
        return [str(file.destination(f"{self.results}/raw")) for file in files]

    def _with_stanza(self, definition: Definition) -> Definition:
        """The definition with the stanza of its data in place of the name."""
        if "data" not in definition:
            return definition
        stanza = self.registry[definition["data"]]
        shown = {key: stanza[key] for key in ("description", "citation")}
        data = {"name": definition["data"], **datasets.for_reader(stanza), **shown}
        return {**definition, "data": data}

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
            number = len({name for name, _ in self.trainings})
            lines.append(f"{number} networks to the end: {len(self.trainings)} jobs")
        if left_out:
            lines.append(f"LEFT OUT, because their data are missing: {', '.join(left_out)}")
        return "\n".join(lines)


def modules(definition: Mapping[str, Any], optimizer: str = "") -> list[str]:
    """Modules behind a job that no import of `studies.jobs` names: sampler, task, space, ..."""
    found = ["curvecast.studies.jobs", *([samplers.module_of(optimizer)] if optimizer else [])]
    if "task" in definition:
        module = TASKS.get(definition["task"], definition["task"]).partition(":")[0]
        found += [module] if module.startswith("curvecast.") else []
    if "model" in definition:
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


def trained_stanzas(config: Config) -> dict[str, dict[str, Any]]:
    """Stanzas of the collections `trained/{study}` that the studies of the run leave behind."""
    return {
        f"{TRAINED}/{name}": {
            "reader": "curveset",
            "complete": True,
            "description": f"runs of the study {name}",
            "file": {"made": f"{config.results.rstrip('/')}/studies/{name}/curves.parquet"},
        }
        for name in config.studies
        if _named(config.study_definitions, name, "study").objective == "training"
    }


def _is_file(name: str) -> bool:
    return ".py:" in name or Path(name).suffix == ".json"


def _named(definitions: Mapping[str, Any], name: str, kind: str) -> Any:
    """One definition. Raises DataError where there is none."""
    if name not in definitions:
        known = ", ".join(sorted(definitions))
        raise DataError(f"unknown {kind} {name!r}, {kind}_definitions has: {known}")
    return definitions[name]
