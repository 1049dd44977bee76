"""Which files a rule lists as its code: exactly those that can change its result."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from curvecast import DataError, code_digest
from curvecast.predictors import module_of, registry


def names(paths: list[str]) -> set[str]:
    package = Path(code_digest.__file__).parent
    return {Path(path).relative_to(package).as_posix() for path in paths}


def test_a_module_brings_what_it_imports_directly_or_not() -> None:
    assert names(code_digest.of("curvecast.features")) == {
        "features.py",
        "curves.py",
        "extras.py",
        "files.py",
    }
    found = names(code_digest.of("curvecast.benchmark.cells"))
    assert {"benchmark/cells.py", "protocol.py", "features.py", "predictors/base.py"} <= found


def test_no_registry_and_no_other_model_is_among_the_sources_of_a_model() -> None:
    found = names(code_digest.of(module_of("ols")))
    assert "predictors/linear.py" in found
    assert "predictors/nusvr.py" not in found
    assert not any(path.endswith("__init__.py") for path in found)


def test_every_model_is_trained_by_its_own_file() -> None:
    for model, entry in registry().items():
        assert f"predictors/{entry.module}.py" in names(code_digest.of(module_of(model)))


def test_scores_and_tables_do_not_depend_on_a_model() -> None:
    models = {f"predictors/{entry.module}.py" for entry in registry().values()}
    for module in (
        "benchmark.cells",
        "benchmark.scores",
        "report.tables.accuracy",
        "report.figures.accuracy",
    ):
        assert not names(code_digest.of(f"curvecast.{module}")) & models


def test_scores_do_not_depend_on_what_trains() -> None:
    found = names(code_digest.of("curvecast.benchmark.scores"))
    assert {"benchmark/scores.py", "curves.py", "protocol.py"} <= found
    assert not found & {"benchmark/cells.py", "features.py", "predictors/base.py"}


def test_models_that_a_model_uses_by_name_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.py"
    path.write_text('USES = ("ridge", "nusvr_rbf")\n', encoding="utf-8")
    assert names([str(p) for p in code_digest._imports(path)]) == {
        "predictors/linear.py",
        "predictors/nusvr.py",
    }


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(DataError, match="unknown model 'olz'"):
        code_digest.of(module_of("olz"))


def test_a_list_of_sources_is_written_only_when_one_of_them_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(code_digest.listed(tmp_path, "curvecast.features", "curvecast.curves"))
    assert path == tmp_path / "features+curves.txt"
    lines = [line.split("  ") for line in path.read_text(encoding="utf-8").splitlines()]
    package = Path(code_digest.__file__).parent
    assert [name for _, name in lines] == ["curves.py", "extras.py", "features.py", "files.py"]
    for digest, name in lines:
        assert digest == hashlib.sha256((package / name).read_bytes()).hexdigest()
    os.utime(path, (0, 0))
    code_digest.listed(tmp_path, "curvecast.features", "curvecast.curves")
    assert path.stat().st_mtime == 0
    monkeypatch.setattr(code_digest, "_digest", lambda file: "changed")
    code_digest.listed(tmp_path, "curvecast.features", "curvecast.curves")
    assert (
        path.read_text(encoding="utf-8")
        == "changed  curves.py\nchanged  extras.py\nchanged  features.py\nchanged  files.py\n"
    )


def test_the_path_of_a_list_can_be_had_without_writing_it(tmp_path: Path) -> None:
    path = code_digest.listed(tmp_path, "curvecast.benchmark.scores", write=False)
    assert path == str(tmp_path / "benchmark.scores.txt")
    assert not Path(path).exists()
