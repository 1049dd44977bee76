"""The collections on which the settings of the online search and of f-Hyperband were chosen.

    python benchmarks/stopping_choice.py [--orderings 3] [--deltas 0.9] [--search online]
    python benchmarks/stopping_choice.py --search rule [--model gain_gp] [--n-full 40]

The embedded collections, each with three of its series as the target, and simulated ones that
are shaped like published searches: image networks of few epochs, a drop of the learning rate at
a fixed or a random epoch, long trainings whose start says little, language models. None of the
published data sets is among them. Prints the speedup tables of both groups.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from curvecast.curves import CurveSet
from curvecast.fidelity import online_epochs
from curvecast.predictors import make_predictor
from curvecast.protocol import seed_from
from curvecast.report.tables import speedups as tables
from curvecast.stopping import replay
from curvecast.stopping.accounting import Record, ordering
from curvecast.stopping.frames import Rows
from curvecast.stopping.hyperband import DEFAULT_PREDICTOR
from curvecast.stopping.rules.predicted import Predicted
from curvecast.stopping.sequential import forecast, oracle_speedup, walk

EMBEDDED = Path(__file__).resolve().parents[1] / "resources" / "embedded"
TARGETS = ("val_cross_entropy", "val_accuracy", "train_cross_entropy")

# n runs of E epochs with d hyper-parameters; spread of the final values, share of it that the
# hyper-parameters explain, noise of an epoch, correlation of speed and final value, range of
# speeds per epoch, share of failed runs, epoch of a drop of the learning rate (a fraction of E,
# "random" or None), best value (below 0: log perplexity), skew of the final values.
SHAPES = {
    "cnn": (1000, 20, 6, 0.08, 0.55, 0.008, 0.75, (0.15, 0.7), 0.06, None, 0.80, 1.0),
    "cnn_fast": (1000, 20, 6, 0.03, 0.40, 0.003, 0.60, (0.3, 1.2), 0.10, None, 0.94, 1.5),
    "resnet": (500, 50, 2, 0.05, 0.60, 0.012, 0.20, (0.05, 0.25), 0.0, 0.6, 0.90, 1.0),
    "long": (700, 140, 4, 0.06, 0.50, 0.004, 0.50, (0.01, 0.08), 0.02, "random", 0.50, 0.6),
    "images": (1000, 300, 2, 0.05, 0.50, 0.002, -0.1, (0.005, 0.04), 0.05, "random", 0.4, 1.2),
    "language": (300, 60, 4, 0.10, 0.70, 0.002, 0.20, (0.05, 0.2), 0.03, "random", -4.4, 2.0),
}  # fmt: skip


def embedded() -> list[CurveSet]:
    """Every embedded collection, once for each of `TARGETS`."""
    found = []
    for path in sorted(EMBEDDED.glob("*.parquet")):
        curves = CurveSet.from_parquet(path)
        for target in TARGETS:
            values = curves.series.get(target, curves.values)
            direction = "maximize" if "accuracy" in target else "minimize"
            name = f"{curves.name}/{target}"
            found.append(replace(curves, values=values, direction=direction, series={}, name=name))
    return found


def field(X: np.ndarray, scale: float, rng: np.random.Generator, waves: int = 60) -> np.ndarray:
    """A smooth random function of the rows of X, about standard normal; shape (n,)."""
    frequency = rng.normal(scale=scale, size=(X.shape[1], waves))
    phase = rng.uniform(0, 2 * np.pi, waves)
    return np.cos(X @ frequency + phase) @ rng.normal(size=waves) * np.sqrt(2 / waves)


def simulated(shape: str, number: int) -> CurveSet:
    """Saturating curves to final values that crowd below a ceiling, with correlated noise."""
    n, E, d, spread, known, noise, together, speeds, fails, drop, top, skew = SHAPES[shape]
    rng = np.random.default_rng(seed_from("simulated", shape, number))
    X = rng.uniform(size=(n, d))
    quality = np.sqrt(known) * field(X, 2.5, rng) + np.sqrt(1 - known) * rng.normal(size=n)
    quality = (quality - quality.mean()) / quality.std()
    final = top - 1.5 * spread * np.log1p(np.exp(-1.2 * (quality + skew))) / 1.2
    luck = field(X, 2.0, rng) + rng.normal(scale=0.5, size=n)
    luck = np.sqrt(1 - together**2) * (luck - luck.mean()) / luck.std()
    low, high = np.log(speeds)
    speed = np.exp((low + high) / 2 + (high - low) / 4 * (luck + together * quality))
    t = np.arange(1, E + 1)
    rise = 1 - np.exp(-((speed[:, None] * t) ** np.exp(rng.normal(scale=0.15, size=(n, 1)))))
    quiet = np.ones((n, E))
    if drop is not None:
        at = E * (0.25 + 0.6 * X[:, [1]]) if drop == "random" else np.full((n, 1), drop * E)
        size = rng.uniform(0.25, 0.45, size=(n, 1))
        rise = (1 - size) * rise + size / (1 + np.exp(at - t))
        quiet = np.where(t > at, 0.3, 1.0)
    start = final - 8 * spread if top < 0 else np.full(n, min(0.1, top / 5))
    values = start[:, None] + (final - start)[:, None] * rise / rise[:, -1:]
    shocks = lfilter([np.sqrt(0.75)], [1, -0.5], rng.normal(size=(n, E)), axis=1)
    amount = noise * np.exp(rng.normal(scale=0.4, size=(n, 1))) * np.maximum(0.3, 1.5 - t / E)
    values += amount * quiet * shocks
    failed = rng.uniform(size=n) < fails
    floor = -6.5 if top < 0 else 0.1
    values[failed] = floor + 0.005 * np.abs(rng.normal(size=(int(failed.sum()), E)))
    return CurveSet(
        configs=pd.DataFrame(
            {"id": np.arange(n).astype(str), "group": np.arange(n)}
            | {f"hp_{j}": X[:, j] for j in range(d)}
        ),
        values=np.exp(-values) if top < 0 else values,
        epochs=t,
        metric="simulated",
        direction="minimize" if top < 0 else "maximize",
        name=f"simulated/{shape}_{number}",
    )


def measure(curves: CurveSet, args: argparse.Namespace) -> pd.DataFrame:
    if args.search == "online":
        plan = {"deltas": args.deltas or (), "orderings": args.orderings}
        return replay.run("online", curves, plan)["outcomes"]
    plan = {"settings": (), "repeats": args.orderings, "hyperbands": args.hyperbands}
    rows = replay.run("hyperband", curves, plan, DEFAULT_PREDICTOR)["outcomes"]
    return rows[rows["window"] == "settled"]


def measure_rule(curves: CurveSet, args: argparse.Namespace) -> pd.DataFrame:
    """The rule of `curvecast stop` after `--n-full` full runs, with the predictor `--model`."""
    record, at = Record.of(curves), online_epochs(curves.epochs, 8)
    rows, calibrated = Rows(record), make_predictor(args.model).calibrated
    for repeat in range(args.orderings):
        order = ordering(curves, repeat)
        forecasts, _ = forecast(curves, args.model, repeat, at, args.n_full)
        best_possible = oracle_speedup(record, order, at, args.n_full)
        for delta in args.deltas or (0.9,):
            facts = args.n_full, len(curves), curves.last_epoch, delta, calibrated
            rule = Predicted(forecasts.known, *facts)
            replayed = walk(record, order, at, rule, n_full=args.n_full)
            keys = (args.model, rule.setting, delta)
            rows.add(keys, repeat, replayed, best_possible, shown=True)
    return rows.frames()["outcomes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", choices=["online", "hyperband", "rule"], default="online")
    parser.add_argument("--model", default=DEFAULT_PREDICTOR, help="of --search rule")
    parser.add_argument("--n-full", type=int, default=40, help="of --search rule")
    parser.add_argument("--group", nargs="+", default=["embedded", "simulated"])
    parser.add_argument("--orderings", type=int, default=3)
    parser.add_argument("--hyperbands", type=int, default=40)
    parser.add_argument("--deltas", type=float, nargs="*")
    args = parser.parse_args()
    groups = {
        "embedded": embedded(),
        "simulated": [simulated(shape, number) for shape in SHAPES for number in (0, 1)],
    }
    for name, collections in groups.items():
        if name not in args.group:
            continue
        one = measure_rule if args.search == "rule" else measure
        rows = pd.concat([one(curves, args) for curves in collections])
        hyperband = args.search == "hyperband"
        table = tables.speedup_hyperband(rows) if hyperband else tables.speedup_sequential(rows)
        if not hyperband:
            print(f"{rows['lost'].sum()} of {rows['beating'].sum()} would-be winners lost")
        speed = np.exp(np.log(table["speedup"]).mean())
        print(f"## {name}: geometric-mean speedup {speed:.2f}")
        for column in ("lost_share", "recovered_share", "regret_mean", "share_of_bound",
                       "loss_relative_mean"):  # fmt: skip
            if column in table:
                print(f"mean {column} {table[column].mean():.3f}")
        print(table.set_index("dataset").select_dtypes("number").round(3).to_string())


if __name__ == "__main__":
    main()
