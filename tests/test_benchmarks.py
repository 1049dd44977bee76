"""Each benchmark starts as its page types it, without an installation of the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
# In the environment of the integrations alone.
TOOLS = {"syne_tune_asha"}
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - TOOLS)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_how_it_is_used(name: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--help"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
