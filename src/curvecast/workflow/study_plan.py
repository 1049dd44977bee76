"""Which jobs the studies of a configuration make, and what each of them needs to know.

Real training and the tuning of predictors: one job per study, seed and optimiser. Recorded curves:
one job per study, data set and optimiser, which holds all seeds. What reaches a job as `params` is
its own study's definition without what other jobs are made of, so that a further seed or data set
reruns none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curvecast.curves import DataError
from curvecast.data import registry as datasets
from curvecast.predictors import module_of
from curvecast.predictors import registry as models
from curvecast.studies.definitions import TASKS, early_of, settings_of

Config = Mapping[str, Any]
Definition = Mapping[str, Any]
FIGURES = (
    "origin",
    "losses_over_time",
    "incumbent",
    "concurrency",
    "rank_correlation",
    "importance",
)
# The first part of the names of collections that studies with real training leave behind.
TRAINED = "trained"


@dataclass(frozen=True)
class Search:
    """One job: a seed that trains something, or all seeds on the recorded curves of `dataset`.

    `file` is its name in the folder of studies.
    """

    study: str
    optimizer: str
    seed: int | None = None
    dataset: str | None = None

    @property
    def file(self) -> str:
        if self.dataset is None:
            return f"{self.study}/seed={self.seed}/{self.optimizer}"
        return f"{self.study}/{self.dataset}/{self.optimizer}"


def check(config: Config, registry: Mapping[str, Any]) -> None:
    """Find the mistakes that the schema cannot see.

    Raises
    ------
    DataError : a study without a definition or with a wrong one, an unknown data set or predictor,
        a data set to tune on that the run does not have, two studies whose rows no table could
        tell apart, or a tuned model without its study.
    """
    _check_tuned(config)
    if not config["studies"]:
        return
    rows: dict[tuple[str, str], str] = {}
    for name in config["studies"]:
        definition = definition_of(config, name)
        for optimizer in optimizers_of(definition):
            settings_of(name, definition, optimizer)
        early_of(definition)
        if definition["objective"] == "prediction":
            module_of(definition["model"])
            if definition["dataset"] not in datasets.expand(config["datasets"], registry):
                raise DataError(
                    f"study {name!r} tunes on {definition['dataset']!r}, which is not in datasets"
                )
        ended = "f-" if definition.get("stopping") else ""
        subjects = datasets.expand(definition.get("datasets", ()), registry) or [name]
        for row in ((s, ended + o) for s in subjects for o in optimizers_of(definition)):
            if row in rows:
                raise DataError(
                    f"studies {rows[row]!r} and {name!r} both have {row[1]} on {row[0]}"
                )
            rows[row] = name


def _check_tuned(config: Config) -> None:
    for model, study in config["tuned_models"].items():
        if model in models():
            raise DataError(f"tuned_models: {model!r} is a model already, choose another name")
        if study not in config["studies"]:
            raise DataError(f"tuned_models: {model!r} needs {study!r} among the studies")
        if definition_of(config, study)["objective"] != "prediction":
            raise DataError(f"tuned_models: study {study!r} does not tune a predictor")


def base_model(config: Config, model: str) -> str:
    """The predictor behind a model: that of its study for a tuned one, else the model itself."""
    study = config["tuned_models"].get(model)
    return model if study is None else str(definition_of(config, study)["model"])


def definition_of(config: Config, name: str) -> Definition:
    """The definition of a study. Raises DataError where there is none."""
    if name not in config["study_definitions"]:
        known = ", ".join(sorted(config["study_definitions"]))
        raise DataError(f"unknown study {name!r}, study_definitions has: {known}")
    return dict(config["study_definitions"][name])


def optimizers_of(definition: Definition) -> list[str]:
    """The optimisers of a study, by default BOHB alone."""
    return list(definition.get("optimizers", ["bohb"]))


def trainings(config: Config, usable: Collection[str] = ()) -> list[Search]:
    """Jobs that really train, a study's own together; not those whose `data` cannot be had."""
    return [
        search
        for name in of_objective(config, "training")
        if set(data_of(config, name)) <= set(usable)
        for search in _seeds(config, name)
    ]


def data_of(config: Config, study: str) -> list[str]:
    """Data sets of kind `task` that a study needs, its own and its source's."""
    definition = definition_of(config, study)
    source = definition.get("configuration_of")
    found = [] if source is None else data_of(config, source)
    return [definition["data"], *found] if "data" in definition else found


def tunings(config: Config, usable: Sequence[str]) -> list[Search]:
    """Jobs that tune a predictor on one of the data sets `usable`, a study's own together."""
    return [
        search
        for name in of_objective(config, "prediction")
        if definition_of(config, name)["dataset"] in usable
        for search in _seeds(config, name)
    ]


def _seeds(config: Config, name: str) -> list[Search]:
    definition = definition_of(config, name)
    return [
        Search(name, optimizer, seed=seed)
        for optimizer in optimizers_of(definition)
        for seed in range(int(definition.get("seeds", 1)))
    ]


def models_without_study(config: Config, usable: Sequence[str]) -> list[str]:
    """Tuned models whose study cannot run, because its data set is not among `usable`."""
    return [
        model
        for model, study in config["tuned_models"].items()
        if definition_of(config, study)["dataset"] not in usable
    ]


def trained_stanzas(config: Config, folder: str) -> dict[str, dict[str, Any]]:
    """Stanzas of the collections `trained/{study}` that the studies of the run leave behind.

    Parameters
    ----------
    folder : of the studies' results.
    """
    return {
        f"{TRAINED}/{name}": {
            "reader": "curveset",
            "complete": True,
            "description": f"runs of the study {name}",
            "file": {"made": f"{folder}/{name}/curves.parquet"},
        }
        for name in of_objective(config, "training")
    }


def replays(config: Config, usable: Sequence[str], registry: Mapping[str, Any]) -> list[Search]:
    """Jobs on recorded curves, of the data sets `usable` only, a study's own together."""
    return [
        Search(name, optimizer, dataset=dataset)
        for name in of_objective(config, "recorded")
        for dataset in datasets.expand(definition_of(config, name)["datasets"], registry)
        for optimizer in optimizers_of(definition_of(config, name))
        if dataset in usable
    ]


def of_objective(config: Config, objective: str) -> list[str]:
    """Names of the run's studies with an objective."""
    return [n for n in config["studies"] if definition_of(config, n)["objective"] == objective]


def for_job(definition: Definition, dataset: str | None = None) -> dict[str, Any]:
    """What one job has to know of a definition: its own data set, and no other optimiser.

    A job on recorded curves holds all seeds; any other is told its own.
    """
    own = ("optimizers", "configuration_of")
    kept = {key: value for key, value in definition.items() if key not in own}
    if dataset is None:
        kept.pop("seeds", None)
        return kept
    return {**kept, "datasets": [dataset]}


def modules_of(definition: Definition) -> list[str]:
    """Modules behind a study that no import of `studies.jobs` names: task, space, predictor."""
    found = ["curvecast.studies.jobs"]
    if definition["objective"] == "training":
        task = str(definition["task"])
        module = TASKS.get(task, task).partition(":")[0]
        found += [module] if module.startswith("curvecast.") else []
    if definition["objective"] == "prediction":
        found.append(module_of(definition["model"]))
    space = definition.get("space", "")
    if space and not _is_file(space):
        found.append(f"curvecast.studies.spaces.{space.partition('.')[0]}")
    if definition.get("stopping"):
        found.append(module_of(definition["stopping"].get("predictor", "gain_gp")))
    return found


def files_of(definition: Definition) -> list[str]:
    """Files of the user's own that a study or network reads: its search space, its task."""
    named = (str(definition.get(key, "")) for key in ("space", "task"))
    return [_file_of(name) for name in named if _is_file(name)]


def _is_file(name: str) -> bool:
    return ".py:" in name or Path(name).suffix == ".json"


def _file_of(name: str) -> str:
    return f"{name.partition('.py:')[0]}.py" if ".py:" in name else name


def words(searches: Iterable[Search]) -> str:
    """How much work there is, one line per study."""
    searches = list(searches)
    lines = []
    for study in dict.fromkeys(search.study for search in searches):
        mine = [search for search in searches if search.study == study]
        factors: dict[str, set[object]] = {
            "data sets": {s.dataset for s in mine if s.dataset is not None},
            "seeds": {s.seed for s in mine if s.seed is not None},
            "optimisers": {s.optimizer for s in mine},
        }
        text = " x ".join(f"{len(values)} {name}" for name, values in factors.items() if values)
        lines.append(f"study {study}: {text} = {len(mine)} jobs")
    return "\n".join(lines)
