"""The arrows between the rooms of the library run down only, and there are no circles."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import curvecast

PACKAGE = Path(curvecast.__file__).parent
MODULES = {
    ".".join(["curvecast", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
        ".__init__"
    ): path
    for path in PACKAGE.rglob("*.py")
}
# The room of a module is its folder below curvecast, or the module itself at the top. A room may
# import those in its own entry and itself, nothing else.
GROUND = {"validation", "files", "layers", "extras"}
CURVES = GROUND | {"curves"}
INPUTS = CURVES | {"features", "protocol", "fidelity"}
PREDICTORS = INPUTS | {"predictors", "code_digest"}
ASKED = PREDICTORS | {"stopping", "data", "saved"}
ALLOWED = {
    "validation": {"files"},
    "extras": set(),
    "files": {"extras"},
    "layers": set(),
    "curves": GROUND,
    "features": CURVES,
    "protocol": CURVES,
    "fidelity": CURVES,
    "code_digest": INPUTS | {"predictors"},
    # the prior is trained for a predictor, and shares its network
    "training": PREDICTORS,
    "data": CURVES,
    "predictors": INPUTS,
    "benchmark": PREDICTORS,
    "stopping": PREDICTORS,
    "studies": PREDICTORS | {"stopping", "training"},
    "report": PREDICTORS | {"benchmark", "stopping", "studies", "data", "__version__"},
    "saved": PREDICTORS | {"stopping", "data"},
    "choice": ASKED,
    "stopper": ASKED,
    "cli": ASKED | {"cli_logs", "cli_search", "choice", "demo", "__version__"},
    "demo": ASKED,
    # a page of advice is what a person asks for in a shell, and earlier logs teach the prior
    "cli_logs": ASKED | {"report", "training"},
    "cli_search": ASKED | {"report", "studies", "cli_logs"},
    "integrations": ASKED,
    "testing": PREDICTORS,
    "workflow": PREDICTORS | {"data", "stopping", "studies", "benchmark", "report", "training"},
    "__init__": ASKED | {"stopper"},
    "__main__": {"cli"},
}
HEAVY = {"torch", "hpbandster", "sklearn", "matplotlib"}


@cache
def imports(module: str) -> frozenset[str]:
    """Modules that a module imports, also inside functions, but not for type checking."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES else str(node.module))
    return frozenset(names)


def inside(module: str) -> set[str]:
    """Modules of this library that a module imports."""
    return {name for name in imports(module) if name in MODULES}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_rooms_below_its_own(module: str) -> None:
    own = room(module)
    # the package itself stands for its version number
    reached = {room(name) for name in inside(module) if name != "curvecast"}
    assert reached <= ALLOWED[own] | {own}


def test_nothing_imports_the_workflow() -> None:
    for module in MODULES:
        if room(module) != "workflow":
            assert not [name for name in imports(module) if name.startswith("curvecast.workflow")]


def test_a_reader_does_not_import_the_registry() -> None:
    for module in MODULES:
        if module.startswith("curvecast.data.readers"):
            assert "curvecast.data.registry" not in imports(module)


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in inside(module):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_planning_imports_nothing_heavy() -> None:
    """What the workflow imports at its start, through top-level imports of the library."""
    for module in MODULES:
        if room(module) in ("workflow", "files", "curves", "validation"):
            assert not {name.split(".")[0] for name in imports(module)} & HEAVY, module


def test_evaluations_run_without_the_network_of_hpbandster() -> None:
    """Its master and workers talk over sockets that any local user can reach."""
    for module in MODULES:
        names = [name for name in imports(module) if name.startswith("hpbandster.core")]
        assert not [
            n for n in names if n.startswith(("hpbandster.core.master", "hpbandster.core.worker"))
        ]


def test_only_one_module_renames_files() -> None:
    renames = {
        module
        for module, path in MODULES.items()
        if "os.replace(" in path.read_text(encoding="utf-8")
    }
    assert renames <= {"curvecast.files"}
