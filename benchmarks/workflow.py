"""Speed of the workflow: dry run, overhead beside the fits, peak memory per rule.

    python benchmarks/workflow.py dry [--configfile config.yaml] [--repeats 3]
    python benchmarks/workflow.py run --configfile config/embedded.yaml [--cores 2]
    python benchmarks/workflow.py table results/paper [--wall SECONDS] [--cores 2]
    python benchmarks/workflow.py estimate results --configfile config/thorough.yaml

`dry` times dry runs of all jobs. `run` runs a configuration from nothing in results/benchmark and
writes the table of it; `table` is for a run that is there. `estimate` says what the predictors of
another configuration would cost by the seconds per cell of a run of config.yaml: a data set that
the run does not have costs what the others do on average, a search in proportion to its `draws`.
Each prints Markdown.

Overhead is cores x wall time / seconds inside fits, predictions, replays and trainings (the tables
of timings of the run): what a perfect scheduler with free starts would give is 1. On a
machine that does other things too, wall time says little; so the CPU seconds of everything that ran
are given beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import pandas as pd
import yaml

from curvecast.data import registry as datasets
from curvecast.data.preflight import Preflight
from curvecast.workflow.config import load
from curvecast.workflow.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def dry(configfile: str, repeats: int) -> str:
    """Seconds of dry runs of everything, as if nothing had been made."""
    rows = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(
            [
                *SNAKEMAKE,
                "--cores",
                "2",
                "--configfile",
                configfile,
                "--forceall",
                "-n",
                "--quiet",
                "rules",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        total = next(line for line in done.stdout.splitlines() if line.startswith("total"))
        rows.append({"jobs": int(total.split()[1]), "wall": wall, "cpu": _cpu(before, after)})
    best = min(rows, key=lambda row: row["wall"])
    return (
        "| configuration | jobs | dry run, s | CPU, s |\n|---|---|---|---|\n"
        f"| {configfile} | {best['jobs']} | {best['wall']:.1f} | {best['cpu']:.1f} |"
    )


def run(configfile: str, cores: int) -> str:
    """Run a configuration from nothing and describe it."""
    results = ROOT / "results/benchmark"
    shutil.rmtree(results, ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [*SNAKEMAKE, "--cores", str(cores), "--configfile", configfile]
    subprocess.run([*command, "--config", "results=results/benchmark"], cwd=ROOT, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return describe(results, cores, wall, _cpu(before, after))


def _cpu(before: resource.struct_rusage, after: resource.struct_rusage) -> float:
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def describe(results: Path, cores: int, wall: float | None, cpu: float | None = None) -> str:
    """The table of a finished run: per rule jobs, seconds and memory; then the overhead."""
    jobs = records(results)
    rules = jobs.groupby("rule").agg(
        jobs=("s", "size"),
        wall=("s", "sum"),
        longest=("s", "max"),
        cpu=("cpu_time", "sum"),
        memory=("max_rss", "max"),
    )
    lines = [
        "| rule | jobs | wall, s | longest, s | CPU, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.Index} | {r.jobs} | {r.wall:.0f} | {r.longest:.0f} | {r.cpu:.0f} "
            f"| {r.memory:.0f} |"
            for r in rules.sort_values("cpu", ascending=False).itertuples()
        ),
        "",
    ]
    inside = fits(results)
    lines.append(f"inside fits: {inside:.0f} s; jobs: {len(jobs)}, {rules['cpu'].sum():.0f} CPU s")
    if cpu is not None:
        lines.append(f"all processes: {cpu:.0f} CPU s = {cpu / inside:.2f} x fits")
    if wall is not None:
        overhead = cores * wall / inside
        lines.append(f"wall: {wall:.0f} s on {cores} cores; overhead: {overhead:.2f}")
    return "\n".join(lines)


def records(results: Path) -> pd.DataFrame:
    """Snakemake's benchmark files, one row per job; `rule` is the folder or the file's name."""
    rows = []
    for path in sorted((results / "benchmarks").rglob("*.tsv")):
        row = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
        rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        rows.append({"rule": rule, **row})
    return pd.DataFrame(rows).fillna(0)


def fits(results: Path) -> float:
    """Seconds inside fits, predictions, replays and trainings: all that the run says it needed."""
    tables = map(pd.read_csv, sorted(results.glob("*timings.csv")))
    return sum(float(table["seconds"].sum()) for table in tables)


def estimate(results: Path, configfile: str) -> str:
    """Core-hours of the predictors of a configuration, by model."""
    base = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    wanted = _merged(base, yaml.safe_load((ROOT / configfile).read_text(encoding="utf-8")))
    registry = datasets.load_registry(wanted["dataset_definitions"])
    usable = datasets.expand(wanted["datasets"], registry)
    plan = Plan(load(wanted), registry, Preflight(usable, left_out={}), first=False)
    frame = pd.read_csv(results / "timings.csv").set_index(["experiment", "dataset", "model"])
    per_cell = frame["seconds_per_cell"]
    of_model = per_cell.groupby("model").mean()
    rows = []
    for job in plan.jobs:
        if job.model not in of_model:
            raise SystemExit(f"{results} has no seconds of {job.model}")
        cells = plan.cells_of(job.experiment)
        number = len(cells["repeats"]) * len(cells["n_train"])
        number *= len(cells["fractions"]) + len(cells.get("taus", ()))
        number *= len(cells.get("features", [0])) * len(cells.get("depths", [0]))
        key = (job.experiment, job.dataset, job.model)
        seconds = number * float(per_cell.get(key, of_model[job.model]))
        rows.append((job.model, seconds * _draws(wanted, job.model) / _draws(base, job.model)))
    hours = pd.DataFrame(rows, columns=["model", "hours"]).groupby("model")["hours"].sum() / 3600
    lines = [f"| {model} | {value:.2f} |" for model, value in hours.sort_values().items()]
    head = ["| model | core-hours |", "|---|---|"]
    return "\n".join([*head, *lines, f"| all | {hours.sum():.2f} |"])


def _draws(config: dict[str, Any], model: str) -> float:
    return float(config["model_options"].get(model, {}).get("draws", 1))


def _merged(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Mappings merged key by key, everything else replaced, as Snakemake does it."""
    both = {
        key: _merged(base[key], value)
        for key, value in other.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **other, **both}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("dry", "run", "table", "estimate"))
    parser.add_argument("results", nargs="?", type=Path)
    parser.add_argument("--configfile", default="config.yaml")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--wall", type=float)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT / "src")
    if options.what == "dry":
        print(dry(options.configfile, options.repeats))
    elif options.what == "run":
        print(run(options.configfile, options.cores))
    elif options.results is None:
        parser.error(f"{options.what} needs the folder of a run")
    elif options.what == "estimate":
        print(estimate(options.results, options.configfile))
    else:
        print(describe(options.results, options.cores, options.wall))


if __name__ == "__main__":
    main()
