"""Studies as they are written in a config, made into settings and objectives.

study_definitions:
  digits_mlp:
    objective: training            # or prediction, recorded
    task: digits_mlp               # or file.py:Class, package.module:Class
    optimizers: [bohb]             # or freeze_thaw, hyperband, random, grid
    eta: 3
    min_budget: 1
    max_budget: 27
    iterations: 4
    workers: 1
    seeds: 2
    timeout: 120
    stopping: {predictor: gain_gp, Delta: 0.8}
    data: task/usps                # raw data that the task reads
    fidelity: data                 # budgets are percent of the training data instead of epochs
    configuration_of: other        # search only what a transfer of its configuration leaves open
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from curvecast.curves import CurveSet, DataError
from curvecast.studies.early import EarlyEnd
from curvecast.studies.settings import Settings

if TYPE_CHECKING:
    from curvecast.studies.evaluation import Objective

TASKS = {
    "digits_mlp": "curvecast.studies.objectives.digits:DigitsMLP",
    "images": "curvecast.studies.objectives.images:ImageTask",
    "houses": "curvecast.studies.objectives.houses:HouseTask",
}

_SEARCH = {f.name for f in fields(Settings)} - {"name", "optimizer", "seed"}
_COMMON = {"objective", "optimizers", "seeds", "space", *_SEARCH}
_OWN = {
    "training": {"task", "task_options", "data", "configuration_of", "fidelity", "stopping"},
    "prediction": {"model", "dataset", "parts", "fixed", "metric"},
    "recorded": {"datasets", "stopping"},
}


def check(name: str, definition: Mapping[str, Any]) -> None:
    """Raise DataError for an unknown objective or key, or a missing one."""
    kind = definition.get("objective")
    if kind not in _OWN:
        raise DataError(f"study {name!r}: objective {kind!r} is not one of {', '.join(_OWN)}")
    unknown = sorted(set(definition) - _COMMON - _OWN[kind])
    if unknown:
        raise DataError(f"study {name!r}: unknown key {unknown[0]!r} for objective {kind}")
    needed = _OWN[kind] - {
        "stopping",
        "task_options",
        "data",
        "configuration_of",
        "fidelity",
        "fixed",
        "metric",
    }
    needed |= {"space"} if kind == "prediction" else set()
    if definition.get("fidelity", "epochs") not in ("epochs", "data"):
        raise DataError(f"study {name!r}: fidelity is neither epochs nor data")
    if definition.get("stopping") and "freeze_thaw" in definition.get("optimizers", ()):
        raise DataError(
            f"study {name!r}: freeze_thaw decides itself when a run pauses; leave out stopping"
        )
    missing = sorted(needed - set(definition))
    if missing:
        raise DataError(f"study {name!r}: key {missing[0]!r} is missing")


def settings_of(
    name: str, definition: Mapping[str, Any], optimizer: str = "bohb", seed: int = 0
) -> Settings:
    """Settings of one search. Raises DataError, see `check` and `Settings`."""
    check(name, definition)
    search = {key: value for key, value in definition.items() if key in _SEARCH}
    if definition["objective"] == "recorded":
        search["workers"] = 0
    if "total_budget" in search:
        search.setdefault("iterations", None)
    return Settings(name=name, optimizer=optimizer, seed=seed, **search)


def early_of(definition: Mapping[str, Any]) -> EarlyEnd | None:
    """The rule under `stopping`, None where there is none."""
    stopping = definition.get("stopping")
    if stopping is None:
        return None
    unknown = sorted(set(stopping) - {f.name for f in fields(EarlyEnd)})
    if unknown:
        raise DataError(f"stopping: unknown key {unknown[0]!r}")
    return EarlyEnd(**stopping)


def objective_of(
    name: str,
    definition: Mapping[str, Any],
    curves: CurveSet | None = None,
    raw: Sequence[str | Path] = (),
    taken: Mapping[str, Any] | None = None,
) -> Objective:
    """The objective of a study.

    Parameters
    ----------
    curves : the collection, for the objectives `prediction` and `recorded`.
    raw : the raw files of the stanza under `data`, for the objective `training`.
    taken : the configuration that the study under `configuration_of` found.

    Raises
    ------
    DataError : see `check`; no such task or space; a collection is missing.
    """
    # Imports are here because a plan of studies does without ConfigSpace, and the other objectives
    # without torch.
    from curvecast.studies.spaces import load_space

    check(name, definition)
    space = load_space(definition["space"]) if "space" in definition else None
    kind = definition["objective"]
    if kind == "training":
        from curvecast.studies.objectives.subsets import Subsets
        from curvecast.studies.objectives.training import Training

        kind_of_budget = Subsets if definition.get("fidelity") == "data" else Training
        return kind_of_budget(task_of(definition, raw, taken), space, early_of(definition))
    if curves is None:
        raise DataError(f"study {name!r}: objective {kind} needs a collection of curves")
    if kind == "recorded":
        from curvecast.studies.objectives.recorded import Recorded

        return Recorded(curves, space, early_of(definition))
    from curvecast.studies.objectives.prediction import Parts, Prediction

    assert space is not None
    parts = Parts(**definition["parts"])
    return Prediction(
        definition["model"],
        curves,
        parts,
        space,
        definition.get("fixed"),
        definition.get("metric", "mse"),
    )


def task_of(
    definition: Mapping[str, Any],
    raw: Sequence[str | Path] = (),
    taken: Mapping[str, Any] | None = None,
) -> Any:
    """The task of a definition, see `objective_of`. Raises DataError where there is none."""
    name, options = definition["task"], dict(definition.get("task_options", {}))
    if "data" in definition:
        options |= {"data": definition["data"], "raw": raw}
    if taken is not None:
        options["taken"] = taken
    path, _, cls = TASKS.get(name, name).rpartition(":")
    if not cls or not path:
        raise DataError(
            f"unknown task {name!r}: write file.py:Class, package.module:Class or one of "
            f"{', '.join(TASKS)}"
        )
    try:
        return getattr(_module(path), cls)(**options)
    except (ModuleNotFoundError, AttributeError) as error:
        raise DataError(f"no such task {name!r} ({error})") from error


def _module(path: str) -> ModuleType:
    """The module with this name, or of this file; workers find it under the same name."""
    if not path.endswith(".py"):
        return importlib.import_module(path)
    file = Path(path).resolve()
    if not file.is_file():
        raise DataError("no such file with a task", file=path)
    # At the end: nothing in that folder may hide a module of Python or of a library.
    if importlib.util.find_spec(file.stem) is None and str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    module = importlib.import_module(file.stem)
    if module.__file__ is None or Path(module.__file__).resolve() != file:
        raise DataError(f"another module is called {file.stem}, choose another name", file=path)
    return module
