"""Which jobs the studies of a configuration make, and what each of them needs to know.

Real training: one job per study, seed and optimiser. Recorded curves: one job per study, data set
and optimiser, which holds all seeds. What reaches a job as `params` is its own study's definition
without what other jobs are made of, so that a further seed or data set reruns none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curvecast import datasets
from curvecast.curves import DataError
from curvecast.predictors import module_of

Config = Mapping[str, Any]
Definition = Mapping[str, Any]
OPTIMIZERS = ("bohb", "hyperband", "random")
TRAINING_FIGURES = (
    "origin",
    "losses_over_time",
    "incumbent",
    "concurrency",
    "rank_correlation",
    "learning_curves",
    "importance",
)


@dataclass(frozen=True)
class Search:
    """One job: a seed of real training, or all seeds on the recorded curves of `dataset`.

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
    DataError : a study without a definition or with a wrong one, an objective that has no job
        yet, an unknown data set or predictor, or two studies whose rows no table could tell apart.
    """
    if not config["studies"]:
        return
    # Imported here because it imports hpbandster, which runs without studies do without.
    from curvecast.studies.definitions import early_of, settings_of

    rows: dict[tuple[str, str], str] = {}
    for name in config["studies"]:
        definition = definition_of(config, name)
        for optimizer in optimizers_of(definition):
            settings_of(name, definition, optimizer)
        early_of(definition)
        if definition["objective"] == "prediction":
            raise DataError(f"study {name!r}: the workflow has no job for objective prediction yet")
        ended = "f-" if definition.get("stopping") else ""
        subjects = datasets.expand(definition.get("datasets", ()), registry) or [name]
        for row in ((s, ended + o) for s in subjects for o in optimizers_of(definition)):
            if row in rows:
                raise DataError(
                    f"studies {rows[row]!r} and {name!r} both have {row[1]} on {row[0]}"
                )
            rows[row] = name


def definition_of(config: Config, name: str) -> Definition:
    """The definition of a study. Raises DataError where there is none."""
    if name not in config["study_definitions"]:
        known = ", ".join(sorted(config["study_definitions"]))
        raise DataError(f"unknown study {name!r}, study_definitions has: {known}")
    return dict(config["study_definitions"][name])


def optimizers_of(definition: Definition) -> list[str]:
    """The optimisers of a study, by default BOHB alone."""
    return list(definition.get("optimizers", ["bohb"]))


def trainings(config: Config) -> list[Search]:
    """Jobs that really train, a study's own together."""
    return [
        Search(name, optimizer, seed=seed)
        for name in _of_objective(config, "training")
        for optimizer in optimizers_of(definition_of(config, name))
        for seed in range(int(definition_of(config, name).get("seeds", 1)))
    ]


def replays(config: Config, usable: Sequence[str], registry: Mapping[str, Any]) -> list[Search]:
    """Jobs on recorded curves, of the data sets `usable` only, a study's own together."""
    return [
        Search(name, optimizer, dataset=dataset)
        for name in _of_objective(config, "recorded")
        for dataset in datasets.expand(definition_of(config, name)["datasets"], registry)
        for optimizer in optimizers_of(definition_of(config, name))
        if dataset in usable
    ]


def _of_objective(config: Config, objective: str) -> list[str]:
    return [n for n in config["studies"] if definition_of(config, n)["objective"] == objective]


def for_job(definition: Definition, dataset: str | None = None) -> dict[str, Any]:
    """What one job has to know of a definition: its own data set, and no other optimiser.

    A job on recorded curves holds all seeds; a job of real training is told its own.
    """
    kept = {key: value for key, value in definition.items() if key != "optimizers"}
    if dataset is None:
        kept.pop("seeds", None)
        return kept
    return {**kept, "datasets": [dataset]}


def modules_of(definition: Definition) -> list[str]:
    """Modules behind a study that no import of `studies.jobs` names: task, space, predictor."""
    # Imported here for the same reason as in `check`.
    from curvecast.studies.definitions import TASKS

    found = ["curvecast.studies.jobs"]
    if definition["objective"] == "training":
        task = str(definition["task"])
        module = TASKS.get(task, task).partition(":")[0]
        found += [module] if module.startswith("curvecast.") else []
    space = definition.get("space", "")
    if space and not _is_file(space):
        found.append(f"curvecast.studies.spaces.{space.partition('.')[0]}")
    if definition.get("stopping"):
        found.append(module_of(definition["stopping"].get("predictor", "gain_gp")))
    return found


def files_of(definition: Definition) -> list[str]:
    """Files of the user's own that a study reads: its search space."""
    space = definition.get("space", "")
    return [space.partition(".py:")[0] + ".py" if ".py:" in space else space] * _is_file(space)


def _is_file(space: str) -> bool:
    return ".py:" in space or Path(space).suffix == ".json"


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
