"""Speed of the workflow: dry run, overhead beside the fits, peak memory per rule.

    python benchmarks/workflow.py dry [--configfile config.yaml] [--repeats 3]
    python benchmarks/workflow.py run --configfile config/embedded.yaml [--cores 2]
    python benchmarks/workflow.py table results/paper [--wall SECONDS] [--cores 2]

`dry` times dry runs of all jobs. `run` runs a configuration from nothing in results/benchmark and
writes the table of it; `table` is for a run that is there. Each prints Markdown.

Overhead is cores x wall time / CPU seconds inside fits, predictions and evaluations of studies
(timings.csv, study_timings.csv): what a perfect scheduler with free starts would give is 1. On a
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

import pandas as pd

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
    """CPU seconds inside fits and predictions, and inside evaluations of studies."""
    files = [results / "timings.csv", results / "study_timings.csv"]
    return sum(float(pd.read_csv(path)["seconds"].sum()) for path in files if path.is_file())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("dry", "run", "table"))
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
        parser.error("table needs the folder of a run")
    else:
        print(describe(options.results, options.cores, options.wall))


if __name__ == "__main__":
    main()
