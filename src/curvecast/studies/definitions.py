"""Describes studies and networks of a config as typed models, and makes objectives of them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import Field, create_model, model_validator

from curvecast.curves import CurveSet, DataError
from curvecast.studies import identity
from curvecast.studies.early import EarlyEnd
from curvecast.studies.settings import AtLeastOne, Optimizer, Parts, Search, Settings
from curvecast.validation import Strict, validated

if TYPE_CHECKING:
    from curvecast.studies.evaluation import Objective

TASKS = {
    "digits_mlp": "curvecast.studies.objectives.digits:DigitsMLP",
    "images": "curvecast.studies.objectives.images:ImageTask",
    "houses": "curvecast.studies.objectives.houses:HouseTask",
}

# The keys under `stopping` are the options of the rule.
_hints = {k: int | float if v is float else v for k, v in get_type_hints(EarlyEnd).items()}
_options: Any = {
    f.name: (_hints[f.name], Field({}) if f.default is MISSING else f.default)
    for f in fields(EarlyEnd)
}
Stopping = create_model("Stopping", __base__=Strict, **_options)


class _Study(Search):
    """Keys that every study has; `seeds` searches with each of the `optimizers`."""

    optimizers: Annotated[list[Optimizer], Field(min_length=1)] = Field(["bohb"])
    seeds: AtLeastOne = 1
    space: str | None = None
    stopping: Stopping | None = None

    @model_validator(mode="after")
    def _pauses_by_itself(self) -> _Study:
        if self.stopping is not None and "freeze_thaw" in self.optimizers:
            raise ValueError("freeze_thaw decides itself when a run pauses; leave out stopping")
        return self


class TrainingStudy(_Study):
    """A study that really trains.

    Attributes
    ----------
    task : a name in `TASKS`, `file.py:Class` or `package.module:Class`.
    task_options : arguments of the task.
    data : name of the data set that the task reads; for a job the stanza in its place.
    configuration_of : study whose incumbent gives what this study does not search.
    fidelity : what budgets count, epochs or percent of the training data.
    """

    objective: Literal["training"]
    task: str
    task_options: dict[str, Any] = Field({})
    data: str | dict[str, Any] | None = None
    configuration_of: str | None = None
    fidelity: Literal["epochs", "data"] = "epochs"


class PredictionStudy(_Study):
    """A study that tunes a predictor: options in `space` on the splits `parts` of a data set.

    Attributes
    ----------
    fixed : further options of the predictor.
    metric : error that the study minimises.
    """

    objective: Literal["prediction"]
    model: str
    dataset: str
    space: str
    parts: Parts
    stopping: None = None
    fixed: dict[str, Any] = Field({})
    metric: Literal["mse", "mae"] = "mse"


class RecordedStudy(_Study):
    """A study on the recorded curves of each of `datasets`, inside one process."""

    objective: Literal["recorded"]
    datasets: Annotated[list[str], Field(min_length=1)]
    workers: Literal[0] = 0


StudyDefinition = Annotated[
    TrainingStudy | PredictionStudy | RecordedStudy, Field(discriminator="objective")
]


class NetworkDefinition(Strict):
    """A network to train to the end, see `studies.networks`.

    Attributes
    ----------
    study : the incumbent's configuration, task and data are those of this study.
    configuration : a mapping, or a constant `module.NAME` of a module in `studies/spaces`.
    task, task_options, data : as in `TrainingStudy`; single options replace the study's.
    weights : network whose trained weights this one starts from.
    repeats : trainings with other seeds, of the incumbent of every seed of the study.
    published : row of the published table to show beside it.
    """

    study: str | None = None
    configuration: str | dict[str, Any] | None = None
    task: str | None = None
    task_options: dict[str, Any] = Field({})
    data: str | dict[str, Any] | None = None
    weights: str | None = None
    repeats: AtLeastOne = 1
    published: str | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> NetworkDefinition:
        if (self.study is None) == (self.configuration is None):
            raise ValueError("give it either a study or a configuration")
        if self.study is None and self.task is None:
            raise ValueError("a configuration needs a task")
        return self


def study_of(name: str, definition: Mapping[str, Any]) -> Any:
    """A checked `StudyDefinition`. Raises DataError with study, key and nearest known key."""
    return validated(StudyDefinition, dict(definition), f"study {name!r}")


def settings_of(
    name: str, definition: Mapping[str, Any], optimizer: str = "bohb", seed: int = 0
) -> Settings:
    """Settings of one search. Raises DataError, see `study_of`."""
    study = study_of(name, definition)
    search = {key: getattr(study, key) for key in Search.model_fields}
    return Settings(name, optimizer, seed=seed, **search)


def early_of(definition: Mapping[str, Any]) -> EarlyEnd | None:
    """The rule under `stopping`, None where there is none."""
    stopping = definition.get("stopping")
    return None if stopping is None else EarlyEnd(**stopping)


def objective_of(
    name: str,
    definition: Mapping[str, Any],
    curves: CurveSet | None = None,
    raw: Sequence[str | Path] = (),
    source: Mapping[str, Any] | None = None,
) -> Objective:
    """The objective of a study.

    Parameters
    ----------
    curves : the collection, for the objectives `prediction` and `recorded`.
    raw : the raw files of the stanza under `data`, for the objective `training`.
    source : the incumbent's configuration of the study under `configuration_of`.

    Raises
    ------
    DataError : see `study_of`; no such task or space; a collection is missing.
    """
    # Imports are here because a plan of studies does without ConfigSpace, and the other objectives
    # without torch.
    from curvecast.studies.spaces import load_space

    study = study_of(name, definition)
    space = None if study.space is None else load_space(study.space)
    if study.objective == "training":
        from curvecast.studies.objectives.training import Subsets, Training

        kind_of_budget = Subsets if study.fidelity == "data" else Training
        return kind_of_budget(task_of(definition, raw, source), space, early_of(definition))
    if curves is None:
        raise DataError(f"study {name!r}: objective {study.objective} needs a collection of curves")
    if study.objective == "recorded":
        from curvecast.studies.objectives.recorded import Recorded

        return Recorded(curves, space, early_of(definition))
    from curvecast.studies.objectives.prediction import Prediction

    assert space is not None
    return Prediction(study.model, curves, study.parts, space, study.fixed, study.metric)


def task_of(
    definition: Mapping[str, Any],
    raw: Sequence[str | Path] = (),
    source: Mapping[str, Any] | None = None,
) -> Any:
    """The task of a definition, see `objective_of`. Raises DataError where there is none."""
    name, options = definition["task"], dict(definition.get("task_options", {}))
    if "data" in definition:
        options |= {"data": definition["data"], "raw": raw}
    if source is not None:
        options["base"] = source
    path, _, cls = TASKS.get(name, name).rpartition(":")
    if not cls or not path:
        raise DataError(
            f"unknown task {name!r}: write file.py:Class, package.module:Class or one of "
            f"{', '.join(TASKS)}"
        )
    make = getattr(_module(path), cls, None)
    if not callable(make):
        raise DataError(f"no such task {name!r}: the module has no class {cls}")
    try:
        inspect.signature(make).bind(**options)
    except TypeError as error:
        raise DataError(f"task {name!r} does not take its options: {error}") from error
    task = make(**options)
    given = options | ({"raw": identity.of_files(raw)} if "data" in options else {})
    object.__setattr__(task, "task_options", given)  # of a frozen dataclass as well
    return task


def _module(path: str) -> ModuleType:
    """The module with this name, or of this file; workers find it under the same name."""
    if not path.endswith(".py"):
        return _imported(path)
    file = Path(path).resolve()
    if not file.is_file():
        raise DataError("no such file with a task", file=path)
    if "." in file.stem:
        raise DataError("the name of a file with a task has one dot", file=path)
    # At the end: nothing in that folder may hide a module of Python or of a library.
    if importlib.util.find_spec(file.stem) is None and str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    module = _imported(file.stem)
    if module.__file__ is None or Path(module.__file__).resolve() != file:
        raise DataError(f"another module is called {file.stem}, choose another name", file=path)
    return module


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise DataError(f"no such task: there is no module {error.name}") from error
        raise
