"""BOHB, Hyperband and random search on the LCBench collections as tabular benchmarks.

    CURVECAST_MIRROR=... python benchmarks/studies_recorded.py --out results/benchmarks/studies

Per data set: the same total budget for every optimiser (60 full trainings of 50 epochs), 10
seeds. With `--stopping` also f-BOHB. A data set whose file is there already is not run again.
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
    label = "f-bohb" if options.stopping else "plain"
    early = EarlyEnd() if options.stopping else None
    optimizers = ["bohb"] if options.stopping else ["random", "hyperband", "bohb"]
    for name in [n for n in load_registry() if n.startswith("lcbench/")]:
        file = options.out / f"{Path(name).name}.{label}.parquet"
        if not file.exists():
            one(name, options.seeds, early, optimizers).to_parquet(file)
    regrets = pd.concat(map(pd.read_parquet, sorted(options.out.glob("*.plain.parquet"))))
    print(summary.paired_rows(regrets).to_string())
    seconds = regrets.groupby(["study", "optimizer"])["seconds"].first().sum()
    print(f"{seconds / 60:.1f} minutes of one core")


if __name__ == "__main__":
    main()
