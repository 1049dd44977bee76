"""Reads run times and peak memory per rule from Snakemake's benchmark files, and versions."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pandas as pd

from curvecast.files import DataError

PACKAGES = ("snakemake", "numpy", "pandas", "scikit-learn", "scipy", "torch", "hpbandster")


def usage(folder: str | Path) -> pd.DataFrame:
    """What the last run of the jobs of each rule cost.

    Columns, the most costly rule first: `rule, jobs, seconds, longest` (s, wall time), `cpu` (s),
    `peak` (MB, the largest resident set of a job). The folder has files `{rule}/.../{job}.tsv` or
    `{rule}.tsv`. Raises DataError for a file without those columns.
    """
    rows = []
    for path in sorted(Path(folder).rglob("*.tsv")):
        frame = pd.read_csv(path, sep="\t")
        for column in ("s", "max_rss", "cpu_time"):
            if column not in frame or not len(frame):
                raise DataError("not a benchmark file", file=path, column=column)
        # A job of a few milliseconds ends before its memory is measured: "-" in the file.
        numbers = frame[["s", "max_rss", "cpu_time"]].apply(pd.to_numeric, errors="coerce")
        rule = Path(path.relative_to(folder).parts[0]).stem
        rows.append({"rule": rule, **numbers.iloc[-1].to_dict()})
    jobs = pd.DataFrame(rows, columns=["rule", "s", "max_rss", "cpu_time"])
    result = jobs.groupby("rule", as_index=False).agg(
        jobs=("s", "size"),
        seconds=("s", "sum"),
        longest=("s", "max"),
        cpu=("cpu_time", "sum"),
        peak=("max_rss", "max"),
    )
    return result.sort_values("seconds", ascending=False, ignore_index=True)


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on, as far as they are installed."""
    installed = {distribution.name.lower() for distribution in metadata.distributions()}
    return {name: metadata.version(name) for name in PACKAGES if name in installed}
