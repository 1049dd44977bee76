"""BOHB, Hyperband and random search on the LCBench collections as tabular benchmarks; f-BOHB.

    CURVECAST_MIRROR=... python benchmarks/studies_recorded.py --out results/benchmarks/studies

Per data set: the same total budget for every optimiser (60 full trainings of 50 epochs), 10
seeds. With `--stopping` also BOHB with a Gaussian process and a rule that ends evaluations early
(`f-bohb_gp`), and on how many data sets it needs at most two thirds of plain BOHB's budget for
plain BOHB's last regret. A data set whose file is there already is not run again.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd

from curvecast.datasets import load_registry
from curvecast.readers import read
from curvecast.studies import replay, summary
from curvecast.studies.bohb import Settings
from curvecast.studies.early import EarlyEnd

TOTAL = 3000.0


def one(name: str, seeds: int, early: EarlyEnd | None, optimizers: list[str]) -> pd.DataFrame:
    """Regrets of all optimisers and seeds on one data set."""
    stanza = load_registry()[name]
    root = Path(os.environ["CURVECAST_MIRROR"])
    curves = read(name, stanza, [root / file["path"] for file in stanza["files"]])
    parts = []
    for optimizer in optimizers:
        settings = Settings(
            name,
            optimizer,
            min_budget=1,
            max_budget=50,
            iterations=None,
            total_budget=TOTAL,
            workers=0,
        )
        began = time.perf_counter()
        frame = replay.replay(curves, settings, range(seeds), early)
        part = replay.regrets(frame, curves, TOTAL)
        final = part[part["share"] == 1]["regret"].mean()
        print(
            f"{name} {part['optimizer'].iloc[0]}: regret {final:.4f}, "
            f"{time.perf_counter() - began:.1f} s",
            flush=True,
        )
        parts.append(part.assign(seconds=time.perf_counter() - began))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--stopping", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    searches = [("plain", None, ["random", "hyperband", "bohb"])]
    if options.stopping:
        searches.append(("early", EarlyEnd(Delta=0.95), ["bohb_gp"]))
    names = [n for n in load_registry() if n.startswith("lcbench/")]
    for label, early, optimizers in searches:
        for name in names:
            file = options.out / f"{Path(name).name}.{label}.parquet"
            if not file.exists():
                one(name, options.seeds, early, optimizers).to_parquet(file)
    regrets = pd.concat(map(pd.read_parquet, sorted(options.out.glob("*.parquet"))))
    print(summary.paired_rows(regrets).to_string())
    seconds = regrets.groupby(["study", "optimizer"])["seconds"].first().groupby("optimizer").sum()
    print((seconds / 60).round(1).rename("minutes of one core").to_string())
    if options.stopping:
        print(saved(regrets).to_string())


def saved(regrets: pd.DataFrame) -> pd.DataFrame:
    """Per data set the first share of the budget with plain BOHB's last regret, mean over seeds."""
    means = regrets.pivot_table(index=["study", "optimizer"], columns="share", values="regret")
    rows = {}
    for study, plain in means.xs("bohb", level="optimizer")[1.0].items():
        course = means.loc[(study, "f-bohb_gp")]
        reached = course.index[course <= plain]
        rows[study] = {"bohb": plain, "f-bohb_gp": course[1.0],
                       "share": reached[0] if len(reached) else float("nan")}  # fmt: skip
    table = pd.DataFrame(rows).T
    print(f"at most two thirds of the budget on {(table['share'] <= 2 / 3).sum()} of {len(table)}")
    return table


if __name__ == "__main__":
    main()
