"""The registry of predictors: found by name without importing a single model.

A module in this folder declares the models that it holds in a literal at its top,

    MODELS = {"nusvr_rbf": {"class": "NuSVRPredictor", "kernel": "rbf"}}

where `class` names the class and everything else is an option passed to it. A model that is
built out of others by name says so in a literal `USES = ("ridge", "gp")`.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curvecast.curves import DataError

if TYPE_CHECKING:
    from curvecast.predictors.base import Predictor


@cache
def parsed(path: Path) -> ast.Module:
    """Syntax tree of a Python file; parsing is most of what reading a file costs."""
    return ast.parse(path.read_text(encoding="utf-8"))


def literal(path: Path, name: str) -> Any:
    """Value of the top-level literal `name` in a Python file, None where there is none."""
    for node in parsed(path).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            return ast.literal_eval(node.value)
    return None


@cache
def registry() -> dict[str, tuple[str, dict[str, Any]]]:
    """Map each model to its module's name and its fixed options."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for model, options in (literal(path, "MODELS") or {}).items():
            found[model] = (path.stem, options)
    return found


def module_of(model: str) -> str:
    """Dotted name of the module that holds `model`. Raises DataError for an unknown model."""
    if model not in registry():
        raise DataError(f"unknown model {model!r}, known: {', '.join(sorted(registry()))}")
    return f"{__name__}.{registry()[model][0]}"


def make_predictor(model: str, *, seed: int = 0, **options: Any) -> Predictor:
    """Make an unfitted predictor by name.

    Raises
    ------
    DataError : unknown model or unknown option.
    """
    module = importlib.import_module(module_of(model))
    fixed = dict(registry()[model][1])
    cls = getattr(module, fixed.pop("class"))
    from curvecast.predictors.base import options_of

    unknown = set(options) - set(options_of(cls))
    if unknown:
        known = ", ".join(sorted(set(options_of(cls)) - set(fixed))) or "none"
        raise DataError(f"model {model!r} has no option {sorted(unknown)[0]!r}, it has: {known}")
    return cls(seed=seed, **{**fixed, **options})
