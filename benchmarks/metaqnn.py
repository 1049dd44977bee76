"""Searches over layers on the recorded space `embedded/digits_layers`, with and without stopping.

    python benchmarks/metaqnn.py --out DIR

Every search has the epochs of `--networks` whole trainings. Written are `metaqnn.csv`, the regret
in percentage points of validation accuracy over the epochs (`metaqnn_regret.csv`), and the paired
differences of the last regrets to those of `random` (printed, with 95 % intervals over seeds).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd

from curvecast import CurveSet
from curvecast.files import write_csv
from curvecast.studies import layer_search
from curvecast.studies.early import EarlyEnd
from curvecast.studies.jobs import replay
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import load_space
from curvecast.studies.summary import SHARES, at_budgets, incumbents, interval

_RECORDED = Path("resources/embedded/digits_layers.parquet")
# Baker et al. (2018): a model of 100 whole runs. Ours: the stopping rule of the studies.
RULES = {
    "": None,
    "f-": EarlyEnd(Delta=0.99, min_runs=100),
    "baker-": EarlyEnd("nusvr_rbf", Delta=0.99, min_runs=100),
}


def search(
    curves: CurveSet, optimizer: str, rule: str, options: argparse.Namespace
) -> pd.DataFrame:
    """Evaluations of all seeds."""
    last = curves.last_epoch
    lowest = 2 if optimizer == "bohb" else last
    settings = Settings(
        curves.name,
        optimizer,
        min_budget=lowest,
        max_budget=last,
        iterations=None if optimizer == "bohb" else options.networks,
        total_budget=float(options.networks * last),
        workers=0,
    )
    space = load_space("layers.digits")
    return replay(curves, settings, range(options.seeds), RULES[rule], space)


def regrets(frame: pd.DataFrame, curves: CurveSet, total: float) -> pd.DataFrame:
    """Percentage points from the best recorded accuracy, per seed and share of the epochs."""
    parts = []
    for (optimizer, seed), part in frame.groupby(["optimizer", "seed"]):
        gap = 100 * (curves.final.max() + incumbents(part)["loss"]).reindex(part.index).ffill()
        values = at_budgets(part["used"], gap, SHARES * total)
        named = {"optimizer": optimizer, "seed": seed, "share": SHARES}
        parts.append(pd.DataFrame({**named, "regret": values}))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=Path, default=_RECORDED)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument(
        "--searches",
        default="metaqnn,random,evolution,bohb,f-metaqnn,f-random,f-evolution,f-bohb,baker-metaqnn",
    )
    options = parser.parse_args()
    curves = CurveSet.from_parquet(options.curves)
    frames = []
    for name in options.searches.split(","):
        rule, _, optimizer = name.rpartition("-")
        frames.append(search(curves, optimizer, f"{rule}-" if rule else "", options))
        print(f"{name} done", flush=True)
    frame = pd.concat(frames, ignore_index=True)
    write_csv(layer_search.search_rows(frame), options.out / "metaqnn.csv")
    table = regrets(frame, curves, float(options.networks * curves.last_epoch))
    write_csv(table, options.out / "metaqnn_regret.csv")
    last = table[table["share"] == 1].pivot(index="seed", columns="optimizer", values="regret")
    for name in last:
        low, high = interval((last[name] - last["random"]).to_numpy())
        difference = np.mean(last[name] - last["random"])
        print(
            f"{name}: {last[name].mean():.3f}, to random {difference:.3f} [{low:.3f}, {high:.3f}]"
        )


if __name__ == "__main__":
    main()
