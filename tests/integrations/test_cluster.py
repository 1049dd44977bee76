"""Searches on a Ray cluster of one machine with two processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ConfigSpace
import pytest
from one_node_slurm import missing, slurm

ray = pytest.importorskip("ray", reason="ray is not installed")

import curvecast
from curvecast import DataError
from curvecast.cli import main
from curvecast.studies.evaluation import Config, Evaluation, Objective, Trial
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

pytestmark = pytest.mark.usefixtures("one_ray")
HERE = {"address": "local"}


@dataclass
class Valley(Objective):
    """Losses at (x - .3)^2; what happens in each evaluation is written into a folder."""

    folder: Path
    trouble: str = ""

    def __post_init__(self) -> None:
        self.space = ConfigSpace.ConfigurationSpace({"x": (0.0, 1.0)}, seed=0)

    def identity(self) -> dict[str, Any]:
        return {"valley": self.trouble}

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        name = self.folder / f"{'-'.join(map(str, trial.id))}@{trial.budget:g}"
        with open(name, "a") as file:
            file.write(f"{os.getpid()}\n")
        first = trial.id == (0, 0, 0) and name.read_text().count("\n") == 1
        if self.trouble == "lost" and first:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "hangs" and trial.id == (0, 0, 0):
            time.sleep(600)
        if self.trouble == "raises" and trial.id == (0, 0, 0):
            raise RuntimeError("no such layer")
        if self.trouble == "slow":
            time.sleep(3 if trial.id == (0, 0, 0) else 0.1)
        return {"loss": (config["x"] - 0.3) ** 2 + 1 / trial.budget}


def searched(objective: Valley, **settings: Any) -> list[Evaluation]:
    given = {"workers": 2, "iterations": 1, "max_budget": 9, "ray": HERE, **settings}
    return run(Settings("valley", "hyperband", **given), objective)


def course(evaluations: list[Evaluation]) -> list[tuple[Any, ...]]:
    return sorted((e.id, e.budget, e.loss, e.reason) for e in evaluations)


def test_a_cluster_evaluates_what_processes_evaluate(tmp_path: Path) -> None:
    here = searched(Valley(tmp_path), ray=None, workers=1)
    there = searched(Valley(tmp_path))
    assert course(there) == course(here)
    assert len(here) == 13


def test_a_slow_trial_does_not_hold_the_others(tmp_path: Path) -> None:
    evaluations = searched(Valley(tmp_path, "slow"))
    slow = next(e for e in evaluations if e.id == (0, 0, 0) and e.budget == 1)
    meanwhile = [e for e in evaluations if e.seconds["finished"] < slow.seconds["finished"]]
    assert len(meanwhile) == 8  # the rest of the rung, by the other process


def test_a_trial_whose_process_is_lost_is_started_again(tmp_path: Path) -> None:
    evaluations = searched(Valley(tmp_path, "lost"))
    processes = (tmp_path / "0-0-0@1").read_text().split()
    assert len(set(processes)) == len(processes) == 2
    assert all(e.reason is None for e in evaluations)
    assert course(evaluations) == course(searched(Valley(tmp_path)))


@pytest.mark.parametrize(
    ("trouble", "timeout", "reason"),
    [("raises", None, "RuntimeError: no such layer"), ("hangs", 20, "no result after 20 s")],
)
def test_a_trial_without_a_result_is_the_worst(
    tmp_path: Path, trouble: str, timeout: float | None, reason: str
) -> None:
    evaluations = searched(Valley(tmp_path, trouble), timeout=timeout)
    failed = [e for e in evaluations if e.reason is not None]
    assert [e.id for e in failed] == [(0, 0, 0)]
    assert reason in str(failed[0].reason)
    assert len(evaluations) == 13


def test_there_is_no_cluster_at_the_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Ray cluster at auto; `ray start --head` starts one"):
        searched(Valley(tmp_path), ray={"address": "auto"})


TASK = """
import ConfigSpace
import numpy as np

from curvecast.studies.objectives.task import Session, Task


class Net(Task):
    name, source = "trained/net", "test"
    target, metric, direction = "loss", "loss", "minimize"
    n_epochs = 9

    def space(self):
        return ConfigSpace.ConfigurationSpace({"x": (0.0, 1.0)})

    def start(self, config, seed):
        return Run(config["x"])


class Run(Session):
    def __init__(self, x):
        self.x, self.epoch = x, 0

    def train_epoch(self):
        self.epoch += 1

    def evaluate(self):
        return {"loss": (self.x - 0.3) ** 2 + float(np.exp(-self.epoch))}

    def scores(self):
        return {}

    def state(self):
        return {"epoch": np.array(self.epoch)}

    def resume(self, epoch, state):
        self.epoch = epoch
"""


@pytest.mark.usefixtures("own_modules")
def test_no_cluster_is_one_line_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_of_cluster.py").write_text(TASK)
    command = ["search", "net_of_cluster.py:Net", "--budget", "1s", "--out", "out"]
    assert main([*command, "--ray", "auto"]) == 1
    assert capsys.readouterr().err.startswith("Error: no Ray cluster at auto; `ray start --head`")


def test_the_batch_script_of_the_page_searches_in_slurm(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    page = (Path(__file__).parents[2] / "docs/study.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^    #!/bin/bash\n(?:    .*\n)+", page, re.MULTILINE)
    script = textwrap.dedent(block)
    for there, here in {
        r"(?m)^#SBATCH .*\n": "",
        "--budget 11h": "--budget 5s",
        "--workers 16": "--workers 2",
        " --gpus 1": "",
    }.items():
        script, replaced = re.subn(there, here, script)
        assert replaced
    (tmp_path / "search.sh").write_text(script)
    (tmp_path / "mine.py").write_text(TASK)
    (tmp_path / "bin").mkdir()
    for name, module in (("curvecast", "curvecast"), ("ray", "ray.scripts.scripts")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        program.chmod(0o755)
    daemons = tmp_path / "slurm"
    daemons.mkdir()
    with slurm(daemons) as environment:
        environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
        environment["PYTHONPATH"] = str(Path(curvecast.__file__).parents[1])
        command = ["sbatch", "--wait", "--ntasks=1", "--cpus-per-task=2", "--output=log"]
        done = subprocess.run(
            [*command, "search.sh"], env=environment, cwd=tmp_path, timeout=240, check=False
        )
    log = (tmp_path / "log").read_text()
    assert done.returncode == 0, log
    best = json.loads((tmp_path / "found/best.json").read_text())
    assert best["epochs"] == 9
    assert best["config"]["x"] == pytest.approx(0.3, abs=0.1)
