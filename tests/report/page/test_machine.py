"""Seconds and memory from benchmark files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curvecast import DataError
from curvecast.report.page import machine

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tcpu_time\n"


def test_jobs_are_summed_per_rule(tmp_path: Path) -> None:
    (tmp_path / "predict/mine").mkdir(parents=True)
    for name, line in (
        ("predict/mine/ols.tsv", "2.5\t0:00:02\t100.0\t0\t2.0\n"),
        ("predict/mine/gp.tsv", "4.0\t0:00:04\t300.0\t0\t3.5\n"),
        ("r2_table.tsv", "0.01\t0:00:00\t-\t-\t0.0\n"),
    ):
        (tmp_path / name).write_text(HEADER + line)
    usage = machine.usage(tmp_path)
    assert usage["rule"].tolist() == ["predict", "r2_table"]
    assert usage["jobs"].tolist() == [2, 1]
    assert usage["seconds"].tolist() == [6.5, 0.01]
    assert usage["longest"].tolist() == [4.0, 0.01]
    assert usage["cpu"].tolist() == [5.5, 0.0]
    assert usage["peak"][0] == 300.0
    assert np.isnan(usage["peak"][1])


def test_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match=r"other.tsv, column s: not a benchmark file"):
        machine.usage(tmp_path)


def test_versions_name_what_numbers_depend_on() -> None:
    found = machine.versions()
    assert found["numpy"] == np.__version__
