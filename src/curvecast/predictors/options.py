"""The options of a predictor, read from its source file without importing it.

Importing scikit-learn or torch takes seconds; a configuration is checked in milliseconds.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import create_model

from curvecast.predictors import entry_of, parsed
from curvecast.validation import Strict, validated


def check_options(model: str, options: dict[str, Any]) -> None:
    """Check names and types of options that a configuration gives to a model.

    Raises
    ------
    DataError : an unknown model, an unknown option (the message names the nearest known one), or a
        value of the wrong type.
    """
    fields: dict[str, Any] = {name: (kind, None) for name, kind in option_types(model).items()}
    known = create_model(model, __base__=Strict, **fields)
    validated(known, options, f"model_options.{model}")


def option_types(model: str) -> dict[str, str]:
    """Types of the options of a model, as its source writes them.

    Options that the registry entry fixes are left out.
    """
    entry = entry_of(model)
    types = _of_class(entry.module, entry.cls)
    fixed = {"seed", *entry.options}
    return {name: kind for name, kind in types.items() if name not in fixed}


@cache
def _of_class(module: str, name: str) -> dict[str, str]:
    """Keyword-only parameters of a class and its bases, as far as they lie in this package."""
    tree = parsed(Path(__file__).with_name(f"{module}.py"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            source = (node.module or "").rpartition(".")
            return _of_class(source[2], name) if source[0] == "curvecast.predictors" else {}
        if isinstance(node, ast.ClassDef) and node.name == name:
            types: dict[str, str] = {}
            for base in node.bases:
                types |= _of_class(module, ast.unparse(base))
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    types |= {
                        arg.arg: ast.unparse(arg.annotation)
                        for arg in item.args.kwonlyargs
                        if arg.annotation is not None
                    }
            return types
    return {}
