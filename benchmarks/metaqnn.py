"""Searches over layers on the recorded space `embedded/digits_layers`, with and without stopping.

    python benchmarks/metaqnn.py --out DIR

Every search has the epochs of `--networks` whole trainings. Written are `metaqnn.csv`, the regret
in percentage points of validation accuracy over the epochs (`metaqnn_regret.csv`). Printed are the
paired differences of the last regrets to those of `random`, with 95 % intervals over seeds, and the
mean accuracy of all networks that `metaqnn` draws, by epsilon: `metaqnn.csv` counts each network
once, Baker et al. (2017, figure 3) count it whenever it is drawn.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd

from curvecast import CurveSet, layers
from curvecast.files import write_csv
from curvecast.studies import layer_search
from curvecast.studies.early import EarlyEnd
from curvecast.studies.jobs import replay
from curvecast.studies.samplers.metaqnn import Sampler
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


def drawn(curves: CurveSet, options: argparse.Namespace) -> pd.DataFrame:
    """Evaluations of `metaqnn`; prints the mean accuracy of what it draws, by epsilon."""
    walks, walk = [], Sampler.walk

    def noted(agent: Sampler, epsilon: float) -> layers.Layers:
        network = walk(agent, epsilon)
        walks.append((epsilon, layers.text_of(network)))
        return network

    with mock.patch.object(Sampler, "walk", noted):
        frame = search(curves, "metaqnn", "", options)
    rewards = layer_search.networks_of(frame).groupby("network")["reward"].first()
    draws = pd.DataFrame(walks, columns=["epsilon", "network"])
    means = draws["network"].map(rewards).groupby(draws["epsilon"]).mean()[::-1]
    print(f"{len(draws)} draws:", *(f"{e} {mean:.3f}" for e, mean in means.items()), sep="  ")
    return frame


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
        rule = f"{rule}-" if rule else ""
        counted = name == "metaqnn"
        frames.append(
            drawn(curves, options) if counted else search(curves, optimizer, rule, options)
        )
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
