"""Which files a rule lists as its code: exactly those that can change its result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curvecast import DataError, sources
from curvecast.predictors import registry


def names(paths: list[str]) -> set[str]:
    package = Path(sources.__file__).parent
    return {Path(path).relative_to(package).as_posix() for path in paths}


def test_a_module_brings_what_it_imports_directly_or_not() -> None:
    assert names(sources.of("curvecast.features")) == {"features.py", "curves.py"}
    found = names(sources.of("curvecast.benchmark"))
    assert {"benchmark.py", "protocol.py", "features.py", "predictors/base.py"} <= found


def test_no_registry_and_no_other_model_is_among_the_sources_of_a_model() -> None:
    found = names(sources.of_model("ols"))
    assert "predictors/linear.py" in found
    assert "predictors/nusvr.py" not in found
    assert not any(path.endswith("__init__.py") for path in found)


def test_every_model_is_trained_by_its_own_file() -> None:
    for model, (module, _) in registry().items():
        assert f"predictors/{module}.py" in names(sources.of_model(model))


def test_scores_and_tables_do_not_depend_on_a_model() -> None:
    models = {f"predictors/{module}.py" for module, _ in registry().values()}
    for module in ("benchmark", "scores", "tables", "markdown", "published", "plots.r2"):
        assert not names(sources.of(f"curvecast.{module}")) & models


def test_models_that_a_model_uses_by_name_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "ensemble.py"
    path.write_text('USES = ("ridge", "nusvr_rbf")\n', encoding="utf-8")
    assert names([str(p) for p in sources._imports(path)]) == {
        "predictors/linear.py",
        "predictors/nusvr.py",
    }


def test_a_stamp_changes_with_its_sources_and_is_as_old_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.py"
    source.write_text("a = 1\n")
    os.utime(source, (1000, 1000))
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path)
    monkeypatch.setattr(sources, "of", lambda *_: [str(source)])
    monkeypatch.setattr(sources, "_checksum", sources._checksum.__wrapped__)

    def stamp() -> tuple[str, float]:
        file = sources.stamp(tmp_path / "code", "curvecast.scores", "curvecast.tables")
        assert file == tmp_path / "code/scores+tables"
        return file.read_text(), file.stat().st_mtime

    text, made = stamp()
    assert text.endswith("  source.py\n")
    assert made == 1000
    os.utime(source, (2000, 2000))
    assert stamp() == (text, 1000)
    source.write_text("a = 2\n")
    os.utime(source, (3000, 3000))
    assert stamp()[0] != text
    assert stamp()[1] == 3000
    assert not sources.stamp(tmp_path / "other", "curvecast.scores", write=False).exists()


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(DataError, match="unknown model 'olz'"):
        sources.of_model("olz")
