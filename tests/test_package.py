"""The package: what its wheel holds, its extras, the line that names a missing one, its demo."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import curvecast
from curvecast import cli, demo
from curvecast.extras import EXTRAS, missing

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {"scikit_posthocs": "scikit-posthocs", "markdown_it": "markdown-it-py"}
DISTRIBUTIONS |= {"syne_tune": "syne-tune"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~ ]", text)[0] for text in requirements}


def test_every_extra_brings_the_packages_that_it_is_named_for() -> None:
    extras = PROJECT["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert DISTRIBUTIONS.get(package, package) in names(extras[extra]), package


def test_the_extra_all_brings_every_other_one() -> None:
    extras = PROJECT["optional-dependencies"]

    def reached(extra: str) -> set[str]:
        inner = re.findall(r"curvecast\[(.*?)\]", " ".join(extras[extra]))
        return {extra}.union(*(reached(name) for text in inner for name in text.split(",")))

    assert reached("all") == set(extras)


def test_a_missing_package_is_one_line_that_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for package in ("pyarrow", "torch"):
        for name in [m for m in sys.modules if m.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "curvecast.predictors.networks", raising=False)
    pd.DataFrame({"lr": [0.1], "a_1": [0.5]}).to_csv(tmp_path / "runs.csv")
    with pytest.raises(curvecast.DataError, match=r'pip install "curvecast\[networks\]"'):
        curvecast.make_predictor("lstm")
    (tmp_path / "runs.parquet").write_bytes(b"PAR1")
    given = ["--curve-columns", "a_{epoch}", "--direction", "minimize", "--out", "m.safetensors"]
    assert cli.main(["fit", str(tmp_path / "runs.parquet"), *given]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pyarrow is missing: pip install "curvecast[parquet]"' in error


def test_an_unknown_missing_package_is_named_as_python_names_it() -> None:
    assert missing(ImportError("No module named 'x'", name="x")) == "No module named 'x'"


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"curvecast {curvecast.__version__}\n"


def test_the_demo_writes_a_log_that_the_commands_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    assert cli.main(["demo", "--out", str(log)]) == 0
    printed = capsys.readouterr().out
    settings, losses = demo.train()
    ends = dict(zip(settings["run"], losses[:, -1], strict=True))
    rows = re.findall(r"^(run-\d+) .*\| (\S+)$", printed, re.MULTILINE)
    assert len(rows) == demo.UNDER_WAY
    assert all(f"{ends[run]:.3g}" == end for run, end in rows)
    curves = curvecast.read(log)
    assert (curves.configs["info_state"] == "running").sum() == demo.UNDER_WAY
    assert cli.main(["inspect", str(log)]) == 0


def test_the_sdist_builds_the_same_wheel_with_weights_templates_and_types(tmp_path: Path) -> None:
    for part in ("src", "licenses", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)

    def built(folder: Path, kind: str) -> Path:
        code = f"from setuptools import build_meta as b; print(b.build_{kind}('{tmp_path}/{kind}'))"
        (tmp_path / kind).mkdir(exist_ok=True)
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return tmp_path / kind / done.stdout.split()[-1]

    with tarfile.open(built(tmp_path, "sdist")) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    contents = []
    for folder in (tmp_path, unpacked):
        with zipfile.ZipFile(built(folder, "wheel")) as wheel:
            contents.append({name: wheel.read(name) for name in wheel.namelist()})
    assert contents[0] == contents[1]
    assert {
        "curvecast/predictors/pfn.safetensors",
        "curvecast/py.typed",
        "curvecast/report/page/page.html",
        "curvecast/report/page/runs.html",
        "curvecast/report/page/vega.js",
        f"curvecast-{curvecast.__version__}.dist-info/licenses/licenses/vega.txt",
    } <= set(contents[0])
