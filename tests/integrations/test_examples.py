"""The scripts in examples/ print what docs/integrations.md shows, up to the digits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
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
def test_an_example_prints_what_the_page_shows(name: str, tmp_path: Path) -> None:
    pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs/integrations.md").read_text(encoding="utf-8")
    shown = re.search(rf"    \$ python examples/{name}\.py\n((?: {{4}}.*\n)+)", page)
    assert shown is not None
    printed = {shape(line) for line in done.stdout.splitlines()}
    for line in textwrap.dedent(shown[1]).splitlines():
        assert line == "..." or shape(line) in printed, f"{line}\nis not in\n{done.stdout}"
