"""The searches on the LCBench collections as tabular benchmarks.

    CURVECAST_MIRROR=... python benchmarks/studies_recorded.py --out results/benchmarks/studies

Per data set: the same total budget for every optimiser (60 full trainings of 50 epochs), 10
seeds of each data set's own. Printed are the mean regrets after four shares of the budget and the
differences to BOHB's, with 95 % intervals over data sets and seeds crossed; the share of the
recorded runs that a search asks for; the differences of the last regrets; and the share of the
budget after which every other search has plain BOHB's last regret. `--searches` chooses among bohb,
freeze_thaw, hyperband, random and f-bohb (BOHB with a stopping rule). What was computed is not run
again.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.data.readers import read
from curvecast.data.registry import load_registry
from curvecast.studies import summary
from curvecast.studies.early import EarlyEnd
from curvecast.studies.jobs import replay
from curvecast.studies.settings import Settings

TOTAL = 3000.0
LOOKED_AT = (0.34, 0.5, 0.66, 1.0)


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
    regrets = summary.regrets(frame, curves, TOTAL).assign(
        seconds=time.process_time() - began,
        touched=frame.groupby("seed")["row"].nunique().mean() / len(curves),
    )
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


def _write(job: tuple[str, str, Path, int]) -> None:
    name, search, file, seeds = job
    one(name, search, seeds).to_parquet(file)


def _rounded(cell: object) -> object:
    if isinstance(cell, tuple):
        return f"{cell[0]:.4f} to {cell[1]:.4f}"
    return round(cell, 4) if isinstance(cell, float) else cell


def course(regrets: pd.DataFrame) -> pd.DataFrame:
    """Mean regret of each search after `LOOKED_AT` of the budget, and its difference to BOHB's."""
    rows = []
    for share in LOOKED_AT:
        at = regrets[np.isclose(regrets["share"], share)]
        values = {
            s: p.pivot(index="study", columns="seed", values="regret")
            for s, p in at.groupby("optimizer")
        }
        for search, matrix in values.items():
            gap = (matrix - values["bohb"]).to_numpy()
            rows.append(
                {
                    **{"share": share, "search": search, "regret": matrix.to_numpy().mean()},
                    "interval": summary.crossed(matrix.to_numpy()),
                    **{"to bohb": gap.mean(), "its interval": summary.crossed(gap)},
                }
            )
    return pd.DataFrame(rows).set_index(["share", "search"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--searches", default="bohb,freeze_thaw,hyperband,random")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = [name for name in load_registry() if name.startswith("lcbench/")]
    todo = [
        (name, search, options.out / f"{Path(name).name}.{search}.{options.seeds}.parquet")
        for name in names
        for search in options.searches.split(",")
    ]
    with ProcessPoolExecutor(options.processes) as pool:
        missing = [(*job, options.seeds) for job in todo if not job[2].exists()]
        list(pool.map(_write, missing))
    regrets = pd.concat([pd.read_parquet(file) for _, _, file in todo])
    print(course(regrets).map(_rounded).to_string())
    touched = regrets.groupby(["study", "optimizer"])["touched"].first().groupby("optimizer")
    print(touched.mean().round(3).to_string())
    seconds = regrets.groupby(["study", "optimizer"])["seconds"].first().groupby("optimizer").sum()
    print((seconds / 60).round(1).rename("minutes of one core").to_string())
    print(summary.paired_rows(regrets).to_string())
    shares = saved(regrets)
    print(shares.to_string())
    print("sets with BOHB's last regret after two thirds of the budget:")
    print((shares <= 2 / 3).sum().to_string())


if __name__ == "__main__":
    main()
