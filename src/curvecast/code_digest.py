"""List the source files that a module's numbers depend on, with their digests.

Snakemake does not see imported modules. The imports of this package form a graph that can be
read without running anything, so a rule asks for exactly the files that can change its result.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from curvecast.files import write_text
from curvecast.predictors import literal, module_of

_PACKAGE = Path(__file__).parent
# `from module import (names)` or `import module`: a syntax tree of every file would cost a second.
_IMPORT = re.compile(
    r"^[ \t]*(?:from (curvecast[\w.]*) import (\([^)]*\)|[^\n]*)|import (curvecast[\w.]*))",
    re.MULTILINE,
)


def of(*modules: str) -> list[str]:
    """Paths of the modules and of all package modules that they import, directly or not.

    A package's `__init__.py` is a registry or a facade, not a source of numbers, and is left
    out; as one of `modules`, a package stands for its files. Modules that a `USES` literal names as
    models are followed too.
    """
    found: set[Path] = set()
    waiting = [path for module in modules for path in _files_of(module)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imports(path))
    return sorted(str(path) for path in found)


def listed(folder: str | Path, *modules: str, write: bool = True) -> str:
    """Path of a file in `folder` that lists the files of `of` with the sha256 of each.

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


def _files_of(module: str) -> list[Path]:
    path = _path_of(module)
    folder = path.with_suffix("")
    return sorted(folder.glob("[!_]*.py")) if folder.is_dir() else [path]


def _path_of(module: str) -> Path:
    path = _PACKAGE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py")


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Modules of this package that a module imports, in functions too."""
    names = [module_of(model) for model in literal(path, "USES") or ()]
    for module, inside, plain in _IMPORT.findall(path.read_text(encoding="utf-8")):
        names.append(module or plain)
        names += [f"{module}.{name}" for name in re.findall(r"\w+", inside)]
    return tuple(sorted({p for p in map(_path_of, names) if p.is_file()}))
