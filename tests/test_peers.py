"""benchmarks/peers: what a search costs, the rules of its incumbent, and all files in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

PEERS = Path(__file__).resolve().parents[1] / "benchmarks/peers"
LOSSES = np.array([[3.0, 2.0, 1.0], [4.0, 0.5, 4.0], [5.0, 4.0, 3.0], [6.0, np.nan, np.nan]])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Four runs of three epochs with one setting, at 1, 2, 4 and 8."""
    parameter = {"low": 1, "high": 8, "log": True, "integer": True}
    file = tmp_path / "tables/lcbench.made.npz"
    file.parent.mkdir()
    np.savez(
        file,
        losses=LOSSES,
        points=np.log([[1.0], [2], [4], [8]]) / np.log(8),
        description=json.dumps({"parameters": {"lr": parameter}}),
    )
    return file


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PEERS))
    import recorded

    return recorded


def test_a_trial_goes_on_and_a_new_one_takes_the_nearest_free_run(
    table: Path, recorded: ModuleType
) -> None:
    search = recorded.Search(table, trainings=2)
    assert search.evaluate("a", {"lr": 2}, 1) == 4.0
    assert search.evaluate("a", {"lr": 2}, 2) == 0.5
    assert search.evaluate("a", {"lr": 2}, 1) == 4.0  # seen already: free
    assert search.evaluate("b", {"lr": 2}, 1) == 3.0  # row 1 is taken, row 0 the nearest
    assert search.evaluate("c", {"lr": 8}, 3) == 6.0  # diverged: the worst of all losses
    assert search.log == [(1, 1, 1), (1, 2, 2), (0, 1, 3), (3, 3, 6)]
    with pytest.raises(recorded.Ended):
        search.evaluate("a", {"lr": 2}, 3)


def test_both_rules_of_the_incumbent(table: Path, recorded: ModuleType) -> None:
    """Run 1 has the lowest loss at any epoch (.5) and ends at 4; run 0 is the best."""
    from table import all_seen, regrets

    losses = recorded.Search(table).losses
    used = np.array([0.3, 0.4, 0.9]) * recorded.TRAININGS * 3
    log = pd.DataFrame({"row": [1, 0, 2], "epoch": [2, 1, 3], "used": used})
    got = regrets(log, losses).pivot(index="rule", columns="share", values="regret")
    # final values 1, 4, 3, 6: the best 1, the median 3.5
    at = (4 - 1) / 2.5
    assert got.loc["highest", ["1/3", "1/2", "2/3"]].tolist() == [at, at, at]
    assert got.loc["highest", "all"] == (3 - 1) / 2.5
    assert got.loc["seen"].tolist() == [at] * 4
    assert got.loc["any epoch"].tolist() == [0.0] * 4
    assert all_seen(table) == at


def test_own_searches_are_scored(table: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PEERS.parents[1] / "src")}
    for script, *options in (("curvecast_peer.py", "--seeds", "2"), ("table.py",)):
        command = [sys.executable, str(PEERS / script), str(tmp_path), *options]
        ended = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )
        assert ended.returncode == 0, ended.stderr
    assert "| freeze_thaw | " in ended.stdout
    assert "| hpbandster_bohb | " in ended.stdout
    assert len(list(tmp_path.glob("logs/*/lcbench.made.?.csv"))) == 8
    assert len(list(tmp_path.glob("ranks.lcbench.*.png"))) == 3
