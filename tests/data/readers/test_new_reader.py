"""The reader of docs/reader.md is added by one file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from curvecast import DataError
from curvecast.data import readers
from curvecast.data.registry import load_registry

PAGE = Path(__file__).parents[3] / "docs" / "reader.md"


def test_the_page_is_short_and_its_reader_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "lines.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    rows = [
        {"run": run, "lr": rate, "epoch": epoch, "acc": rate * epoch}
        for run, rate in (("a", 0.1), ("b", 0.2))
        for epoch in (1, 2, 3)
    ]
    Path("runs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    stanza = yaml.safe_load(text[text.index("    dataset_definitions") :].split("\n\n")[0])

    registry = load_registry(stanza["dataset_definitions"])
    curves = readers.read("mine", registry["mine"], ["runs.jsonl"])
    np.testing.assert_allclose(curves.values, [[0.1, 0.2, 0.3], [0.2, 0.4, 0.6]])
    assert curves.configs["hp_lr"].tolist() == [0.1, 0.2]
    with pytest.raises(DataError, match=r"runs\.jsonl, column loss: the log has no such key"):
        readers.read("mine", {**registry["mine"], "value": "loss"}, ["runs.jsonl"])
    with pytest.raises(DataError, match="data set 'mine': key 'value' is missing"):
        load_registry({"mine": {"reader": "lines", "file": "runs.jsonl", "direction": "maximize"}})
