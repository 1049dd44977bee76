"""A copy of the repository with a tiny configuration on a table of its own, run once."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
results: out
datasets: [mine]
dataset_definitions:
  mine:
    reader: table
    file: mine.csv
    curve_columns: "acc_{epoch}"
    direction: maximize
    architecture: [layers]
    id: run
    log: [lr]
models: [ols, nusvr_rbf]
model_options:
  nusvr_linear: {draws: 3}
  nusvr_rbf: {draws: 3}
protocol: {fractions: [0.25, 0.5], n_train: 30, repeats: 2}
ablation: {datasets: [mine], models: [nusvr_rbf], features: [TS, TS+HP]}
training_size: {datasets: []}
depth: {datasets: [mine], models: [ols], column: ap_layers, thresholds: [3], n_train: 10}
task_a:
  datasets: [mine]
  models: [ols]
  tau: 3
  train: 30
  validation: 10
  test: 20
  variants: [{name: fewer, train: 20}]
stopping:
  datasets: [mine]
  predictors: [last_value]
  n_full: 20
  orderings: 2
  deltas: [0.9]
  settings: [{offset: 0}]
  online: {deltas: []}
  hyperband: {predictors: [last_value], budget: 9, hyperbands: 12, settled: 8, repeats: 2}
  overrides:
    mine: {hyperband: {deltas: [0.8], settings: [{kappa: 1}]}}
studies: [toy, tabular]
study_definitions:
  toy:
    objective: training
    task: digits_mlp
    task_options: {n_epochs: 3}
    space: mlp.lcbench_256
    max_budget: 3
    iterations: 1
    workers: 0
    seeds: 2
  tabular:
    objective: recorded
    datasets: [mine]
    optimizers: [bohb, random]
    max_budget: 9
    total_budget: 60
    seeds: 2
networks: [first, second]
network_definitions:
  first:
    task: images
    configuration: kuzushiji.DEFAULT
    task_options: {n_epochs: 1}
  second:
    task: images
    configuration: kuzushiji.DEFAULT
    task_options: {n_epochs: 2}
    weights: first
"""


class Project:
    """A working copy to run Snakemake in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on tiny.yaml."""
        command = [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=1500, check=False
        )

    def run(self, *arguments: str) -> str:
        """Run Snakemake, which must succeed; what it printed."""
        done = self.snakemake("--cores", "1", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> set[str]:
        """Messages of the jobs that a dry run plans, but for the report, which follows from all."""
        return self.all_planned(*arguments) - {"report"}

    def all_planned(self, *arguments: str) -> set[str]:
        """The same with the report."""
        text = self.run("--dry-run", *arguments)
        jobs = re.findall(r"^Job \d+: (.*)$", text, flags=re.MULTILINE)
        return set(jobs) - {"tables, figures and the report"}

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the first `old`, which must be there, in a file."""
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text
        (self.folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    def tables(self) -> dict[str, bytes]:
        """Bytes of all tables and predictions by path."""
        paths = [*self.folder.glob("out/tables/*"), *self.folder.glob("out/predictions/**/*")]
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in paths if p.is_file()}


def _write_table(path: Path) -> None:
    rng = np.random.default_rng(0)
    n, epochs = 60, np.arange(1, 13)
    lr = 10 ** rng.uniform(-4, -1, n)
    layers = rng.integers(1, 5, n)
    limit = 0.9 - 0.05 * np.abs(np.log10(lr) + 2.5) + 0.01 * layers
    rate = rng.uniform(0.08, 0.3, n)
    values = limit[:, None] - 0.6 * np.exp(-rate[:, None] * epochs)
    values += 0.01 * rng.standard_normal(values.shape)
    table = pd.DataFrame({"run": [f"r{i}" for i in range(n)], "lr": lr, "layers": layers})
    for epoch, column in zip(epochs, values.T, strict=True):
        table[f"acc_{epoch}"] = column
    table.to_csv(path, index=False)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Make a working copy that nothing was run in."""

    def make() -> Project:
        folder = tmp_path_factory.mktemp("project")
        for name in ("Snakefile", "config.yaml"):
            shutil.copy2(ROOT / name, folder)
        ignored = shutil.ignore_patterns("__pycache__", "embedded")
        for name in ("workflow", "scripts", "src", "envs", "profiles", "resources"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
        _write_table(folder / "mine.csv")
        return Project(folder)

    return make


@pytest.fixture(scope="session")
def finished(
    fresh: Callable[[], Project], tmp_path_factory: pytest.TempPathFactory, testrun_uid: str
) -> Project:
    """A copy in which everything was made on one core. Copy it before you change it.

    Tests that run in several processes (pytest-xdist) share one.
    """
    noted = tmp_path_factory.getbasetemp().parent / f"finished-{testrun_uid}"
    with open(noted, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if folder := file.read():
            return Project(Path(folder))
        project = fresh()
        project.run()
        file.write(str(project.folder))
        return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of `finished` that the test may change."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Project(tmp_path / "copy")
