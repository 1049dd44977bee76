"""The code of docs/integrations.md runs; examples/ print what it shows, up to the digits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pandas as pd
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

from curvecast.testing import saturating_curves

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/integrations.md").read_text(encoding="utf-8")
NEEDS = {
    "optuna_pruner": "optuna",
    "lightning_callback": "lightning",
    "keras_callback": "keras",
    "transformers_callback": "accelerate",
    "ray_scheduler": "ray",
    "syne_tune_scheduler": "syne_tune",
}


def shape(line: str) -> str:
    """A line without its numbers."""
    return re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", line.strip())


def test_every_example_is_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_prints_what_the_page_shows(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")
    if NEEDS[name] == "ray":
        request.getfixturevalue("one_ray")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = re.search(rf"    \$ python examples/{name}\.py\n((?: {{4}}.*\n)+)", PAGE)
    assert shown is not None
    printed = {shape(line) for line in done.stdout.splitlines()}
    for line in textwrap.dedent(shown[1]).splitlines():
        assert line == "..." or shape(line) in printed, f"{line}\nis not in\n{done.stdout}"


class Users(dict[str, Any]):
    """Names of the user's own program: whatever is asked for and not there."""

    def __missing__(self, name: str) -> MagicMock:
        return MagicMock(name=name)


def _log(folder: Path, name: str) -> None:
    for run in ("a", "b"):
        table = pd.DataFrame({"epoch": range(5), "val_loss": [1 / (e + 1) for e in range(5)]})
        (folder / run).mkdir(parents=True)
        table.to_csv(folder / run / name, index=False)


@pytest.mark.parametrize("name", NEEDS)
def test_the_code_of_the_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")
    monkeypatch.chdir(tmp_path)
    _log(tmp_path / "lightning_logs", "metrics.csv")
    _log(tmp_path / "runs", "training.log")
    (tmp_path / "outputs/a").mkdir(parents=True)
    rows = [{"epoch": e, "step": e, "eval_loss": 1 / e} for e in (1, 2, 3)]
    state = {"log_history": rows, "max_steps": 3, "global_step": 3, "epoch": 3}
    (tmp_path / "outputs/a/trainer_state.json").write_text(json.dumps(state))
    before = PAGE.partition(f"    $ python examples/{name}.py")[0].rpartition("### ")[2]
    (block,) = re.findall(r"(?:^ {4}.*\n\n*)+", before, re.MULTILINE)
    names = Users()
    exec(compile(textwrap.dedent(block), "docs/integrations.md", "exec"), {}, names)
    assert {"CurveCallback", "CurveScheduler", "CurvePruner"} & set(names)


@pytest.mark.parametrize("tool", ["lightning", "keras", "transformers"])
def test_all_callbacks_take_the_options_of_the_page(tool: str) -> None:
    pytest.importorskip("accelerate" if tool == "transformers" else tool)
    callback = import_module(f"curvecast.integrations.{tool}").CurveCallback
    line = re.search(r"^ {4}(CurveCallback\(.*\))$", PAGE, re.MULTILINE)
    assert line is not None
    made = eval(line[1], {"CurveCallback": callback, "curves": saturating_curves(30)})
    assert (made.watch.promise, made.watch.stop) == (0.9, True)
