"""Which source files a module's numbers depend on, for the `input:` of rules.

Snakemake does not see imported modules. The imports of this package form a graph that can be
read without running anything, so a rule lists exactly the files that can change its result.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from curvecast.predictors import literal, module_of, parsed

_PACKAGE = Path(__file__).parent


def of(*modules: str) -> list[str]:
    """Paths of the modules and of all package modules that they import, directly or not.

    A package's `__init__.py` is a registry or a facade, not a source of numbers, and is left
    out. Modules that a `USES` literal names as models are followed too.
    """
    found: set[Path] = set()
    waiting = [_path_of(module) for module in modules]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(path))
    return sorted(str(path) for path in found)


def of_model(model: str) -> list[str]:
    """Source files behind one predictor. Raises DataError for an unknown model."""
    return of(module_of(model))


def _path_of(module: str) -> Path:
    path = _PACKAGE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py")


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    names: list[str] = [module_of(model) for model in literal(path, "USES") or ()]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = (_path_of(name) for name in names if name.startswith("curvecast."))
    return tuple(sorted({p for p in ours if p.is_file()}))
