"""The searches on the LCBench collections as tabular benchmarks.

    CURVECAST_MIRROR=... python benchmarks/studies_recorded.py --out results/benchmarks/studies

Per data set: the same total budget for every optimiser (60 full trainings of 50 epochs), 10
seeds. Printed are the differences of the last regrets, and the share of the budget after which
every other search has plain BOHB's last regret. `--searches` chooses among bohb, freeze_thaw,
hyperband, random and f-bohb (BOHB with a stopping rule). What was computed is not run again.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd

from curvecast.data.readers import read
from curvecast.data.registry import load_registry
from curvecast.studies import summary
from curvecast.studies.early import EarlyEnd
from curvecast.studies.jobs import replay
from curvecast.studies.settings import Settings

TOTAL = 3000.0


def one(name: str, search: str, seeds: int) -> pd.DataFrame:
    """Regrets of all seeds of one search on one data set, and the seconds that it took."""
    stanza = load_registry()[name]
    root = Path(os.environ["CURVECAST_MIRROR"])
    curves = read(name, stanza, [root / file["path"] for file in stanza["files"]])
    settings = Settings(
        name,
        search.removeprefix("f-"),
        min_budget=1,
        max_budget=50,
        iterations=None,
        total_budget=TOTAL,
        workers=0,
    )
    early = EarlyEnd() if search.startswith("f-") else None
    began = time.process_time()
    frame = replay(curves, settings, range(seeds), early)
    regrets = summary.regrets(frame, curves, TOTAL).assign(seconds=time.process_time() - began)
    print(f"{name} {search}: {regrets['seconds'].iloc[0]:.0f} s", flush=True)
    return regrets


def saved(regrets: pd.DataFrame) -> pd.DataFrame:
    """Per data set the first share of the budget with BOHB's last regret, mean over seeds."""
    means = regrets.pivot_table(index="share", columns=["study", "optimizer"], values="regret")
    rows = {}
    for study in means.columns.unique("study"):
        goal = means[study, "bohb"].iloc[-1]
        reached = means[study].le(goal)
        rows[study] = reached.idxmax().where(reached.any())
    return pd.DataFrame(rows).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--searches", default="bohb,freeze_thaw,hyperband,random")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in (n for n in load_registry() if n.startswith("lcbench/")):
        for search in options.searches.split(","):
            file = options.out / f"{Path(name).name}.{search}.{options.seeds}.parquet"
            if not file.exists():
                one(name, search, options.seeds).to_parquet(file)
            parts.append(pd.read_parquet(file))
    regrets = pd.concat(parts)
    print(regrets[regrets["share"] == 1].groupby("optimizer")["regret"].mean().round(4).to_string())
    seconds = regrets.groupby(["study", "optimizer"])["seconds"].first().groupby("optimizer").sum()
    print((seconds / 60).round(1).rename("minutes of one core").to_string())
    print(summary.paired_rows(regrets).to_string())
    shares = saved(regrets)
    print(shares.to_string())
    print("sets with BOHB's last regret after two thirds of the budget:")
    print((shares <= 2 / 3).sum().to_string())


if __name__ == "__main__":
    main()
