"""Search spaces by name, from a ConfigSpace JSON file, or from a Python file.

A Python module of this folder, or a user's own `.py` file, defines one function per space that
returns a `ConfigSpace.ConfigurationSpace`; the name is `{module}.{function}` here and
`{path}:{function}` for a file. Parameters are written without the `hp_` and `ap_` of curve
columns, in the order in which a table shows them.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import ConfigSpace
import numpy as np
from ConfigSpace import AndConjunction
from ConfigSpace.hyperparameters import Hyperparameter

from curvecast.curves import CurveSet, DataError


def load_space(name: str | Path) -> ConfigSpace.ConfigurationSpace:
    """A new search space.

    Parameters
    ----------
    name : `predictors.cnn` (a function of a module in this folder), `file.json`, or
        `file.py:function`.

    Raises
    ------
    DataError : no such file, module or function, or not a ConfigSpace JSON.
    """
    text = str(name)
    if text.endswith(".json"):
        return _from_json(Path(text))
    path, _, function = text.rpartition(":" if ".py:" in text else ".")
    make = getattr(_load_module(path, text), function, None)
    if function.startswith("_") or not callable(make):
        raise DataError(f"no search space {function!r} in {path}", file=text)
    space = make()
    if not isinstance(space, ConfigSpace.ConfigurationSpace):
        raise DataError(f"{function} returned no ConfigurationSpace", file=text)
    return space


def load_configuration(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """A configuration: itself, or the constant `MODULE.NAME` of a module in this folder.

    Raises DataError where there is no such constant.
    """
    if isinstance(given, Mapping):
        return dict(given)
    module, _, constant = given.partition(".")
    configuration = getattr(_load_module(module, given), constant, None)
    if not isinstance(configuration, Mapping):
        raise DataError(f"no configuration {constant!r} in spaces/{module}.py")
    return dict(configuration)


def _from_json(path: Path) -> ConfigSpace.ConfigurationSpace:
    try:
        space = ConfigSpace.ConfigurationSpace.from_json(path)
    except FileNotFoundError as error:
        raise DataError("no such search space", file=path) from error
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"not a ConfigSpace JSON ({error!r})", file=path) from error
    if not len(space):
        raise DataError("not a ConfigSpace JSON (it has no hyper-parameter)", file=path)
    return space


def _load_module(path: str, name: str) -> ModuleType:
    """A module of this folder, or a `.py` file; `name` is the user's text."""
    if path.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(path).stem, path)
        if spec is None or spec.loader is None or not Path(path).is_file():
            raise DataError("no such search space", file=path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    known = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    if path not in known:
        raise DataError(f"unknown search space {name!r}, modules: {', '.join(known)}")
    return importlib.import_module(f"{__name__}.{path}")


def add_where(
    space: ConfigSpace.ConfigurationSpace, *parameters: Hyperparameter, **needed: Any
) -> None:
    """Add parameters that are active where others equal a category, or are at least a number."""
    for parameter in parameters:
        conditions = [
            ConfigSpace.EqualsCondition(parameter, space[name], value)
            if isinstance(space[name], ConfigSpace.CategoricalHyperparameter)
            else ConfigSpace.GreaterThanCondition(parameter, space[name], value - 1)
            for name, value in needed.items()
        ]
        space.add(parameter)
        if conditions:
            space.add(conditions[0] if len(conditions) == 1 else AndConjunction(*conditions))


def of_curves(curves: CurveSet) -> ConfigSpace.ConfigurationSpace:
    """The box around the configurations of a collection, with parameters named as its columns.

    Columns of `log_columns` are on a log scale, whole numbers become integers, text becomes
    categories. Columns that do not vary, and `ap_num_params` (a consequence of the others), are
    left out.

    Raises
    ------
    DataError : no column varies, or one has no range that could be searched.
    """
    space = ConfigSpace.ConfigurationSpace(name=curves.name)
    for column in curves.configs.columns:
        values = curves.configs[column]
        if not column.startswith(("hp_", "ap_")) or column == "ap_num_params":
            continue
        if values.nunique() < 2:
            continue
        if values.dtype == "category":
            space.add(ConfigSpace.Categorical(column, sorted(values.dropna().unique())))
            continue
        bounds = float(values.min()), float(values.max())
        log = column in curves.log_columns
        if not np.isfinite(bounds).all() or (log and bounds[0] <= 0):
            problem = f"from {bounds[0]:g} to {bounds[1]:g} is no range{' of logarithms' * log}"
            raise DataError(problem, file=curves.name, column=column)
        if (values.dropna() % 1 == 0).all():
            integers = int(bounds[0]), int(bounds[1])
            space.add(ConfigSpace.Integer(column, integers, log=log))
        else:
            space.add(ConfigSpace.Float(column, bounds, log=log))
    if not len(space):
        raise DataError("no hyper-parameter varies, there is nothing to search", file=curves.name)
    return space
