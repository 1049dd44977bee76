"""List the source files that a module's numbers depend on, with their digests.

Snakemake does not see imported modules. The imports of this package form a graph that can be
read without running anything, so a rule asks for exactly the files that can change its result.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from curvecast.curves import write_text
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


def listed(folder: str | Path, *modules: str, write: bool = True) -> str:
    """Path of a file in `folder` that lists what `of` finds with the sha256 of each.

    It stands for those sources among the inputs of a job: one file in place of a dozen, which
    matters for thousands of jobs. It is written only where its content changes.

    Parameters
    ----------
    write : False asks for the path alone.
    """
    names = "+".join(module.removeprefix("curvecast.") for module in modules)
    path = Path(folder, f"{names}.txt")
    if write:
        files = [Path(file) for file in of(*modules)]
        text = "".join(f"{_digest(p)}  {p.relative_to(_PACKAGE).as_posix()}\n" for p in files)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(text, path)
    return str(path)


def _path_of(module: str) -> Path:
    path = _PACKAGE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py")


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    names: list[str] = [module_of(model) for model in literal(path, "USES") or ()]
    for node in _statements(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = (_path_of(name) for name in names if name.startswith("curvecast."))
    return tuple(sorted({p for p in ours if p.is_file()}))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of a module, those in functions too; their expressions are most of a tree."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(node, name, [])
            waiting.extend(inside if isinstance(inside, list) else [])
