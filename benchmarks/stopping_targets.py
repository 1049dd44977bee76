"""Online search and f-Hyperband with their fixed settings on every data set at hand.

    CURVECAST_MIRROR=folder python benchmarks/stopping_targets.py --out DIR
        [--search online hyperband] [--datasets baker/* lcbench/*] [--orderings 10]
        [--deltas 0.9] [--hyperbands 40]

One CSV per data set and search lands in DIR as soon as it is done, so that an interrupted call
goes on where it stopped; `summary.md` holds the tables and the totals of all files there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.data import registry as datasets
from curvecast.data.readers import read
from curvecast.report.tables import speedups as tables
from curvecast.stopping import hyperband_study
from curvecast.stopping.online_study import online_study


def curves_of(name: str, registry: dict) -> CurveSet | None:
    """Curves of a data set whose files are at hand, else None."""
    files = [
        datasets.locate(file, "raw", datasets.mirrors())
        for file in datasets.files_of(registry[name])
    ]
    if any(file is None for file in files):
        return None
    return read(name, datasets.for_reader(registry[name]), files)


def measure(curves: CurveSet, search: str, args: argparse.Namespace) -> pd.DataFrame:
    started = time.process_time()
    if search == "online":
        rows = online_study(curves, args.deltas or (), args.orderings).outcomes
    else:
        plan = hyperband_study.HyperbandPlan(
            settings=(), hyperbands=args.hyperbands, repeats=args.orderings
        )
        rows, _ = hyperband_study.hyperband_study(
            curves, hyperband_study.DEFAULT_PREDICTOR, plan, hyperband_study.DEFAULT_HYPERBAND
        )
    return rows.assign(core_seconds=time.process_time() - started)


def online_summary(rows: pd.DataFrame) -> list[str]:
    table = tables.speedup_sequential(rows)
    text = [
        table.drop(columns=["published", "published_recovered", "ratio", "note"])
        .round(4)
        .to_string()
    ]
    for delta, part in table.groupby("delta"):
        speed = np.exp(np.log(part["speedup_mean"]).mean())
        recovered = {
            family: (
                int((group["recovered_share"] > 0.5).sum()),
                len(group),
            )
            for family, group in part.groupby(part["dataset"].str.split("/").str[0])
        }
        text.append(
            f"delta {delta}: geometric-mean speedup {speed:.2f}, recovered in more than half of "
            f"the orderings {recovered}, mean regret {part['regret_mean'].mean():.4f}, lost share "
            f"of runs that beat the best {part['lost_share'].mean():.3f}"
        )
    return text


def hyperband_summary(rows: pd.DataFrame) -> list[str]:
    table = tables.speedup_hyperband(rows)
    table = table[table["window"] == "settled"]
    table = table.assign(reached=(table["share_of_bound"] >= 0.6) & table["not_worse"])
    hidden = ["published", "published_recovered", "ratio", "note", "first", "last", "predictor"]
    shown = table.drop(columns=hidden)
    counts = table.groupby(table["dataset"].str.split("/").str[0])["reached"].agg(["sum", "count"])
    return [shown.round(4).to_string(), f"reached the goal:\n{counts.to_string()}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--search", nargs="+", default=["online", "hyperband"])
    parser.add_argument("--datasets", nargs="+", default=["baker/*", "lcbench/*"])
    parser.add_argument("--orderings", type=int, default=10)
    parser.add_argument("--hyperbands", type=int, default=40)
    parser.add_argument("--deltas", type=float, nargs="*")
    args = parser.parse_args()
    registry = datasets.load_registry({})
    args.out.mkdir(parents=True, exist_ok=True)
    text = []
    for search in args.search:
        frames = []
        for name in datasets.expand(args.datasets, registry):
            path = args.out / f"{search}.{name.replace('/', '.')}.csv"
            curves = None if path.exists() else curves_of(name, registry)
            if curves is not None:
                measure(curves, search, args).to_csv(path, index=False)
            if path.exists():
                frames.append(pd.read_csv(path))
        rows = pd.concat(frames, ignore_index=True)
        text += [f"## {search}"]
        text += online_summary(rows) if search == "online" else hyperband_summary(rows)
        cost = rows.groupby("dataset")["core_seconds"].first()
        text += [f"core seconds: sum {cost.sum():.0f}, largest {cost.max():.1f}"]
    summary = "\n\n".join(text)
    (args.out / "summary.md").write_text(summary + "\n", encoding="utf-8")
    print(summary)


if __name__ == "__main__":
    main()
