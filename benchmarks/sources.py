"""What a search gains that begins with the best configurations of earlier ones.

    CURVECAST_MIRROR=... python benchmarks/sources.py

Recorded LCBench curves. Even rows of three other data sets are searched by freeze_thaw first (3000
epochs each); the search on a data set then has its odd rows alone, so that no configuration of the
sources can be drawn again. Printed: mean normalised regret after 1/12 and 1/3 of 3000 epochs
without and with sources, and the paired difference with its standard error over data sets.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.data.readers import read
from curvecast.data.registry import load_registry
from curvecast.protocol import seed_from
from curvecast.studies import summary
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.portfolio import portfolio
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

TOTAL, LOOKED_AT = 3000.0, (1 / 12, 1 / 3)
N_SOURCES = 3


def half(name: str, odd: int) -> CurveSet:
    """The even or the odd rows of a data set."""
    stanza = load_registry()[name]
    root = Path(os.environ["CURVECAST_MIRROR"])
    curves = read(name, stanza, [root / file["path"] for file in stanza["files"]])
    return curves.take(np.arange(len(curves)) % 2 == odd)


def searched(
    curves: CurveSet, seed: int, total: float, folder: Path | None = None, **more: object
) -> pd.DataFrame:
    """Evaluations of a search by freeze_thaw."""
    settings = Settings(
        *(curves.name, "freeze_thaw"),
        seed=seed_from(curves.name, seed),
        **{"max_budget": 50, "total_budget": total, "workers": 0, **more},
    )
    done = run(settings, Recorded(curves), folder)
    return summary.evaluations_frame(done, curves.name, "freeze_thaw", seed)


def regrets(frame: pd.DataFrame, curves: CurveSet) -> np.ndarray:
    """Normalised regret after the shares of the budget."""
    steps = pd.Series(summary.regret(frame, curves).to_numpy(), index=frame["used"])
    return np.array([steps[steps.index <= share * TOTAL].iloc[-1] for share in LOOKED_AT])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", help="default: all")
    options = parser.parse_args()
    names = [name for name in load_registry() if name.startswith("lcbench/")]
    rows = []
    for name in options.sets or names:
        target = half(name, 1)
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed_from(name, "sources", seed))
            others = rng.choice([n for n in names if n != name], N_SOURCES, replace=False)
            with tempfile.TemporaryDirectory() as folder:
                logs = [Path(folder, str(k)) for k in range(N_SOURCES)]
                for other, log in zip(others, logs, strict=True):
                    searched(half(other, 0), seed, TOTAL, log)
                points = portfolio(logs, Recorded(target).space)
            without = regrets(searched(target, seed, LOOKED_AT[-1] * TOTAL), target)
            begun = searched(target, seed, LOOKED_AT[-1] * TOTAL, points_to_evaluate=points)
            rows.append([name, *without, *regrets(begun, target)])
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["data set", "1/12", "1/3", "1/12 sources", "1/3 sources"])
    means = table.groupby("data set").mean()
    print(means.agg(["mean", "sem"]).round(4).to_string())
    for share in ("1/12", "1/3"):
        gain = means[f"{share} sources"] - means[share]
        print(f"difference at {share}: {gain.mean():.4f} +- {gain.sem():.4f}")


if __name__ == "__main__":
    main()
