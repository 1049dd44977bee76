"""Run times and peak memory per rule, from Snakemake's benchmark files."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pandas as pd

from curvecast.curves import DataError

PACKAGES = ("snakemake", "numpy", "pandas", "scikit-learn", "scipy", "torch", "hpbandster")


def usage(folder: str | Path) -> pd.DataFrame:
    """What the jobs of each rule took when they ran last.

    Parameters
    ----------
    folder : of benchmark files `{rule}/.../{job}.tsv` or `{rule}.tsv`.

    Returns
    -------
    One row per rule, the dearest first: `rule, jobs, seconds, longest` (s, wall time), `cpu` (s),
    `peak` (MB, the largest resident set of a job).

    Raises
    ------
    DataError : a benchmark file without those columns.
    """
    rows = []
    for path in sorted(Path(folder).rglob("*.tsv")):
        frame = pd.read_csv(path, sep="\t")
        for column in ("s", "max_rss", "cpu_time"):
            if column not in frame or not len(frame):
                raise DataError("not a benchmark file", file=path, column=column)
        # A job of a few milliseconds is over before its memory is looked at: "-" in the file.
        numbers = frame[["s", "max_rss", "cpu_time"]].apply(pd.to_numeric, errors="coerce")
        rule = Path(path.relative_to(folder).parts[0]).stem
        rows.append({"rule": rule, **numbers.iloc[-1].to_dict()})
    jobs = pd.DataFrame(rows, columns=["rule", "s", "max_rss", "cpu_time"])
    groups = jobs.groupby("rule")
    result = pd.DataFrame(
        {
            "jobs": groups.size(),
            "seconds": groups["s"].sum(),
            "longest": groups["s"].max(),
            "cpu": groups["cpu_time"].sum(),
            "peak": groups["max_rss"].max(),
        }
    )
    return result.sort_values("seconds", ascending=False).reset_index()


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
