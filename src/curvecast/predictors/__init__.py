"""The registry of predictors: reads what model files declare, without importing a single model.

A module in this folder declares the models that it holds in a literal at its top,

    MODELS = {
        "nusvr_rbf": {
            "class": "NuSVRSearch",
            "options": {"kernel": "rbf"},
            "label": "ν-support-vector regression, RBF kernel; Baker's random search.",
            "cite": "Schölkopf, Smola, Williamson and Bartlett (2000); Baker et al. (2018)",
            "order": 60,
            "look": ("blue", "o", "solid"),
            "cheap": {"draws": 60},
        }
    }

of which `class` alone must be there (`Entry` says what each key means). Tables, figures, the
report and the tests of the contract follow from it. A model that is built out of others by name
says so in a literal `USES = ("ridge", "gp")`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curvecast.curves import DataError
from curvecast.extras import missing

if TYPE_CHECKING:
    from curvecast.predictors.base import Predictor


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a model.

    Attributes
    ----------
    name : of the model, in the config, in tables and in file names.
    module : name of its file in this folder, without the suffix.
    cls : name of its class.
    options : given to the class, not to be chosen by a user.
    label : what it is in one sentence; the first paragraph of the class where none is declared.
    cite : whom to cite.
    order : place in tables and legends; None is after all that have one, by name.
    look : colour, marker and line style in figures, None for the next one that is free; see
        `report.figures.style`.
    cheap : options with which it is trained in a second, for tests.
    """

    name: str
    module: str
    cls: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    cite: str = ""
    order: int | None = None
    look: tuple[str, str, str] | None = None
    cheap: Mapping[str, Any] = field(default_factory=dict)


@cache
def parsed(path: Path) -> ast.Module:
    """Syntax tree of a Python file; parsing is most of what reading a file costs."""
    return ast.parse(path.read_text(encoding="utf-8"))


def literal(path: Path, name: str) -> Any:
    """Value of the top-level literal `name` in a Python file, None where there is none."""
    text = path.read_text(encoding="utf-8")
    match = re.search(rf"^{name} = (.*?\n)(?=[^\s)\]}}]|\Z)", text, re.DOTALL | re.MULTILINE)
    return ast.literal_eval(match[1].strip()) if match else None


@cache
def registry() -> dict[str, Entry]:
    """The entries of all models by name: those with an order first, then by name.

    Raises
    ------
    DataError : an entry has a key that `Entry` does not have, or no class.
    """
    entries = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for name, declared in (literal(path, "MODELS") or {}).items():
            entries.append(_entry(path, name, dict(declared)))
    entries.sort(key=lambda entry: (entry.order is None, entry.order or 0, entry.name))
    return {entry.name: entry for entry in entries}


def _entry(path: Path, name: str, declared: dict[str, Any]) -> Entry:
    try:
        cls = declared.pop("class")
        if "label" not in declared:
            declared["label"] = _first_paragraph(path, cls)
        return Entry(name, path.stem, cls, **declared)
    except (KeyError, TypeError) as error:
        raise DataError(f"the entry of model {name!r} is not valid: {error}", file=path) from error


def _first_paragraph(path: Path, cls: str) -> str:
    for node in parsed(path).body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return ""


def ordered() -> tuple[str, ...]:
    """The models that declare an order, in that order; all others follow by name."""
    return tuple(name for name, entry in registry().items() if entry.order is not None)


def entry_of(model: str) -> Entry:
    """Entry of a model. Raises DataError for an unknown one."""
    if model not in registry():
        raise DataError(f"unknown model {model!r}, known: {', '.join(sorted(registry()))}")
    return registry()[model]


def module_of(model: str) -> str:
    """Dotted name of the module that holds `model`. Raises DataError for an unknown model."""
    return f"{__name__}.{entry_of(model).module}"


def make_predictor(model: str, *, seed: int = 0, **options: Any) -> Predictor:
    """Make an unfitted predictor by name.

    "pfn:FILE" and "ensemble:FILE" are those with the option `weights`, a file of `curvecast adapt`.

    Raises
    ------
    DataError : unknown model or unknown option, or a package that the model needs is missing.
    """
    model, _, weights = model.partition(":")
    if weights:
        options = {"weights": weights, **options}
    try:
        cls = getattr(importlib.import_module(module_of(model)), entry_of(model).cls)
    except ImportError as error:
        raise DataError(f"model {model!r}: {missing(error)}") from error
    fixed = entry_of(model).options
    unknown = set(options) - set(options_of(cls))
    if unknown:
        known = ", ".join(sorted(set(options_of(cls)) - set(fixed))) or "none"
        raise DataError(f"model {model!r} has no option {sorted(unknown)[0]!r}, it has: {known}")
    return cls(seed=seed, **{**fixed, **options})


def options_of(model: type[Predictor]) -> dict[str, Any]:
    """Names and defaults of the options that a class and its bases take, `seed` left out."""
    options: dict[str, Any] = {}
    for cls in reversed(model.__mro__):
        init = vars(cls).get("__init__")
        if init is not None and cls is not object:
            options |= {
                name: parameter.default
                for name, parameter in inspect.signature(init).parameters.items()
                if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "seed"
            }
    return options
